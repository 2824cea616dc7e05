import { decodeJwt } from 'jose'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { TOKEN_EXCHANGE_GRANT } from '../../demo/identity-provider/clients.ts'
import type { TokenSettings } from '../../demo/identity-provider/options.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'

const provider = useIdentityProvider()
const DAY_MS = 86_400_000

afterEach(() => {
  vi.useRealTimers()
  provider().user('alice').deleted = false
})

async function post(form: Record<string, string>, path = 'token') {
  const { clientId, clientSecret } = provider().clients.certcache
  const basic = Buffer.from(`${clientId}:${clientSecret}`).toString('base64')
  const response = await fetch(`${provider().issuer}${path}`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams(form),
  })
  const text = await response.text()
  return { status: response.status, ...(text === '' ? {} : (JSON.parse(text) as object)) } as {
    status: number
    error?: string
    error_description?: string
    access_token?: string
    refresh_token?: string
    scope?: string
  }
}

async function delegation(scope = 'openid profile offline_access') {
  const { access_token: subject_token } = await obtainAccessToken({
    issuer: provider().issuer,
    clientId: 'demo-cli',
    username: 'alice',
  })
  return post({ grant_type: TOKEN_EXCHANGE_GRANT, subject_token, scope, audience: 'https://a' })
}

const refresh = async (refresh_token = '', more: Record<string, string> = {}) =>
  post({ grant_type: 'refresh_token', refresh_token, ...more })

describe('rotation', () => {
  test('the old token dies at once, the new one works', async () => {
    const first = (await delegation()).refresh_token
    const second = (await refresh(first)).refresh_token
    expect(second).not.toBe(first)
    expect((await refresh(first)).error).toBe('invalid_token')
    expect((await refresh(second)).status).toBe(200)
  })

  test('with a grace period the old one works for its time, counted from its first use', async () => {
    provider().tokens.rotationGraceSeconds = 60
    const first = (await delegation()).refresh_token
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() })
    const second = (await refresh(first)).refresh_token
    expect((await refresh(first)).status).toBe(200)
    vi.setSystemTime(Date.now() + 62_000)
    expect((await refresh(first)).error).toBe('invalid_token')
    expect((await refresh(second)).status).toBe(200)
  })

  test('without rotation the answer repeats the token, or leaves it out', async () => {
    provider().tokens.reuseRefreshToken = true
    const first = (await delegation()).refresh_token
    expect((await refresh(first)).refresh_token).toBe(first)
    provider().tokens.repeatRefreshToken = false
    expect(await refresh(first)).not.toHaveProperty('refresh_token')
    expect((await refresh(first)).status).toBe(200)
  })

  test('each new token has a whole life: used now and then, a delegation lives for months', async () => {
    let token = (await delegation()).refresh_token
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() })
    for (let month = 0; month < 6; month += 1) {
      vi.setSystemTime(Date.now() + 29 * DAY_MS)
      const answer = await refresh(token)
      expect(answer.status).toBe(200)
      const headers = { authorization: `Bearer ${answer.access_token}` }
      expect((await fetch(`${provider().issuer}userinfo`, { headers })).status).toBe(200)
      token = answer.refresh_token
    }
    vi.setSystemTime(Date.now() + 31 * DAY_MS)
    expect((await refresh(token)).error).toBe('invalid_token')
  })

  test('without rotation the end is fixed at the issue', async () => {
    provider().tokens.reuseRefreshToken = true
    const token = (await delegation()).refresh_token
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() })
    vi.setSystemTime(Date.now() + 29 * DAY_MS)
    expect((await refresh(token)).status).toBe(200)
    vi.setSystemTime(Date.now() + 2 * DAY_MS)
    expect((await refresh(token)).error).toBe('invalid_token')
  })
})

test('the audience asked for at the refresh counts, in the token and at introspection', async () => {
  const { refresh_token: first = '' } = await delegation()
  const asked = await refresh(first, { audience: 'https://b' })
  expect(decodeJwt(asked.access_token ?? '').aud).toBe('https://b')
  const told = await post({ token: asked.access_token ?? '' }, 'introspect')
  expect(told).toMatchObject({ active: true, aud: 'https://b' })
  const unasked = await refresh(asked.refresh_token)
  expect(decodeJwt(unasked.access_token ?? '').aud).toBe('https://a')
})

test('scopes may be narrowed, not widened', async () => {
  const { refresh_token: first } = await delegation('openid offline_access')
  const narrow = await refresh(first, { scope: 'openid' })
  expect(narrow.scope).toBe('openid')
  expect((await refresh(narrow.refresh_token, { scope: 'openid email' })).error).toBe(
    'invalid_scope',
  )
})

test.for([
  {
    standing: { suspended: true },
    expected: { status: 401, error: 'unauthorized', error_description: /is not active/ },
  },
  {
    standing: { aupSigned: false },
    expected: { status: 400, error: 'invalid_grant', error_description: /needs to sign AUP/ },
  },
  {
    standing: { deleted: true },
    expected: { status: 401, error: 'invalid_token', error_description: /was not found/ },
  },
])('a user with $standing is refused, and served again after', async (row) => {
  const { refresh_token: first } = await delegation()
  Object.assign(provider().user('alice'), row.standing)
  const answer = await refresh(first)
  const { status, error, error_description } = row.expected
  expect(answer).toMatchObject({ status, error })
  expect(answer.error_description).toMatch(error_description)
  Object.assign(provider().user('alice'), { suspended: false, aupSigned: true, deleted: false })
  expect((await refresh(first)).status).toBe(200)
})

test('a revoked refresh token is dead', async () => {
  const { refresh_token: token = '' } = await delegation()
  expect((await post({ token, token_type_hint: 'refresh_token' }, 'revoke')).status).toBe(200)
  expect((await refresh(token)).error).toBe('invalid_token')
})

test.for<{ setting: TokenSettings['offlineAccessByExchange']; expected: object }>([
  { setting: 'refused', expected: { status: 400, error: 'invalid_request' } },
  { setting: 'ignored', expected: { status: 200, access_token: expect.any(String) } },
])('offline_access by exchange: $setting', async ({ setting, expected }) => {
  provider().tokens.offlineAccessByExchange = setting
  const answer = await delegation()
  expect(answer).toMatchObject(expected)
  expect(answer).not.toHaveProperty('refresh_token')
})

test('a device is told how often to ask', async () => {
  provider().tokens.deviceIntervalSeconds = 2
  expect(await post({ scope: 'openid' }, 'devicecode')).toMatchObject({ interval: 2 })
})
