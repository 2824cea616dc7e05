import { describe, expect, test } from 'vitest'
import type { CannedAnswer } from '../../demo/identity-provider/faults.ts'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import type { GrantClient } from '../../src/grants/grant.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, clientAt, delegation, logIn, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()
const signal = calm()

describe('what the provider really refuses', () => {
  interface Row {
    readonly check: string
    readonly name: string
    readonly attempt: (iam: IdentityProvider) => Promise<unknown>
    /** Who has to act. */
    readonly who: RegExp
  }
  const exchange = async (iam: IdentityProvider, scopes = SCOPES, client = clientAt(iam)) =>
    client.exchange({ subjectToken: await logIn(iam), audience: undefined, scopes, signal })
  const rows: Row[] = [
    {
      name: 'the token of the client itself, offline',
      check: 'same_client',
      who: /Operator/,
      attempt: async (iam) => {
        const client = clientAt(iam)
        const { accessToken: subjectToken } = await exchange(iam, ['openid'], client)
        return client.exchange({ subjectToken, audience: undefined, scopes: SCOPES, signal })
      },
    },
    {
      name: 'no scope',
      check: 'scope_missing',
      who: /Operator/,
      attempt: async (iam) => exchange(iam, []),
    },
    {
      name: 'an unknown scope',
      check: 'scope_not_allowed',
      who: /IAM administrator/,
      attempt: async (iam) => exchange(iam, ['openid', 'root']),
    },
    {
      name: 'a client without the grant',
      check: 'grant_not_enabled',
      who: /IAM administrator/,
      attempt: async (iam) => exchange(iam, SCOPES, clientAt(iam, iam.clients.worker)),
    },
    {
      name: 'a foreign token',
      check: 'subject_token_refused',
      who: /User/,
      attempt: async (iam) =>
        clientAt(iam).exchange({
          subjectToken: iam.mint(),
          audience: undefined,
          scopes: SCOPES,
          signal,
        }),
    },
    {
      name: 'a wrong client secret',
      check: 'client_refused',
      who: /Operator/,
      attempt: async (iam) =>
        exchange(iam, SCOPES, clientAt(iam, { clientSecret: 'wrong-but-long-enough-secret' })),
    },
    {
      name: 'the AUP at exchange',
      check: 'aup_not_signed',
      who: /User/,
      attempt: async (iam) => {
        const subjectToken = await logIn(iam)
        iam.user('alice').aupSigned = false
        return clientAt(iam).exchange({ subjectToken, audience: undefined, scopes: SCOPES, signal })
      },
    },
    {
      name: 'the AUP at refresh',
      check: 'aup_not_signed',
      who: /User/,
      attempt: async (iam) => {
        const refreshToken = await delegation(iam)
        iam.user('alice').aupSigned = false
        return clientAt(iam).refresh({ refreshToken, audience: undefined, signal })
      },
    },
    {
      name: 'a suspended user at exchange',
      check: 'user_disabled',
      who: /User/,
      attempt: async (iam) => {
        const subjectToken = await logIn(iam)
        // Other providers than IAM do.
        iam.tokens.suspension = 'everywhere'
        iam.user('alice').suspended = true
        return clientAt(iam).exchange({ subjectToken, audience: undefined, scopes: SCOPES, signal })
      },
    },
    {
      name: 'a suspended user at refresh',
      check: 'user_disabled',
      who: /User/,
      attempt: async (iam) => {
        const refreshToken = await delegation(iam)
        iam.user('alice').suspended = true
        return clientAt(iam).refresh({ refreshToken, audience: undefined, signal })
      },
    },
    {
      name: 'a refresh token that was rotated away',
      check: 'refresh_token_dead',
      who: /User/,
      attempt: async (iam) => {
        const refreshToken = await delegation(iam)
        await clientAt(iam).refresh({ refreshToken, audience: undefined, signal })
        return clientAt(iam).refresh({ refreshToken, audience: undefined, signal })
      },
    },
    {
      name: 'a refresh token of another client',
      check: 'refresh_token_dead',
      who: /User/,
      attempt: async (iam) => {
        const refreshToken = await delegation(iam)
        const other = clientAt(iam, iam.clients.tts)
        return other.refresh({ refreshToken, audience: undefined, signal })
      },
    },
    {
      name: 'offline access by exchange at Keycloak',
      check: 'offline_access_refused',
      who: /certcache login/,
      attempt: async (iam) => {
        iam.tokens.offlineAccessByExchange = 'refused'
        return exchange(iam)
      },
    },
    {
      name: 'offline access that is silently left out',
      check: 'offline_access_refused',
      who: /certcache login/,
      attempt: async (iam) => {
        iam.tokens.offlineAccessByExchange = 'ignored'
        return exchange(iam)
      },
    },
    {
      name: 'the device grant for a client without it',
      check: 'grant_not_enabled',
      who: /IAM administrator/,
      attempt: async (iam) =>
        clientAt(iam, iam.clients.tts).startDevice({
          audience: undefined,
          scopes: SCOPES,
          signal,
        }),
    },
  ]
  test.for(rows)('$name: $check', async ({ attempt, check, who }) => {
    const { error, printed } = await refusalOf(attempt(provider()))
    expect(error).toMatchObject({ code: 'grant_refused', check })
    expect(error.remedy).toMatch(who)
    expect(error.remedy).toContain('provider is iam')
    expect(printed).not.toMatch(/eyJ/)
  })
})

