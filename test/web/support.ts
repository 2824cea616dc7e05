/** A browser of few means for the web page: cookies, redirects, forms; and a service where people can log in. */
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import { wideLimits } from '../api/support.ts'
import { AUDIENCE, type TestService, type TestServiceOptions } from '../support/service.ts'

/** A configuration with login at the demo provider. */
export function withLogin(
  changes: Record<string, Record<string, unknown>> = {},
  provider: Record<string, unknown> = {},
): TestServiceOptions {
  return {
    identityProvider: { tokens: { includeAuthnInfo: true } },
    configuration: (idp: IdentityProvider) => ({
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: wideLimits,
      ...changes,
      providers: {
        iam: {
          issuer: idp.issuer,
          alias: 'indigo-iam-test',
          description: 'Demo IAM',
          audiences: [AUDIENCE],
          client_id: idp.clients.tts.clientId,
          client_secret: idp.clients.tts.clientSecret,
          ...provider,
        },
        ...changes['providers'],
      },
    }),
  }
}

export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
}

interface Wish {
  readonly method?: string
  readonly form?: Record<string, string>
  readonly headers?: Record<string, string>
}

/** Keeps cookies by host and follows no redirect unless told to. */
export class Browser {
  readonly cookies = new Map<string, string>()
  /** `Set-Cookie` lines as they came, newest last. */
  readonly lines: string[] = []
  readonly service: Pick<TestService, 'url'>

  constructor(service: Pick<TestService, 'url'>) {
    this.service = service
  }

  async ask(path: string, wanted: Wish = {}): Promise<Answer> {
    const url = new URL(path, this.service.url)
    const key = (name: string): string => `${url.host} ${name}`
    const own = [...this.cookies].filter(([name]) => name.startsWith(key('')))
    const cookie = own.map(([name, value]) => `${name.slice(key('').length)}=${value}`).join('; ')
    const response = await fetch(url, {
      method: wanted.method ?? (wanted.form === undefined ? 'GET' : 'POST'),
      redirect: 'manual',
      headers: { accept: 'text/html', ...(cookie === '' ? {} : { cookie }), ...wanted.headers },
      ...(wanted.form === undefined ? {} : { body: new URLSearchParams(wanted.form) }),
    })
    for (const line of response.headers.getSetCookie()) {
      this.lines.push(line)
      const [pair = ''] = line.split(';')
      const at = pair.indexOf('=')
      const isOver = /max-age=0|expires=thu, 01 jan 1970/i.test(line)
      if (isOver) this.cookies.delete(key(pair.slice(0, at)))
      else this.cookies.set(key(pair.slice(0, at)), pair.slice(at + 1))
    }
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

  /** Goes where redirects lead, at the provider too, and logs in there. */
  async follow(path: string, username: string): Promise<Answer & { readonly path: string }> {
    let url = new URL(path, this.service.url)
    let answer = await this.ask(url.href)
    for (let step = 0; step < 20; step += 1) {
      const location = answer.headers.get('location')
      if (location !== null) {
        url = new URL(location, url)
        answer = await this.ask(url.href)
      } else if (url.pathname.startsWith('/interaction/')) {
        answer = await this.ask(url.href, { form: { username } })
      } else break
    }
    return { ...answer, path: `${url.pathname}${url.search}` }
  }

  /** Logs in and answers the page that was shown then. */
  async logIn(username = 'alice', returnPath = '/services'): Promise<Answer & { path: string }> {
    return this.follow(`/login/start?provider=iam&return=${returnPath}`, username)
  }

  /** Value of our own cookie. */
  cookie(name: 'tts_session' | 'tts_login'): string | undefined {
    return this.cookies.get(`${new URL(this.service.url).host} ${name}`)
  }

  setCookie(name: 'tts_session' | 'tts_login', value: string): void {
    this.cookies.set(`${new URL(this.service.url).host} ${name}`, value)
  }
}

/** The hidden fields of the first form on a page that is sent to `action`. */
export function fieldsOf(page: string, action: string): Record<string, string> {
  const start = page.indexOf(`action="${action}"`)
  if (start < 0) throw new Error(`there is no form for ${action} on the page`)
  const form = page.slice(start, page.indexOf('</form>', start))
  return Object.fromEntries(
    [...form.matchAll(/<input\s+type="hidden"\s+name="([^"]*)"\s+value="([^"]*)"/g)].map(
      ([, name = '', value = '']) => [name, value],
    ),
  )
}
