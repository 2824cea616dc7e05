import { describe, expect, test } from 'vitest'
import { type RequestHabits, requestHabits } from '../../src/config/provider-profile.ts'
import { rememberedConfiguration } from '../../src/grants/discovery.ts'
import { startCodeLogin } from '../../src/grants/code-login.ts'
import type { Fetch } from '../../src/tokens/limited-fetch.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, clientAt, delegation, logIn, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()
const audience = 'https://tts.example.org'
const signal = calm()

/** A fetch that records what is sent by POST. */
function recorder() {
  const sent: { path: string; fields: Record<string, string>; authorization: string | null }[] = []
  const fetchFunction: Fetch = async (url, options) => {
    const { body, headers, method } = options ?? {}
    if (method === 'POST')
      sent.push({
        path: new URL(url).pathname,
        fields: Object.fromEntries(new URLSearchParams(body as string)),
        authorization: new Headers(headers).get('authorization'),
      })
    return fetch(url, options)
  }
  return { sent, fetch: fetchFunction }
}

const habits = (
  profile: Parameters<typeof requestHabits>[0]['profile'],
  parameters: Parameters<typeof requestHabits>[0]['audience_parameter'] = {},
): RequestHabits => requestHabits({ profile, audience_parameter: parameters })

const everywhere = (parameter: 'audience' | 'resource' | 'client_id' | 'none') =>
  habits('generic', {
    exchange: parameter,
    refresh: parameter,
    device: parameter,
    code: parameter,
  })

describe('the parameter that requests the audience', () => {
  const table: readonly [string, RequestHabits | undefined, Record<string, string>][] = [
    ['no habits', undefined, { audience }],
    ['generic', habits('generic'), { audience }],
    ['indigo-iam', habits('indigo-iam'), { audience }],
    ['hydra', habits('hydra'), { audience }],
    ['keycloak', habits('keycloak'), {}],
    ['dex', habits('dex'), {}],
    ['audience', everywhere('audience'), { audience }],
    ['resource', everywhere('resource'), { resource: audience }],
    ['client_id', everywhere('client_id'), { audience: 'certcache' }],
    ['none', everywhere('none'), {}],
  ]
  const shown = (fields: Record<string, string> | undefined) =>
    Object.fromEntries(
      Object.entries(fields ?? {}).filter(([name]) => /^(audience|resource)$/.test(name)),
    )

  test.each(table)('%s: at refresh and token exchange', async (_name, how, expected) => {
    const refreshToken = await delegation(provider())
    const subjectToken = await logIn(provider())
    const { sent, fetch: fetchFunction } = recorder()
    const client = clientAt(provider(), { fetch: fetchFunction, ...(how && { habits: how }) })
    await client.refresh({ refreshToken, audience, signal })
    await client.exchange({ subjectToken, audience, scopes: SCOPES, signal }).catch(() => undefined)
    expect(sent.map(({ fields }) => [fields['grant_type'], shown(fields)])).toEqual([
      ['refresh_token', expected],
      ['urn:ietf:params:oauth:grant-type:token-exchange', expected],
    ])
  })

  test.each(table)('%s: in both requests of a device login', async (_name, how, expected) => {
    const { sent, fetch: fetchFunction } = recorder()
    const client = clientAt(provider(), { fetch: fetchFunction, ...(how && { habits: how }) })
    provider().tokens.deviceIntervalSeconds = 0.005
    const login = await client.startDevice({ audience, scopes: SCOPES, signal })
    const stop = new AbortController()
    const waiting = login.wait(stop.signal)
    await expect.poll(() => sent.length).toBeGreaterThan(1)
    stop.abort()
    await waiting.catch(() => undefined)
    expect(sent.slice(0, 2).map(({ path, fields }) => [path, shown(fields)])).toEqual([
      ['/devicecode', expected],
      ['/token', expected],
    ])
  })

  test.each(table)('%s: in both requests of a browser login', async (_name, how, expected) => {
    const { sent, fetch: fetchFunction } = recorder()
    const { issuer, clients } = provider()
    const common = { providerId: 'iam', timeoutMs: 5000, fetch: fetchFunction, habits: how }
    const configuration = rememberedConfiguration(
      { providerId: 'iam', timeoutMs: 5000, issuer, ...clients.certcache },
      () => new Date(),
    )
    const redirectUri = 'http://127.0.0.1:4711/callback'
    const login = await startCodeLogin(
      { ...common, configuration, now: () => new Date() },
      { audience, scopes: SCOPES, signal, redirectUri },
    )
    expect(shown(Object.fromEntries(new URL(login.url).searchParams))).toEqual(expected)
    const returned = new URL(`${redirectUri}?code=wrong&state=${login.state}`)
    returned.searchParams.set('iss', issuer)
    await login.complete(returned, signal).catch(() => undefined)
    expect(sent.map(({ fields }) => [fields['grant_type'], shown(fields)])).toEqual([
      ['authorization_code', expected],
    ])
  })

  test('no audience: none is sent, except the client id', async () => {
    for (const [how, expected] of [
      [everywhere('audience'), {}],
      [everywhere('resource'), {}],
      [everywhere('client_id'), { audience: 'certcache' }],
    ] as const) {
      const refreshToken = await delegation(provider())
      const { sent, fetch: fetchFunction } = recorder()
      const client = clientAt(provider(), { fetch: fetchFunction, habits: how })
      await client.refresh({ refreshToken, audience: undefined, signal })
      expect(sent.map(({ fields }) => shown(fields))).toEqual([expected])
    }
  })
})

