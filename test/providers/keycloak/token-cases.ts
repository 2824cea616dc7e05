/** Every kind of token that Keycloak issues, at the service. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeAll, describe, expect, test } from 'vitest'
import { type KeycloakRealm, mapper } from '../../support/keycloak-realm.ts'
import type { Keycloak } from '../../support/keycloak.ts'
import { accessTokenOf } from '../../support/token-forms.ts'
import { AUDIENCE } from '../../support/service.ts'
import { ask } from '../requests.ts'
import { exchange, exchanged, useRealm, useService } from './support.ts'

interface Row {
  readonly name: string
  readonly token: (realm: KeycloakRealm) => Promise<string>
  readonly answer: { readonly status: number; readonly [member: string]: unknown }
}

const access = (username: string, client?: string) => async (realm: KeycloakRealm) =>
  (await realm.logIn({ username, ...(client !== undefined && { client }) })).access_token

const refused = (check: string, detail: string) => ({ status: 401, check, detail })
const issued = { status: 200, text: expect.stringContaining('BEGIN CERTIFICATE') as string }

/** Tokens at a service with the default settings. */
export const tokenRows: readonly Row[] = [
  { name: "a member's access token", token: access('alice'), answer: issued },
  { name: 'one with the header typ at+jwt', token: access('alice', 'at-jwt'), answer: issued },
  {
    name: 'one of a user without the group',
    token: access('bob'),
    answer: { status: 403, check: 'authorisation' },
  },
  {
    name: 'one whose groups are full paths',
    token: access('alice', 'full-path'),
    answer: { status: 403, check: 'authorisation' },
  },
  {
    name: 'one without audience mapper (aud is account)',
    token: access('alice', 'no-mappers'),
    answer: refused(
      'audience',
      `the token is meant for another service (claim aud); accepted audiences: ${AUDIENCE}`,
    ),
  },
  {
    name: 'a lightweight access token',
    token: access('alice', 'lightweight'),
    answer: refused('subject', 'the token has no valid subject (claim sub)'),
  },
  {
    name: 'a service account that is in the group',
    token: (realm) => realm.serviceAccountToken(realm.other),
    answer: refused('user', 'the token is of a client, not of a user'),
  },
  {
    name: 'the same, exchanged by our client',
    token: async (realm) => exchanged(realm, await realm.serviceAccountToken(realm.other)),
    answer: refused('user', 'the token is of a client, not of a user'),
  },
  {
    name: 'one without the scope profile, exchanged by itself',
    token: async (realm) => {
      const client = { ...realm.other, id: 'no-profile' }
      return accessTokenOf(
        await exchange(realm, await realm.serviceAccountToken(client), { client }),
      )
    },
    answer: refused(
      'user',
      'the token does not say whether it is of a user or of a client (no preferred_username, no auth_time)',
    ),
  },
  {
    name: 'an ID token',
    token: async (realm) => (await realm.logIn()).id_token,
    answer: refused('type', 'this is not an access token but an ID token (claim typ)'),
  },
  {
    name: 'an ID token with our audience',
    token: async (realm) => (await realm.logIn({ client: AUDIENCE })).id_token,
    answer: refused('type', 'this is not an access token but an ID token (claim typ)'),
  },
  {
    name: 'a refresh token',
    token: async (realm) => (await realm.logIn()).refresh_token,
    answer: refused('algorithm', 'the token is signed with an algorithm that is not accepted here'),
  },
  {
    name: 'an offline refresh token',
    token: async (realm) => (await realm.logIn({ scope: 'openid offline_access' })).refresh_token,
    answer: refused('algorithm', 'the token is signed with an algorithm that is not accepted here'),
  },
  {
    name: 'a logout token with our audience',
    token: logoutToken,
    answer: refused(
      'type',
      'this is not an access token but a logout token or another security event (header typ)',
    ),
  },
]

