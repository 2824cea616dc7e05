/** Keycloak's answers to token exchange, refresh and wrong clients, and how our code reads each refusal. */
import { beforeAll, describe, expect, test } from 'vitest'
import { matchingCheck } from '../../../src/grants/refusal-rules.ts'
import type { GrantCheck, GrantKind } from '../../../src/grants/refusal-types.ts'
import type { KeycloakClient, KeycloakRealm } from '../../support/keycloak-realm.ts'
import type { Keycloak } from '../../support/keycloak.ts'
import { accessTokenOf, type FormAnswer } from '../../support/token-forms.ts'
import { AUDIENCE } from '../../support/service.ts'
import { ask } from '../requests.ts'
import {
  claimsOf,
  exchange,
  expectAtMost,
  type Form,
  REFRESH_TOKEN,
  refresh,
  useRealm,
  useService,
} from './support.ts'

/** How the answer is read, and the error with its description, which Keycloak could change. */
export function refusalIn(grant: GrantKind, { status, body }: FormAnswer) {
  const { error, error_description: description = '' } = body
  const answer = { status, error, description, retryAfterSeconds: undefined }
  return { status, error, description, check: matchingCheck(grant, answer) }
}

interface ExchangeRow {
  readonly name: string
  readonly form: Form
  readonly aud: readonly string[]
  readonly hasRefreshToken?: boolean
}

const ALL = [AUDIENCE, 'tts', 'account']

const granted: readonly ExchangeRow[] = [
  { name: 'nothing', form: {}, aud: ALL },
  { name: 'our client id as audience', form: { audience: 'tts' }, aud: ['tts'] },
  { name: 'a resource (RFC 8707), ignored', form: { resource: AUDIENCE }, aud: ALL },
  { name: 'offline_access, ignored', form: { scope: 'openid offline_access' }, aud: ALL },
  {
    name: 'a refresh token',
    form: { requested_token_type: REFRESH_TOKEN },
    aud: ALL,
    hasRefreshToken: true,
  },
  {
    name: 'a refresh token for our client id',
    form: { requested_token_type: REFRESH_TOKEN, audience: 'tts' },
    aud: ['tts'],
    hasRefreshToken: true,
  },
]

interface RefusalRow {
  readonly name: string
  readonly form?: Form
  /** Default: an access token of alice. */
  readonly subject?: (realm: KeycloakRealm) => Promise<string>
  readonly client?: (realm: KeycloakRealm) => KeycloakClient
  readonly refusal: readonly [status: number, error: string, description: string, check: GrantCheck]
}

const INVALID_CLIENT = 'Invalid client or Invalid client credentials'

const refusals: readonly RefusalRow[] = [
  {
    name: 'our URL as audience',
    form: { audience: AUDIENCE },
    refusal: [400, 'invalid_client', 'Audience not found', 'audience_not_allowed'],
  },
  {
    name: 'a client as audience that the token may not have',
    form: { audience: 'other' },
    refusal: [
      400,
      'invalid_request',
      'Requested audience not available: other',
      'audience_not_allowed',
    ],
  },
  {
    name: 'an unknown scope',
    form: { scope: 'openid storage.read' },
    refusal: [400, 'invalid_scope', 'Invalid scopes: openid storage.read', 'scope_not_allowed'],
  },
  {
    name: 'a refresh token with offline_access',
    form: { requested_token_type: REFRESH_TOKEN, scope: 'openid offline_access' },
    refusal: [
      400,
      'invalid_request',
      'Scope offline_access not allowed for token exchange',
      'offline_access_refused',
    ],
  },
  {
    name: 'a refresh token for a token of an offline session',
    form: { requested_token_type: REFRESH_TOKEN },
    subject: async (realm) => (await realm.logIn({ scope: 'openid offline_access' })).access_token,
    refusal: [
      400,
      'invalid_request',
      'Refresh token not valid as requested_token_type because creating a new session is needed',
      'offline_access_refused',
    ],
  },
  {
    name: 'for an ID token',
    subject: async (realm) => (await realm.logIn()).id_token,
    refusal: [400, 'invalid_request', 'Invalid token', 'subject_token_refused'],
  },
  {
    name: 'for a refresh token',
    subject: async (realm) => (await realm.logIn()).refresh_token,
    refusal: [400, 'invalid_request', 'Invalid token', 'subject_token_refused'],
  },
  {
    name: 'for a token without our client in aud',
    subject: async (realm) => (await realm.logIn({ client: 'no-mappers' })).access_token,
    refusal: [
      403,
      'access_denied',
      'Client is not within the token audience',
      'subject_token_refused',
    ],
  },
  {
    name: 'by a client without standard token exchange',
    client: (realm) => realm.other,
    refusal: [
      400,
      'invalid_request',
      'Standard token exchange is not enabled for the requested client',
      'grant_not_enabled',
    ],
  },
  {
    name: 'with a wrong secret',
    client: (realm) => ({ ...realm.tts, secret: 'wrong' }),
    refusal: [401, 'unauthorized_client', INVALID_CLIENT, 'client_refused'],
  },
  {
    name: 'by an unknown client',
    client: () => ({ id: 'nobody', secret: 'wrong' }),
    refusal: [401, 'invalid_client', INVALID_CLIENT, 'client_refused'],
  },
]

