import {
  createLocalJWKSet,
  decodeJwt,
  decodeProtectedHeader,
  type JSONWebKeySet,
  jwtVerify,
} from 'jose'
import { describe, expect, test } from 'vitest'
import { TOKEN_EXCHANGE_GRANT } from '../../demo/identity-provider/clients.ts'
import type { TokenSettings } from '../../demo/identity-provider/options.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'

const provider = useIdentityProvider()

async function logIn(username = 'alice', scope = 'openid profile email', audience?: string) {
  return obtainAccessToken({
    issuer: provider().issuer,
    clientId: 'demo-cli',
    username,
    scope,
    ...(audience !== undefined && { audience }),
  })
}

async function post(path: string, client: 'tts' | 'worker' | 'cli', form: Record<string, string>) {
  const { clients, issuer } = provider()
  const body = new URLSearchParams(form)
  const headers: Record<string, string> = {}
  if (client === 'cli') {
    body.set('client_id', clients.cli.clientId)
  } else {
    const { clientId, clientSecret } = clients[client]
    headers['authorization'] =
      `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`
  }
  const response = await fetch(`${issuer}${path}`, { method: 'POST', headers, body })
  const text = await response.text()
  return {
    status: response.status,
    body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
  }
}

describe('access tokens', () => {
  test('an IAM default token carries neither scope nor groups nor audience', async () => {
    const { access_token } = await logIn()
    expect(decodeProtectedHeader(access_token)).toEqual({ alg: 'RS256', kid: 'rsa1' })
    const claims = decodeJwt(access_token)
    expect(Object.keys(claims).sort()).toEqual(['client_id', 'exp', 'iat', 'iss', 'jti', 'sub'])
    expect(claims.sub).toBe(provider().user('alice').sub)
    expect(claims.iss).toBe(provider().issuer)
  })

  test.for([
    { name: 'asked audience', settings: {}, expected: { aud: 'https://tts.example.org' } },
    {
      name: 'audience as array',
      settings: { audienceForm: 'array' },
      expected: { aud: ['https://tts.example.org'] },
    },
    {
      name: 'the three switches',
      settings: { includeScope: true, includeNbf: true, includeAuthnInfo: true },
      expected: {
        scope: 'openid profile email wlcg.groups',
        nbf: expect.any(Number),
        groups: ['cms', 'cms/production'],
        preferred_username: 'alice',
      },
    },
    {
      name: 'wlcg',
      settings: { profile: 'wlcg' },
      expected: { 'wlcg.ver': '1.0', 'wlcg.groups': ['/cms', '/cms/production'] },
    },
    { name: 'kc', settings: { profile: 'kc' }, expected: { roles: ['cms', 'cms/production'] } },
  ] as const)('$name', async ({ settings, expected }) => {
    Object.assign(provider().tokens, settings)
    const scope = 'openid profile email wlcg.groups'
    const { access_token } = await logIn('alice', scope, 'https://tts.example.org')
    expect(decodeJwt(access_token)).toMatchObject(expected)
  })

  test('wlcg tokens are for anybody unless an audience is asked for', async () => {
    provider().tokens.profile = 'wlcg'
    const { access_token } = await logIn()
    expect(decodeJwt(access_token).aud).toBe('https://wlcg.cern.ch/jwt/v1/any')
  })

  test('iss without slash, typ at choice, opaque tokens', async () => {
    Object.assign(provider().tokens, { issuerSlash: false, typ: undefined })
    const { access_token } = await logIn()
    expect(decodeJwt(access_token).iss).toBe(provider().issuer.replace(/\/$/, ''))
    expect(decodeProtectedHeader(access_token).typ).toBeUndefined()
    provider().tokens.format = 'opaque'
    expect((await logIn()).access_token).not.toContain('.')
  })

  test('UserInfo takes the token and tells the groups', async () => {
    const { access_token } = await logIn('bob')
    const headers = { authorization: `Bearer ${access_token}` }
    const response = await fetch(`${provider().issuer}userinfo`, { headers })
    expect(await response.json()).toMatchObject({ preferred_username: 'bob', groups: ['guests'] })
  })

  test('a new key comes under the old key id, as at IAM', async () => {
    const read = async () =>
      (await (await fetch(`${provider().issuer}jwk`)).json()) as {
        keys: { kid: string; n: string }[]
      }
    const [before] = (await read()).keys
    await provider().keys.replace()
    const { keys } = await read()
    expect(keys.map(({ kid }) => kid)).toEqual(['rsa1'])
    expect(keys[0]?.n).not.toBe(before?.n)
    expect(decodeProtectedHeader((await logIn()).access_token).kid).toBe('rsa1')
  })

  test('ID tokens look nearly like access tokens', async () => {
    const { id_token: token = '' } = await logIn()
    expect(decodeProtectedHeader(token)).toEqual({ alg: 'RS256', kid: 'rsa1' })
    const claims = decodeJwt(token)
    expect(claims).toMatchObject({
      iss: provider().issuer,
      aud: 'demo-cli',
      sub: provider().user('alice').sub,
      amr: ['pwd'],
      jti: expect.any(String),
      groups: ['cms', 'cms/production'],
    })
    for (const name of ['client_id', 'auth_time']) expect(claims).not.toHaveProperty(name)
    const { keys } = (await (await fetch(`${provider().issuer}jwk`)).json()) as JSONWebKeySet
    await jwtVerify(token, createLocalJWKSet({ keys }))
  })

  test('keys rotate', async () => {
    const before = decodeProtectedHeader((await logIn()).access_token).kid
    await provider().keys.rotate()
    const after = decodeProtectedHeader((await logIn()).access_token).kid
    expect(after).not.toBe(before)
    const set = (await (await fetch(`${provider().issuer}jwk`)).json()) as {
      keys: { kid: string }[]
    }
    const kids = set.keys.map((key) => key.kid)
    expect(kids).toContain(after)
    expect(kids).not.toContain(before)
  })
})

