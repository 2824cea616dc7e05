import { decodeJwt } from 'jose'
import { describe, expect, test, vi } from 'vitest'
import type { Fault } from '../../demo/identity-provider/faults.ts'
import { createGrantClient, DEFAULT_GRANT_TIMEOUT_MS } from '../../src/grants/grant-client.ts'
import type { Fetch } from '../../src/tokens/limited-fetch.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, clientAt, delegation, logIn, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()
const signal = calm()

const exchange = async (scopes = SCOPES, audience: string | undefined = 'https://tts') =>
  clientAt(provider()).exchange({
    subjectToken: await logIn(provider()),
    audience,
    scopes,
    signal,
  })

describe('what is granted', () => {
  test('exchange: a refresh token, the audience, the end', async () => {
    const before = Date.now()
    const granted = await exchange()
    expect(decodeJwt(granted.accessToken)).toMatchObject({
      aud: 'https://tts',
      client_id: 'certcache',
      sub: provider().user('alice').sub,
    })
    expect(granted).toMatchObject({
      refreshToken: expect.any(String),
      scope: SCOPES.join(' '),
      refreshExpiresAt: undefined,
    })
    // A second for the rounding of either side.
    const endMs = granted.expiresAt?.getTime() ?? 0
    expect(endMs).toBeGreaterThanOrEqual(before + 3_599_000)
    expect(endMs).toBeLessThanOrEqual(Date.now() + 3_601_000)
  })

  test('exchange without offline_access: no refresh token, and none missed', async () => {
    expect((await exchange(['openid'])).refreshToken).toBeUndefined()
  })

  test('refresh: another audience; a new refresh token or the same', async () => {
    const client = clientAt(provider())
    const first = await delegation(provider())
    const rotated = await client.refresh({ refreshToken: first, audience: 'https://b', signal })
    expect(decodeJwt(rotated.accessToken).aud).toBe('https://b')
    expect(rotated.refreshToken).not.toBe(first)
    provider().tokens.reuseRefreshToken = true
    const again = { refreshToken: rotated.refreshToken ?? '', audience: undefined, signal }
    expect((await client.refresh(again)).refreshToken).toBe(rotated.refreshToken)
    provider().tokens.repeatRefreshToken = false
    expect((await client.refresh(again)).refreshToken).toBeUndefined()
  })

  test('revoke ends the refresh token; an unknown one, or no such endpoint, is no error', async () => {
    const client = clientAt(provider())
    const refreshToken = await delegation(provider())
    await client.revoke({ refreshToken, signal })
    const { error } = await refusalOf(client.refresh({ refreshToken, audience: undefined, signal }))
    expect(error.check).toBe('refresh_token_dead')
    await client.revoke({ refreshToken: 'unknown', signal })

    const { issuer } = provider()
    provider().faults.set('/.well-known/openid-configuration', {
      kind: 'body',
      body: { issuer, token_endpoint: `${issuer}token` },
    })
    await clientAt(provider()).revoke({ refreshToken, signal })
    provider().faults.clear()
    provider().faults.set('/revoke', { kind: 'status', status: 503 })
    expect((await refusalOf(client.revoke({ refreshToken, signal }))).error.code).toBe(
      'provider_unavailable',
    )
  })

  test('a client without secret is a public one', async () => {
    const { clientId } = provider().clients.cli
    const client = clientAt(provider(), { clientId, clientSecret: undefined })
    const login = await client.startDevice({ audience: undefined, scopes: ['openid'], signal })
    expect(login.userCode).not.toBe('')
  })
})

describe('a successful answer is never thrown away over what we do not use', () => {
  const base = { access_token: 'access', token_type: 'Bearer', refresh_token: 'new' }
  test.for([
    { more: { id_token: 'no.JWT.at-all' }, expected: { refreshToken: 'new' } },
    { more: { id_token: null, scope: null }, expected: { scope: undefined } },
    { more: { scope: ['openid'] }, expected: { scope: undefined } },
    { more: { expires_in: null }, expected: { expiresAt: undefined } },
    { more: { expires_in: 'soon' }, expected: { expiresAt: undefined } },
    { more: { expires_in: -5 }, expected: { expiresAt: undefined } },
    { more: { expires_in: 1e300 }, expected: { expiresAt: undefined } },
    { more: { expires_in: '60' }, expected: { expiresAt: expect.any(Date) } },
    { more: { refresh_token: null }, expected: { refreshToken: undefined } },
    { more: { refresh_expires_in: 0 }, expected: { refreshExpiresAt: undefined } },
    { more: { refresh_expires_in: 1800 }, expected: { refreshExpiresAt: expect.any(Date) } },
    { more: { unknown: { a: [1] } }, expected: { accessToken: 'access' } },
  ])('$more', async ({ more, expected }) => {
    provider().faults.set('/token', { kind: 'body', body: { ...base, ...more } })
    const request = { refreshToken: 'old', audience: undefined, signal }
    expect(await clientAt(provider()).refresh(request)).toMatchObject(expected)
  })

  test('nor over the content type', async () => {
    const headers = { 'content-type': 'text/plain' }
    provider().faults.set('/token', { kind: 'body', body: base, headers })
    const request = { refreshToken: 'old', audience: undefined, signal }
    expect((await clientAt(provider()).refresh(request)).refreshToken).toBe('new')
  })
})

