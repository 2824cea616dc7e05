/**
 * A site that sends its users to the service: real keys, a real web server for them, and requests signed as sites
 * sign them.
 */
import { generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'
import type { TestService } from '../support/service.ts'
import { type Answer, Browser } from '../web/support.ts'

export interface SiteKey {
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
}

export function makeKey(kid: string, modulusLength = 2048): SiteKey {
  return { kid, ...generateKeyPairSync('rsa', { modulusLength }) }
}

export function jwkSet(keys: readonly SiteKey[]): object {
  return {
    keys: keys.map(({ kid, publicKey }) => ({
      ...publicKey.export({ format: 'jwk' }),
      kid,
      use: 'sig',
      alg: 'RS256',
    })),
  }
}

/** The site: its keys under /jwk, and all its pages under its origin. */
export interface Site {
  readonly url: string
  readonly key: SiteKey
  /** What the site publishes; tests change it. */
  readonly published: { keys: readonly SiteKey[]; status: number; asked: number; hang: boolean }
  close(): Promise<void>
}

export async function startSite(): Promise<Site> {
  const key = makeKey('key-1')
  const published = { keys: [key], status: 200, asked: 0, hang: false }
  const server: Server = createServer((_request, response) => {
    published.asked += 1
    if (published.hang) return
    response.writeHead(published.status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(jwkSet(published.keys)))
  }).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    key,
    published,
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

export interface Signing {
  readonly claims?: Record<string, unknown>
  readonly header?: Record<string, unknown>
  readonly key?: SiteKey
  /** Seconds since the epoch. */
  readonly at?: number
}

/**
 * A request for the service `info` of the site's user `u-1`, as `changes` have it; a claim that is undefined is left
 * out.
 */
export async function signed(site: Site, changes: Signing = {}): Promise<string> {
  const { claims = {}, header = {}, key = site.key } = changes
  const at = changes.at ?? Math.floor(Date.now() / 1000)
  const all = {
    iss: 'portal',
    sub: 'u-1',
    iat: at,
    exp: at + 60,
    jti: randomUUID(),
    watts_service: 'info',
    success_url: `${site.url}/app/done`,
    failed_url: `${site.url}/app/failed`,
    ...claims,
  }
  const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return new SignJWT(given)
    .setProtectedHeader({ alg: 'RS256', typ: 'watts-rsp', kid: key.kid, ...header })
    .sign(key.privateKey)
}

/** The browser of a user who follows a link on the site. */
export class SiteUser extends Browser {
  readonly site: Site

  constructor(service: Pick<TestService, 'url'>, site: Site) {
    super(service)
    this.site = site
  }

  /** Opens the link with a signed request; the browser tells where it was. */
  async arrive(jwt: string, headers: Record<string, string | undefined> = {}): Promise<Answer> {
    const all = { referer: `${this.site.url}/app/start`, ...headers }
    const given = Object.entries(all).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value] as const],
    )
    return this.ask(`/rsp/${jwt}`, { headers: Object.fromEntries(given) })
  }

  relyingCookie(): string | undefined {
    return this.cookies.get(`${new URL(this.service.url).host} tts_relying`)
  }

  setRelyingCookie(value: string): void {
    this.cookies.set(`${new URL(this.service.url).host} tts_relying`, value)
  }
}

/** What a page of a refusal says: its sentence and the check. */
export function refusalOf({ text }: Answer): readonly [string, string | undefined] {
  const [, sentence = ''] =
    /<bdi\s*>([^<]*)<\/bdi\s*>/.exec(text.slice(text.indexOf('role="alert"'))) ?? []
  const [, check] = /Check: <code>([^<]*)<\/code>/.exec(text) ?? []
  return [sentence.trim(), check]
}
