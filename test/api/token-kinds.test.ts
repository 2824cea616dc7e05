/**
 * ID tokens and tokens of clients at every interface of the running service, with the client's id in `audiences` as
 * WaTTS sites have it.
 */
import { describe, expect, test } from 'vitest'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { AUDIENCE, type TestService, useTestService } from '../support/service.ts'
import { ask, askProxy, problemOf, quick, soundCsr } from './support.ts'

const CLIENT = 'demo-cli'
const service = useTestService({
  configuration: (provider) => ({
    ...(quick.configuration as Record<string, Record<string, unknown>>),
    providers: {
      iam: {
        issuer: provider.issuer,
        alias: 'indigo-iam-test',
        audiences: [AUDIENCE, CLIENT],
        userinfo: 'never',
      },
    },
  }),
})

const login = () =>
  obtainAccessToken({
    issuer: service().provider.issuer,
    clientId: CLIENT,
    username: 'alice',
    scope: 'openid profile',
    audience: AUDIENCE,
  })

/** What the records say of alice: ids of credentials. */
async function issuedTo(running: TestService): Promise<unknown> {
  const response = await ask(running, '/v1/credentials', { method: 'GET' })
  return ((await response.json()) as { credentials: unknown[] }).credentials.length
}

const auth_time = 1_760_000_000
const bare = { client_id: undefined, jti: undefined, aud: CLIENT }
const keycloak = { ...bare, aud: AUDIENCE, typ: 'Bearer', azp: 'robot', scope: 'openid', acr: '1' }

describe('nothing is issued for', () => {
  test.for<{ name: string; claims?: Record<string, unknown>; check?: string }>([
    { name: 'the ID token that the provider really gave' },
    { name: "INDIGO IAM's ID token", claims: { ...bare, jti: 'j', auth_time } },
    {
      name: 'one with auth_time, sid and azp',
      claims: { ...bare, auth_time, sid: 's', azp: CLIENT },
    },
    { name: "Keycloak's ID token", claims: { ...bare, typ: 'ID', azp: CLIENT, sid: 's' } },
    { name: "Cognito's ID token", claims: { ...bare, token_use: 'id', auth_time } },
    { name: 'a refresh token', claims: { ...bare, typ: 'Refresh', azp: CLIENT, scope: 'openid' } },
    { name: 'a service account of Keycloak', claims: keycloak, check: 'user' },
    { name: 'one that has a session', claims: { ...keycloak, sid: 's' }, check: 'user' },
  ])('$name', async ({ claims, check = 'type' }) => {
    const before = await issuedTo(service())
    const token =
      claims === undefined ? (await login()).id_token! : service().token('alice', claims)
    const interfaces = [
      ['/v1/proxies', { 'content-type': 'application/pkcs10' }, await soundCsr()],
      ['/v1/certificates', { 'content-type': 'application/pkcs10' }, await soundCsr()],
      ['/api/v2/iam/credential', { 'content-type': 'application/json' }, '{"service_id":"proxy"}'],
    ] as const
    for (const [path, headers, body] of interfaces) {
      const response = await ask(service(), path, { token, headers, body })
      expect(response.status, path).toBe(401)
      if (path.startsWith('/v1/')) expect(await problemOf(response)).toMatchObject({ check })
    }
    expect(await issuedTo(service())).toBe(before)
  })
})

test('the access token of the same login gets a proxy', async () => {
  service().provider.tokens.includeAuthnInfo = true
  const { access_token } = await login()
  expect((await askProxy(service(), '', access_token)).status).toBe(200)
})
