import { decodeJwt } from 'jose'
import { describe, expect, test } from 'vitest'
import { type CodeLogin, startCodeLogin } from '../../src/grants/code-login.ts'
import { rememberedConfiguration } from '../../src/grants/discovery.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, clientAt, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()
const signal = calm()
const now = (): Date => new Date()
const redirectUri = 'http://127.0.0.1:4711/callback'

async function begin(scopes: readonly string[] = SCOPES): Promise<CodeLogin> {
  const { issuer, clients } = provider()
  const common = { providerId: 'iam', timeoutMs: 5000 }
  const configuration = rememberedConfiguration({ ...common, issuer, ...clients.tts }, now)
  const request = { audience: 'https://tts', scopes, signal, redirectUri }
  return startCodeLogin({ ...common, configuration, now }, request)
}
/** What a browser does with a person before it; nothing listens at the redirect URI. */
async function logIn(url: string): Promise<URL> {
  const cookies = new Map<string, string>()
  let [next, form]: [string, URLSearchParams | undefined] = [url, undefined]
  for (let step = 0; step < 15; step += 1) {
    const response: Response = await fetch(next, {
      redirect: 'manual',
      headers: { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') },
      ...(form && { method: 'POST', body: form }),
    })
    for (const line of response.headers.getSetCookie()) {
      const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=')
      cookies.set(name, value)
    }
    const location = response.headers.get('location')
    form = location === null ? new URLSearchParams({ username: 'alice' }) : undefined
    if (location !== null) next = new URL(location, next).href
    if (next.startsWith(redirectUri)) return new URL(next)
  }
  throw new Error('the login does not come to an end')
}

describe('a login in a browser of this machine (RFC 8252)', () => {
  test('gives a refresh token that works', async () => {
    const login = await begin()
    const asked = new URL(login.url).searchParams
    expect(asked.get('code_challenge_method')).toBe('S256')
    expect(asked.get('redirect_uri')).toBe(redirectUri)
    expect(asked.get('state')).toBe(login.state)
    const granted = await login.complete(await logIn(login.url), signal)
    const claims = decodeJwt(granted.accessToken)
    expect(claims).toMatchObject({ aud: 'https://tts', client_id: 'tts' })
    const { refreshToken = '' } = granted
    const again = clientAt(provider(), provider().clients.tts)
    const renewed = await again.refresh({ refreshToken, audience: 'https://tts', signal })
    expect(decodeJwt(renewed.accessToken).sub).toBe(claims.sub)
  })

  test('works where exchange gives no offline access (Keycloak)', async () => {
    provider().tokens.offlineAccessByExchange = 'refused'
    const login = await begin()
    const granted = await login.complete(await logIn(login.url), signal)
    expect(granted.refreshToken).toEqual(expect.any(String))
  })

  test('a code is good for the login that it was asked for, once', async () => {
    const [mine, other] = [await begin(), await begin()]
    const returned = await logIn(mine.url)
    // The same code under the state of another login: its PKCE verifier does not fit.
    const swapped = new URL(returned)
    swapped.searchParams.set('state', other.state)
    const stolen = await refusalOf(other.complete(swapped, signal))
    expect(stolen.error).toMatchObject({ code: 'grant_refused', check: 'login_expired' })
    expect(stolen.printed).not.toContain(returned.searchParams.get('code'))
    const foreign = new URL(returned)
    foreign.searchParams.set('state', 'of-nobody')
    await expect(mine.complete(foreign, signal)).rejects.toMatchObject({
      code: 'provider_unavailable',
    })
  })

  test.for([
    { error: 'access_denied', description: '', check: 'login_denied' },
    { error: 'access_denied', description: 'User alice is not active.', check: 'user_disabled' },
    {
      error: 'invalid_scope',
      description: 'requested scope is not allowed',
      check: 'scope_not_allowed',
    },
    { error: 'unauthorized_client', description: '', check: 'grant_not_enabled' },
  ])('$error ($description) comes back as $check', async ({ error, description, check }) => {
    const login = await begin()
    const returned = new URL(redirectUri)
    returned.search = new URLSearchParams({
      error,
      error_description: description,
      state: login.state,
    }).toString()
    await expect(login.complete(returned, signal)).rejects.toMatchObject({
      code: 'grant_refused',
      check,
    })
  })

  test('without offline access it is told', async () => {
    const login = await begin()
    const url = new URL(login.url)
    url.searchParams.set('scope', 'openid profile')
    url.searchParams.delete('prompt')
    const returned = await logIn(url.href)
    await expect(login.complete(returned, signal)).rejects.toMatchObject({
      check: 'offline_access_refused',
    })
  })
})