describe('introspection and revocation', () => {
  test('IAM 1.12 shape', async () => {
    const { access_token } = await logIn('alice', 'openid profile', 'a b')
    const { body } = await post('introspect', 'tts', { token: access_token })
    expect(body).toMatchObject({ active: true, aud: 'a b', groups: ['cms', 'cms/production'] })
  })

  test('newer shape', async () => {
    provider().tokens.introspection = 'iam-2026'
    const { access_token } = await logIn('alice', 'openid', 'a b')
    const { body } = await post('introspect', 'tts', { token: access_token })
    expect(body).toMatchObject({ aud: ['a', 'b'], token_type: 'ACCESS_TOKEN' })
  })

  test.for([
    { suspension: 'at_refresh', active: true, userinfo: 200 },
    { suspension: 'everywhere', active: false, userinfo: 401 },
  ] as const)('a suspended user: %o', async ({ suspension, active, userinfo }) => {
    const { access_token: token } = await logIn()
    provider().tokens.suspension = suspension
    provider().user('alice').suspended = true
    expect((await post('introspect', 'tts', { token })).body['active']).toBe(active)
    const headers = { authorization: `Bearer ${token}` }
    expect((await fetch(`${provider().issuer}userinfo`, { headers })).status).toBe(userinfo)
  })

  test('inactive: unknown, revoked', async () => {
    const { access_token: token } = await logIn()
    expect((await post('introspect', 'tts', { token: 'a.b.c' })).body).toEqual({ active: false })
    expect((await post('introspect', 'tts', { token })).body['active']).toBe(true)
    expect((await post('revoke', 'cli', { token })).status).toBe(200)
    expect((await post('introspect', 'tts', { token })).body).toEqual({ active: false })
  })
})

describe('client authentication', () => {
  interface Credentials {
    readonly header?: 'right' | 'wrong'
    readonly body?: 'right' | 'wrong'
  }
  /** The status of a request of the client `tts`. */
  const ask = async (path: string, { header, body }: Credentials) => {
    const { access_token: token } = await logIn()
    const { clientId, clientSecret } = provider().clients.tts
    const secretOf = (which: 'right' | 'wrong') => (which === 'right' ? clientSecret : 'wrong')
    const basic = (secret: string) => Buffer.from(`${clientId}:${secret}`).toString('base64')
    const response = await fetch(`${provider().issuer}${path}`, {
      method: 'POST',
      headers: { ...(header && { authorization: `Basic ${basic(secretOf(header))}` }) },
      body: new URLSearchParams({
        token,
        grant_type: TOKEN_EXCHANGE_GRANT,
        subject_token: token,
        scope: 'openid',
        ...(body && { client_id: clientId, client_secret: secretOf(body) }),
      }),
    })
    return response.status
  }

  test.for<Credentials & { name: string; token: number; introspect: number }>([
    { name: 'Basic', header: 'right', token: 200, introspect: 200 },
    { name: 'in the body', body: 'right', token: 200, introspect: 401 },
    { name: 'both', header: 'right', body: 'right', token: 200, introspect: 200 },
    { name: 'Basic, wrong', header: 'wrong', token: 401, introspect: 401 },
    { name: 'in the body, wrong', body: 'wrong', token: 401, introspect: 401 },
    { name: 'none', token: 400, introspect: 401 },
  ])('$name: $token at the token endpoint, $introspect at introspection', async (row) => {
    expect(await ask('token', row)).toBe(row.token)
    expect(await ask('introspect', row)).toBe(row.introspect)
  })
})

