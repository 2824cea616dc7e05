import * as oidc from 'openid-client'

/** A login like that of a user with a browser. */
export interface LoginRequest {
  readonly issuer: string
  readonly clientId: string
  /** Only for confidential clients. */
  readonly clientSecret?: string
  readonly username: string
  /** Blank-separated scopes. Default `openid profile email`. */
  readonly scope?: string
  /** Audience to request with IAM's parameter `audience`. */
  readonly audience?: string
  /** Default `http://127.0.0.1/callback`. No server is needed there, because the agent reads the redirect itself. */
  readonly redirectUri?: string
  /** Time limit for the whole login, in milliseconds. Default 10,000. */
  readonly timeoutMs?: number
}

/**
 * Gets tokens by the authorization code flow with PKCE (RFC 7636). openid-client is the application. The user agent
 * is a scripted browser that follows redirects, keeps cookies and submits the login form.
 */
export async function obtainAccessToken(
  request: LoginRequest,
): Promise<oidc.TokenEndpointResponse & oidc.TokenEndpointResponseHelpers> {
  const config = await discover(request)
  const redirectUri = request.redirectUri ?? 'http://127.0.0.1/callback'
  const pkceCodeVerifier = oidc.randomPKCECodeVerifier()
  const expectedState = oidc.randomState()
  const url = oidc.buildAuthorizationUrl(config, {
    redirect_uri: redirectUri,
    scope: request.scope ?? 'openid profile email',
    state: expectedState,
    code_challenge: await oidc.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    ...(request.audience !== undefined && { audience: request.audience }),
  })
  const browser = new Browser(AbortSignal.timeout(request.timeoutMs ?? 10_000))
  const callback = await browser.logIn(url, redirectUri, request.username)
  return oidc.authorizationCodeGrant(config, callback, { pkceCodeVerifier, expectedState })
}

async function discover(request: LoginRequest): Promise<oidc.Configuration> {
  const issuer = new URL(request.issuer)
  const loopback = ['127.0.0.1', 'localhost', '[::1]'].includes(issuer.hostname)
  const authentication =
    request.clientSecret === undefined ? oidc.None() : oidc.ClientSecretBasic(request.clientSecret)
  return oidc.discovery(issuer, request.clientId, undefined, authentication, {
    timeout: Math.ceil((request.timeoutMs ?? 10_000) / 1000),
    ...(loopback && { execute: [oidc.allowInsecureRequests] }),
  })
}

/** Maximum number of pages and redirects in a login. */
const MAX_STEPS = 15

interface Cookie {
  readonly value: string
  readonly path: string
}

/** A minimal browser for logins: redirects, cookies, one form. */
class Browser {
  readonly #cookies = new Map<string, Cookie>()
  readonly #signal: AbortSignal

  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Returns the redirect back to the application. Throws Error if the login does not reach it. */
  async logIn(start: URL, redirectUri: string, username: string): Promise<URL> {
    let url = start
    let form: URLSearchParams | undefined
    for (let step = 0; step < MAX_STEPS; step += 1) {
      const response = await this.#request(url, form)
      form = undefined
      const location = response.headers.get('location')
      if (location !== null) {
        url = new URL(location, url)
        if (url.href.startsWith(redirectUri)) return url
        if (url.origin !== start.origin) throw new Error('the login redirects to another host')
      } else if (response.ok && (await response.text()).includes('<form method="post"')) {
        form = new URLSearchParams({ username })
      } else {
        throw new Error(`the login page answered ${response.status}`)
      }
    }
    throw new Error('the login needs too many steps')
  }

  async #request(url: URL, form: URLSearchParams | undefined): Promise<Response> {
    const response = await fetch(url, {
      redirect: 'manual',
      headers: { cookie: this.#cookieHeader(url) },
      signal: this.#signal,
      ...(form !== undefined && { method: 'POST', body: form }),
    })
    for (const line of response.headers.getSetCookie()) this.#keep(line)
    return response
  }

  #keep(line: string): void {
    const [pair = '', ...attributes] = line.split(';').map((part) => part.trim())
    const name = pair.slice(0, pair.indexOf('='))
    const path = attributes.find((part) => part.toLowerCase().startsWith('path='))?.slice(5) ?? '/'
    const expires = attributes.find((part) => part.toLowerCase().startsWith('expires='))?.slice(8)
    const value = pair.slice(name.length + 1)
    if (expires !== undefined && Date.parse(expires) < Date.now()) this.#cookies.delete(name)
    else this.#cookies.set(name, { value, path })
  }

  #cookieHeader(url: URL): string {
    return [...this.#cookies]
      .filter(([, cookie]) => url.pathname.startsWith(cookie.path))
      .map(([name, cookie]) => `${name}=${cookie.value}`)
      .join('; ')
  }
}