/** Clients whose tokens differ by one setting, and the service account's membership in the group. */
async function createClients(realm: KeycloakRealm): Promise<void> {
  const lightweight = { 'client.use.lightweight.access.token.enabled': 'true' }
  const withoutMappers = { defaultClientScopes: ['basic', 'profile', 'roles'] }
  await realm.createPublicClient(AUDIENCE)
  await realm.createPublicClient('no-mappers', withoutMappers)
  await realm.createPublicClient('lightweight', { attributes: lightweight })
  await realm.createPublicClient('lightweight-no-mappers', {
    ...withoutMappers,
    attributes: lightweight,
  })
  await realm.createPublicClient('at-jwt', {
    attributes: { 'access.token.header.type.rfc9068': 'true' },
  })
  const full = { 'claim.name': 'groups', 'full.path': 'true', 'access.token.claim': 'true' }
  await realm.createPublicClient('full-path', {
    ...withoutMappers,
    protocolMappers: [
      mapper('audience', 'oidc-audience-mapper', { 'included.custom.audience': AUDIENCE }),
      mapper('groups', 'oidc-group-membership-mapper', full),
    ],
  })
  await realm.createClient('lightweight-other', {
    secret: realm.other.secret,
    serviceAccountsEnabled: true,
    attributes: lightweight,
  })
  await realm.createClient('no-profile', {
    secret: realm.other.secret,
    serviceAccountsEnabled: true,
    defaultClientScopes: ['basic', 'tts'],
    attributes: { 'standard.token.exchange.enabled': 'true' },
  })
  const account = await realm.userKey('service-account-other')
  const [cms] = (await realm.admin('GET', '/groups?search=cms')) as readonly { id: string }[]
  await realm.admin('PUT', `/users/${account}/groups/${cms?.id}`)
}

/** Logs alice in and out at a client whose id is our audience. Returns the token that Keycloak sends to that client. */
async function logoutToken(realm: KeycloakRealm): Promise<string> {
  const received = Promise.withResolvers<string>()
  const server = createServer((request, response) => {
    let text = ''
    request.on('data', (chunk: Buffer) => (text += chunk.toString()))
    request.on('end', () => {
      response.end()
      received.resolve(new URLSearchParams(text).get('logout_token') ?? '')
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    const attributes = { 'backchannel.logout.url': `http://127.0.0.1:${port}/` }
    await realm.change(`/clients/${await realm.clientKey(AUDIENCE)}`, { attributes })
    const { refresh_token } = await realm.logIn({ client: AUDIENCE })
    await realm.post('logout', { client_id: AUDIENCE, refresh_token })
    return await received.promise
  } finally {
    server.close()
  }
}

export function tokenCases(keycloak: () => Keycloak): void {
  describe('tokens', () => {
    const realm = useRealm(keycloak, 'tokens')
    beforeAll(() => createClients(realm()))
    const service = useService(realm)
    const open = useService(realm, { allow_client_tokens: true })
    const introspecting = useService(realm, { introspect: 'always' })

    test.for(tokenRows)('$name', async ({ token, answer }) => {
      expect(await ask(service(), await token(realm()))).toMatchObject(answer)
    })

    test('allow_client_tokens: the service account gets a proxy, users still do', async () => {
      const client = await realm().serviceAccountToken(realm().other)
      expect(await ask(open(), client)).toMatchObject(issued)
      expect(await ask(open(), await access('alice')(realm()))).toMatchObject(issued)
    })

    test.for<Row>([
      { name: 'a lightweight token', token: access('alice', 'lightweight'), answer: issued },
      { name: 'a usual one', token: access('alice'), answer: issued },
      {
        name: "a lightweight one without our client in 'aud'",
        token: access('alice', 'lightweight-no-mappers'),
        answer: refused(
          'active',
          'the provider says that the token is not active: unknown, expired or revoked',
        ),
      },
      {
        name: 'a lightweight one of a service account',
        token: (realm) => realm.serviceAccountToken({ ...realm.other, id: 'lightweight-other' }),
        answer: refused('user', 'the token is of a client, not of a user'),
      },
    ])('introspect: always: $name', async ({ token, answer }) => {
      expect(await ask(introspecting(), await token(realm()))).toMatchObject(answer)
    })
  })
}