describe('token exchange by the rules of IAM', () => {
  const exchange = (form: Record<string, string>, client: 'tts' | 'worker' = 'tts') =>
    post('token', client, { grant_type: TOKEN_EXCHANGE_GRANT, ...form })

  test('a delegation: refresh token, act, audience; renewed with rotation', async () => {
    const { access_token } = await logIn()
    const { status, body } = await exchange({
      subject_token: access_token,
      scope: 'openid profile offline_access',
      audience: 'https://tts.example.org',
    })
    expect(status).toBe(200)
    expect(body).toMatchObject({
      issued_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      refresh_token: expect.any(String),
    })
    const claims = decodeJwt(String(body['access_token']))
    expect(claims).toMatchObject({
      sub: provider().user('alice').sub,
      client_id: 'tts',
      aud: 'https://tts.example.org',
      act: { sub: 'tts' },
    })
    const refresh = { grant_type: 'refresh_token', refresh_token: String(body['refresh_token']) }
    const renewed = await post('token', 'tts', refresh)
    expect(renewed.status).toBe(200)
    expect(renewed.body['refresh_token']).not.toBe(body['refresh_token'])
    expect((await post('token', 'tts', refresh)).body['error']).toBe('invalid_token')
  })

  test('a rotation ends the access tokens from before it', async () => {
    const { access_token: subject_token } = await logIn()
    const { body } = await exchange({ subject_token, scope: 'openid offline_access' })
    const refresh = { grant_type: 'refresh_token', refresh_token: String(body['refresh_token']) }
    const renewed = await post('token', 'tts', refresh)
    const isActive = async (token: unknown) =>
      (await post('introspect', 'tts', { token: String(token) })).body['active']
    expect(await isActive(body['access_token'])).toBe(false)
    expect(await isActive(renewed.body['access_token'])).toBe(true)
    expect(await isActive(subject_token)).toBe(true)
  })

  test('no refresh token without offline_access', async () => {
    const { access_token } = await logIn()
    const { body } = await exchange({ subject_token: access_token, scope: 'openid' })
    expect(body).not.toHaveProperty('refresh_token')
  })

  test.for([
    { name: 'no scope', form: {}, status: 400, error: 'invalid_request' },
    {
      name: 'actor token',
      form: { scope: 'openid', actor_token: 'x' },
      status: 400,
      error: 'invalid_request',
    },
    {
      name: 'unknown token',
      form: { scope: 'openid', subject_token: 'a.b.c' },
      status: 401,
      error: 'invalid_token',
    },
    { name: 'unknown scope', form: { scope: 'root' }, status: 400, error: 'invalid_scope' },
    {
      name: 'resource with a query',
      form: { scope: 'openid', resource: 'https://x.example/?a' },
      status: 400,
      error: 'invalid_target',
    },
  ])('$name: $status $error', async ({ form, status, error }) => {
    const { access_token } = await logIn()
    const answer = await exchange({ subject_token: access_token, ...form })
    expect([answer.status, answer.body['error']]).toEqual([status, error])
  })

  test('not switched on for the client: 401 invalid_client', async () => {
    const { access_token } = await logIn()
    const answer = await exchange({ subject_token: access_token, scope: 'openid' }, 'worker')
    expect([answer.status, answer.body['error']]).toEqual([401, 'invalid_client'])
  })

  test('the same client with offline_access: 403 access_denied', async () => {
    const { access_token } = await logIn()
    const { body } = await exchange({ subject_token: access_token, scope: 'openid' })
    const again = { subject_token: String(body['access_token']), scope: 'openid offline_access' }
    const answer = await exchange(again)
    expect([answer.status, answer.body['error']]).toEqual([403, 'access_denied'])
  })

  test.for<{
    user: object
    suspension?: TokenSettings['suspension']
    status: number
    error: string | undefined
  }>([
    { user: { aupSigned: false }, status: 400, error: 'invalid_grant' },
    { user: { suspended: true }, status: 200, error: undefined },
    {
      user: { suspended: true },
      suspension: 'everywhere',
      status: 401,
      error: 'unauthorized',
    },
  ])('%o', async ({ user, suspension = 'at_refresh', status, error }) => {
    const { access_token } = await logIn()
    provider().tokens.suspension = suspension
    Object.assign(provider().user('alice'), user)
    const answer = await exchange({ subject_token: access_token, scope: 'openid' })
    expect([answer.status, answer.body['error']]).toEqual([status, error])
  })

  test('a refresh token that another client presents stays valid', async () => {
    const { refresh_token = '' } = await logIn('alice', 'openid offline_access')
    const form = { grant_type: 'refresh_token', refresh_token }
    const { status, body } = await post('token', 'tts', form)
    expect([status, body['error']]).toEqual([401, 'invalid_client'])
    expect((await post('token', 'cli', form)).status).toBe(200)
  })
})

describe('faults', () => {
  test('requests are counted and fail as told', async () => {
    const { faults, issuer } = provider()
    faults.set('/jwk', { kind: 'status', status: 500 })
    expect((await fetch(`${issuer}jwk`)).status).toBe(500)
    faults.clear('/jwk')
    expect((await fetch(`${issuer}jwk`)).status).toBe(200)
    expect(faults.count('/jwk')).toBe(2)
  })

  test('a client of its own: token without a user', async () => {
    const { body } = await post('token', 'worker', { grant_type: 'client_credentials' })
    const claims = decodeJwt(String(body['access_token']))
    expect(claims.sub).toBe('demo-worker')
    expect(claims['client_id']).toBe('demo-worker')
  })
})