type Kind = 'exchange' | 'refresh' | 'device'
const SUBJECT = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl'
const REFRESH = 'eyJhbGciOiJub25lIn0.eyJqdGkiOiI0MDRjNGQ3Yi1mYjVhIn0.'

async function ask(client: GrantClient, kind: Kind): Promise<unknown> {
  const common = { audience: 'https://tts', signal }
  if (kind === 'refresh') return client.refresh({ ...common, refreshToken: REFRESH })
  if (kind === 'device') return client.startDevice({ ...common, scopes: SCOPES })
  return client.exchange({ ...common, scopes: SCOPES, subjectToken: SUBJECT })
}

async function refusalFor(kind: Kind, answer: Omit<CannedAnswer, 'kind'>) {
  const client = clientAt(provider())
  const path = kind === 'device' ? '/devicecode' : '/token'
  provider().faults.set(path, { kind: 'body', ...answer })
  return refusalOf(ask(client, kind))
}

describe('answers as INDIGO IAM and Keycloak write them', () => {
  type Row = [Kind, number, string, string, string]
  const rows: Row[] = [
    // INDIGO IAM
    ['exchange', 401, 'invalid_client', 'Unauthorized grant type', 'grant_not_enabled'],
    [
      'exchange',
      401,
      'invalid_token',
      `Access token for value ${SUBJECT} was not found`,
      'subject_token_refused',
    ],
    ['exchange', 401, 'invalid_token', `Invalid access token: ${SUBJECT}`, 'subject_token_refused'],
    [
      'exchange',
      400,
      'invalid_request',
      'The scope parameter is required for a token exchange request!',
      'scope_missing',
    ],
    [
      'exchange',
      400,
      'invalid_scope',
      "Scope 'offline_access' not allowed for client 'af27f2b1-03e9-446b-8dff-6ba3029ae7a4'",
      'scope_not_allowed',
    ],
    ['exchange', 401, 'unauthorized', 'Bad credentials', 'client_refused'],
    ['exchange', 400, 'invalid_target', 'Not a valid URI: tts', 'audience_not_allowed'],
    ['exchange', 400, 'invalid_request', 'Delegation not supported', 'request_refused'],
    [
      'exchange',
      403,
      'access_denied',
      'Token exchange not allowed: the actor and the subject are the same client and offline_access is in the requested scopes',
      'same_client',
    ],
    [
      'exchange',
      403,
      'access_denied',
      'No policy found authorizing this exchange',
      'grant_not_enabled',
    ],
    [
      'exchange',
      400,
      'invalid_scope',
      'scope not allowed by origin client configuration: offline_access',
      'scope_not_allowed',
    ],
    ['exchange', 400, 'invalid_grant', 'User a needs to sign AUP for this o', 'aup_not_signed'],
    ['exchange', 400, 'invalid_target', 'resource is no URL', 'audience_not_allowed'],
    ['refresh', 401, 'invalid_token', `Invalid refresh token: ${REFRESH}`, 'refresh_token_dead'],
    [
      'refresh',
      401,
      'invalid_token',
      `Refresh token for value ${REFRESH} was not found`,
      'refresh_token_dead',
    ],
    ['refresh', 401, 'invalid_token', `Expired refresh token: ${REFRESH}`, 'refresh_token_dead'],
    ['refresh', 401, 'unauthorized', 'Bad credentials', 'client_refused'],
    [
      'refresh',
      400,
      'invalid_target',
      'The requested resource was not originally granted',
      'audience_not_allowed',
    ],
    ['refresh', 401, 'unauthorized', 'User test is not active.', 'user_disabled'],
    ['refresh', 400, 'invalid_grant', 'User test needs to sign AUP', 'aup_not_signed'],
    ['refresh', 401, 'invalid_client', 'Client is suspended: abc', 'client_refused'],
    ['refresh', 401, 'invalid_client', 'Bad client credentials', 'client_refused'],
    [
      'refresh',
      401,
      'invalid_client',
      'Client does not own the presented refresh token',
      'refresh_token_dead',
    ],
    [
      'refresh',
      401,
      'invalid_client',
      'Client does not allow refreshing access token!',
      'grant_not_enabled',
    ],
    ['refresh', 400, 'invalid_scope', 'Up-scoping is not allowed.', 'scope_not_allowed'],
    ['device', 401, 'invalid_client', 'Unauthorized grant type: urn:dev', 'grant_not_enabled'],
    [
      'device',
      400,
      'invalid_scope',
      "One or more requested scope is not allowed for client 'af27f2b1'",
      'scope_not_allowed',
    ],
    // Keycloak
    [
      'exchange',
      400,
      'invalid_request',
      'Standard token exchange is not enabled for the requested client',
      'grant_not_enabled',
    ],
    [
      'exchange',
      400,
      'invalid_client',
      'Public client is not allowed to exchange token',
      'grant_not_enabled',
    ],
    [
      'exchange',
      403,
      'access_denied',
      'Client is not within the token audience',
      'subject_token_refused',
    ],
    ['exchange', 400, 'invalid_request', 'Invalid token', 'subject_token_refused'],
    [
      'exchange',
      400,
      'invalid_request',
      'Requested audience not available: tts',
      'audience_not_allowed',
    ],
    ['exchange', 400, 'invalid_client', 'Audience not found', 'audience_not_allowed'],
    [
      'exchange',
      400,
      'invalid_request',
      'Scope offline_access not allowed for token exchange',
      'offline_access_refused',
    ],
    [
      'exchange',
      400,
      'invalid_request',
      'Refresh token not valid as requested_token_type because creating a new session is needed',
      'offline_access_refused',
    ],
    ['exchange', 400, 'invalid_scope', 'Invalid scopes: root', 'scope_not_allowed'],
    [
      'refresh',
      401,
      'unauthorized_client',
      'Invalid client or Invalid client credentials',
      'client_refused',
    ],
    [
      'refresh',
      400,
      'invalid_grant',
      'Maximum allowed refresh token reuse exceeded',
      'refresh_token_dead',
    ],
    ['refresh', 400, 'invalid_grant', 'Session not active', 'refresh_token_dead'],
    ['refresh', 400, 'invalid_grant', 'Token is not active', 'refresh_token_dead'],
    ['refresh', 400, 'invalid_grant', 'User disabled', 'user_disabled'],
    [
      'device',
      400,
      'unauthorized_client',
      'Client is not allowed to initiate OAuth 2.0 Device Authorization Grant. The flow is disabled for the client.',
      'grant_not_enabled',
    ],
    // Ory Hydra
    [
      'exchange',
      400,
      'invalid_request',
      'The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed. Make sure that the various parameters are correct, be aware of case sensitivity and trim your parameters. Make sure that the client you are using has exactly whitelisted the redirect_uri you specified.',
      'grant_not_enabled',
    ],
    [
      'exchange',
      400,
      'invalid_request',
      "The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed. Requested audience 'https://tts' has not been whitelisted by the OAuth 2.0 Client.",
      'audience_not_allowed',
    ],
    ['refresh', 400, 'invalid_grant', 'The refresh token was already used.', 'refresh_token_dead'],
    // The RFCs, with nothing but the error
    ['exchange', 400, 'invalid_grant', '', 'subject_token_refused'],
    ['exchange', 401, 'invalid_client', '', 'client_refused'],
    ['refresh', 400, 'unauthorized_client', '', 'grant_not_enabled'],
    ['refresh', 400, 'unsupported_grant_type', '', 'grant_not_enabled'],
    ['refresh', 400, 'invalid_grant', '', 'refresh_token_dead'],
    ['refresh', 400, 'something_new', 'never seen before', 'request_refused'],
  ]
  test.for(rows)('%s %i %s "%s": %s', async ([kind, status, oauth, description, check]) => {
    const body = { error: oauth, ...(description !== '' && { error_description: description }) }
    const { error, printed } = await refusalFor(kind, {
      status,
      body,
      // IAM sends it with every 401, and openid-client would look at nothing else.
      ...(status === 401 && { headers: { 'www-authenticate': 'Bearer realm="iam"' } }),
    })
    expect([error.code, error.check]).toEqual(['grant_refused', check])
    expect(error.retryAfterSeconds).toBeUndefined()
    for (const secret of [SUBJECT, REFRESH, provider().clients.certcache.clientSecret]) {
      expect(printed).not.toContain(secret)
    }
  })

  test('of a long description, beginning and end are quoted', async () => {
    const description = `The request is malformed. ${'More words. '.repeat(20)}The cause.`
    const body = { error: 'invalid_request', error_description: description }
    const { error } = await refusalFor('exchange', { status: 400, body })
    const { message } = error.cause as Error
    expect(message).toMatch(/^it answered HTTP 400 invalid_request: The request.*….*The cause\.$/)
    expect(message.length).toBeLessThan(250)
  })

  test('IAM answers 404 to an unknown client that starts a device login', async () => {
    const { error } = await refusalFor('device', { status: 404, body: '' })
    expect(error.code).toBe('provider_unavailable')
    expect(error.remedy).toContain(
      'HTTP 404; INDIGO IAM answers this if it does not know the client',
    )
  })

  test('a 401 that is no OAuth answer concerns the client', async () => {
    const { error } = await refusalFor('refresh', { status: 401, body: 'Unauthorized' })
    expect(error.check).toBe('client_refused')
  })
})