export function exchangeCases(keycloak: () => Keycloak): void {
  describe('token exchange', () => {
    const realm = useRealm(keycloak, 'exchange')
    const subject = async (): Promise<string> => (await realm().logIn()).access_token
    beforeAll(() =>
      realm().createPublicClient('no-mappers', { defaultClientScopes: ['basic', 'profile'] }),
    )

    test.for(granted)('requesting $name', async ({ form, aud, hasRefreshToken = false }) => {
      const answer = await exchange(realm(), await subject(), { form })
      const { body } = answer
      const claims = claimsOf(accessTokenOf(answer))
      expect(new Set([claims['aud']].flat())).toEqual(new Set(aud))
      expect(claims).toMatchObject({ azp: 'tts', preferred_username: 'alice', typ: 'Bearer' })
      expect('refresh_token' in body).toBe(hasRefreshToken)
      // Without a refresh token, Keycloak sends 0.
      if (hasRefreshToken) expectAtMost(body['refresh_expires_in'], 1800)
      else expect(body['refresh_expires_in']).toBe(0)
    })

    test.for(refusals)('refused: $name', async ({ form = {}, client, refusal, ...row }) => {
      const token = await (row.subject ?? subject)(realm())
      const answer = await exchange(realm(), token, { form, client: client?.(realm()) })
      const [status, error, description, check] = refusal
      expect(refusalIn('exchange', answer)).toEqual({ status, error, description, check })
    })

    test('a client may not request refresh tokens unless its setting allows it', async () => {
      await realm().createClient('no-refresh', {
        secret: realm().tts.secret,
        attributes: { 'standard.token.exchange.enabled': 'true' },
        protocolMappers: [],
      })
      const client = { id: 'no-refresh', secret: realm().tts.secret }
      const form = { requested_token_type: REFRESH_TOKEN }
      const answer = await exchange(realm(), await subject(), { form, client })
      expect(refusalIn('exchange', answer)).toEqual({
        status: 400,
        error: 'invalid_request',
        description: 'requested_token_type unsupported',
        check: 'offline_access_refused',
      })
    })

    test('the refreshed token has the full aud again, whatever was requested', async () => {
      const form = { requested_token_type: REFRESH_TOKEN, audience: 'tts' }
      const first = await exchange(realm(), await subject(), { form })
      const answer = await refresh(realm(), first.body.refresh_token)
      expect(claimsOf(accessTokenOf(answer))['aud']).toContain(AUDIENCE)
      expect(answer.body.refresh_token).toBeDefined()
      expectAtMost(answer.body['refresh_expires_in'], 1800)
    })
  })

  describe('our client at introspection', () => {
    const realm = useRealm(keycloak, 'introspection')
    const wrong = useService(realm, { introspect: 'always', client_secret: 'wrong' })
    const outside = useService(realm, { introspect: 'always', client_id: 'outside' })
    beforeAll(() => realm().createClient('outside', { secret: realm().tts.secret }))

    test.for<{ name: string; client: KeycloakClient; status: number; body: object }>([
      {
        name: 'a wrong secret',
        client: { id: 'tts', secret: 'wrong' },
        status: 401,
        body: { error: 'invalid_client', error_description: 'Client authentication failed.' },
      },
      {
        name: 'an unknown client',
        client: { id: 'nobody', secret: 'wrong' },
        status: 401,
        body: { error: 'invalid_client', error_description: INVALID_CLIENT },
      },
    ])('$name', async ({ client, status, body }) => {
      const { access_token: token } = await realm().logIn()
      expect(await realm().post('token/introspect', { token }, client)).toEqual({ status, body })
    })

    test('a client that is not in aud is answered that the token is not active', async () => {
      const { access_token: token } = await realm().logIn()
      const client = { id: 'outside', secret: realm().tts.secret }
      expect(await realm().post('token/introspect', { token }, client)).toEqual({
        status: 200,
        body: { active: false },
      })
    })

    test('the service answers 503 for its wrong secret, and 401 if it is not in aud', async () => {
      const { access_token: token } = await realm().logIn()
      expect(await ask(wrong(), token)).toMatchObject({
        status: 503,
        check: 'provider',
        detail: 'the identity provider keycloak refuses our client',
      })
      expect(await ask(outside(), token)).toMatchObject({ status: 401, check: 'active' })
    })
  })
}