describe('requested_token_type of a token exchange (RFC 8693 section 2.1)', () => {
  const uri = 'urn:ietf:params:oauth:token-type:'
  test.each([
    ['generic', undefined, undefined, 'openid profile offline_access'],
    ['generic', 'access_token', `${uri}access_token`, 'openid profile offline_access'],
    ['generic', 'refresh_token', `${uri}refresh_token`, 'openid profile'],
    ['keycloak', undefined, `${uri}refresh_token`, 'openid profile'],
    ['keycloak', 'none', undefined, 'openid profile offline_access'],
  ] as const)('%s, %s: %s, scope %s', async (profile, set, type, scope) => {
    const subjectToken = await logIn(provider())
    const { sent, fetch: fetchFunction } = recorder()
    const how = requestHabits({ profile, audience_parameter: {} }, set)
    const client = clientAt(provider(), { fetch: fetchFunction, habits: how })
    await client.exchange({ subjectToken, audience, scopes: SCOPES, signal }).catch(() => undefined)
    expect(sent.map(({ fields }) => [fields['requested_token_type'], fields['scope']])).toEqual([
      [type, scope],
    ])
  })

  test('an answer without refresh token is a refusal', async () => {
    const subjectToken = await logIn(provider())
    const client = clientAt(provider(), { habits: habits('keycloak') })
    // The demo provider gives a refresh token only for offline_access, as INDIGO IAM.
    const { error } = await refusalOf(
      client.exchange({ subjectToken, audience, scopes: ['openid'], signal }),
    )
    expect(error.check).toBe('offline_access_refused')
  })
})

describe('client authentication (RFC 6749 section 2.3)', () => {
  test.each([
    [undefined, /^Basic /, undefined, undefined],
    ['basic', /^Basic /, undefined, undefined],
    ['post', undefined, 'certcache', 'the secret'],
    ['none', undefined, 'certcache', undefined],
  ] as const)('%s', async (authentication, header, id, secret) => {
    const refreshToken = await delegation(provider())
    const { sent, fetch: fetchFunction } = recorder()
    const client = clientAt(provider(), {
      fetch: fetchFunction,
      ...(authentication && { authentication }),
    })
    await client.refresh({ refreshToken, audience, signal }).catch(() => undefined)
    const [request] = sent
    if (header === undefined) expect(request?.authorization).toBeNull()
    else expect(request?.authorization).toMatch(header)
    expect(request?.fields['client_id']).toBe(id)
    const { clientSecret } = provider().clients.certcache
    expect(request?.fields['client_secret']).toBe(secret && clientSecret)
  })
})