test('client id and secret reach the provider as they are (IAM decodes nothing)', async () => {
  const seen: string[] = []
  const spying: Fetch = async (url, options) => {
    seen.push(new Headers(options?.headers).get('authorization') ?? '')
    return fetch(url, options)
  }
  const client = clientAt(provider(), {
    clientId: '9e499e0e-ce25-485b',
    clientSecret: 'a-b_c.d*e',
    fetch: spying,
  })
  await refusalOf(client.refresh({ refreshToken: 'x', audience: undefined, signal }))
  const [, credentials = ''] = (seen.at(-1) ?? '').split(' ')
  expect(Buffer.from(credentials, 'base64').toString()).toBe('9e499e0e-ce25-485b:a-b_c.d*e')
})

describe('deadlines and broken connections', () => {
  interface Row {
    readonly name: string
    readonly fault: Fault
    readonly remedy: RegExp
  }
  test.for<Row>([
    { name: 'no answer', fault: { kind: 'hang' }, remedy: /no answer in time/ },
    { name: 'a lost answer', fault: { kind: 'lost-reply' }, remedy: /connection failed/ },
    { name: 'a cut connection', fault: { kind: 'reset' }, remedy: /connection failed/ },
    { name: 'an endless answer', fault: { kind: 'huge' }, remedy: /too large/ },
    { name: 'half an answer', fault: { kind: 'malformed' }, remedy: /understood/ },
    {
      name: 'a redirect',
      fault: { kind: 'redirect', location: 'http://10.0.0.1/' },
      remedy: /HTTP 302/,
    },
  ])('$name: unavailable, and asked once only', async ({ fault, remedy }) => {
    const refreshToken = await delegation(provider())
    const client = clientAt(provider(), { timeoutMs: fault.kind === 'hang' ? 150 : 10_000 })
    provider().faults.resetCounts()
    provider().faults.set('/token', fault)
    const request = { refreshToken, audience: undefined, signal }
    const { error, printed } = await refusalOf(client.refresh(request))
    expect(error).toMatchObject({ code: 'provider_unavailable', check: 'provider' })
    expect(error.remedy).toMatch(remedy)
    expect(provider().faults.count('/token')).toBe(1)
    expect(printed).not.toContain(refreshToken)
    expect(printed).not.toContain(provider().clients.certcache.clientSecret)
  })

  test('a provider that is off: surely nothing was sent', async () => {
    const refreshToken = await delegation(provider())
    const client = clientAt(provider())
    await client.refresh({ refreshToken, audience: undefined, signal })
    await provider().goDown()
    const request = { refreshToken, audience: undefined, signal }
    // The first may have been written on a connection that was open still.
    await refusalOf(client.refresh(request))
    const known = await refusalOf(client.refresh(request))
    const undiscovered = await refusalOf(clientAt(provider()).refresh(request))
    await provider().comeUp()
    for (const { error } of [known, undiscovered]) {
      expect(error).toMatchObject({ code: 'provider_unavailable', check: 'provider_unreachable' })
    }
  })

  test.for([
    { code: 'SELF_SIGNED_CERT_IN_CHAIN', words: /not trusted: name its CA in tls.ca_file/ },
    { code: 'CERT_HAS_EXPIRED', words: /TLS certificate has expired/ },
    { code: 'ERR_TLS_CERT_ALTNAME_INVALID', words: /certificate is for another host name/ },
    { code: 'ENOTFOUND', words: /host name cannot be resolved/ },
  ])('no connection, $code: nothing was sent, and it says why', async ({ code, words }) => {
    const client = clientAt(provider(), {
      fetch: async (url, options) => {
        if (!url.endsWith('/token')) return fetch(url, options)
        throw new TypeError('fetch failed', { cause: Object.assign(new Error('no'), { code }) })
      },
    })
    const request = { refreshToken: 'x', audience: undefined, signal }
    const { error } = await refusalOf(client.refresh(request))
    expect(error.check).toBe('provider_unreachable')
    expect(error.remedy).toMatch(words)
  })

  test('a discovery that hangs costs the deadline and no more', async () => {
    const client = createGrantClient({
      configuration: async () => new Promise(() => undefined),
      providerId: 'iam',
      timeoutMs: 50,
      now: () => new Date(),
    })
    const request = { refreshToken: 'x', audience: undefined, signal }
    const { error } = await refusalOf(client.refresh(request))
    expect(error).toMatchObject({ code: 'provider_unavailable', check: 'provider_unreachable' })
    expect(provider().faults.count('/token')).toBe(0)
  })

  test("the caller's signal ends it, before and during the request", async () => {
    const client = clientAt(provider(), { timeoutMs: 60_000 })
    provider().faults.set('/token', { kind: 'hang' })
    const request = { refreshToken: 'x', audience: undefined }
    const before = await refusalOf(client.refresh({ ...request, signal: AbortSignal.abort() }))
    expect(before.error.check).toBe('provider_unreachable')
    const controller = new AbortController()
    const during = refusalOf(client.refresh({ ...request, signal: controller.signal }))
    await vi.waitFor(() => expect(provider().faults.count('/token')).toBe(1), {
      interval: 5,
      timeout: 60_000,
    })
    controller.abort()
    const { error } = await during
    expect(error).toMatchObject({ code: 'provider_unavailable', check: 'provider' })
  })

  test('the default deadline outlives the slowest IAM', () => {
    expect(DEFAULT_GRANT_TIMEOUT_MS).toBeGreaterThan(30_000)
  })
})