describe('what may pass', () => {
  interface Row {
    readonly name: string
    readonly answer: Omit<CannedAnswer, 'kind'>
    readonly retryAfterSeconds?: number
    readonly check?: string
  }
  const rows: Row[] = [
    { name: '500', answer: { status: 500, body: { error: 'invalid_grant' } } },
    {
      name: '503 with Retry-After',
      answer: { status: 503, body: '', headers: { 'retry-after': '120' } },
      retryAfterSeconds: 120,
    },
    {
      name: '429 with Retry-After',
      answer: { status: 429, body: {}, headers: { 'retry-after': '7' } },
      retryAfterSeconds: 7,
      check: 'provider_unreachable',
    },
    {
      name: 'an endless Retry-After',
      answer: { status: 503, body: '', headers: { 'retry-after': '999999' } },
      retryAfterSeconds: 3600,
    },
    {
      name: 'a Retry-After that is a date',
      answer: {
        status: 503,
        body: '',
        headers: { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' },
      },
    },
    { name: 'server_error', answer: { status: 400, body: { error: 'server_error' } } },
    {
      name: 'temporarily_unavailable',
      answer: { status: 400, body: { error: 'temporarily_unavailable' } },
    },
    {
      name: 'a page of a firewall',
      answer: { status: 403, body: '<html>no</html>', headers: { 'content-type': 'text/html' } },
    },
    { name: '404', answer: { status: 404, body: '' } },
    { name: 'a redirect', answer: { status: 302, body: '', headers: { location: '/login' } } },
    { name: '200 with a page', answer: { body: '<html>login</html>' } },
    { name: '200 with nothing in it', answer: { body: {} } },
    { name: '200 with a list', answer: { body: [] } },
    { name: '200 with a token that is a number', answer: { body: { access_token: 1 } } },
  ]
  test.for(rows)('$name', async ({ answer, retryAfterSeconds = 5, check = 'provider' }) => {
    const { error, printed } = await refusalFor('refresh', answer)
    expect(error).toMatchObject({ code: 'provider_unavailable', retryAfterSeconds, check })
    expect(printed).not.toContain(REFRESH)
    expect(provider().faults.count('/token')).toBe(1)
  })
})
