/** Every signed request that must be refused, with status, words, audit line; and nothing of it in the log. */
import { createHmac } from 'node:crypto'
import { UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestService, type TestService } from '../support/service.ts'
import { withLogin } from '../web/support.ts'
import {
  makeKey,
  refusalOf,
  type Signing,
  signed,
  type Site,
  startSite,
  SiteUser,
} from './support.ts'

const everybody = [{ provider: 'rsp-portal', claims: { sub: { any: true } } }]
let site: Site
let service: TestService
beforeAll(async () => {
  site = await startSite()
  const portal = {
    keys_location: `${site.url}/jwk`,
    base_url: `${site.url}/app`,
    perform_login: false,
  }
  service = await startTestService(
    withLogin({
      services: {
        info: { plugin: 'info', authz: { allow: everybody } },
        closed: { plugin: 'info' },
        off: { plugin: 'info', enabled: false, authz: { allow: everybody } },
      },
      relying_services: {
        portal,
        other: { ...portal, base_url: `${site.url}/other`, require_referer: false },
        strict: { ...portal, audiences: ['https://tts.example.org'] },
        login: { ...portal, perform_login: true },
      },
    }),
  )
})
afterAll(async () => {
  await service.stop()
  await site.close()
})

const now = (): number => Math.floor(Date.now() / 1000)
const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const weak = makeKey('weak', 1024)
const stranger = makeKey('key-1')
const unknown = makeKey('key-2')

interface Row {
  readonly name: string
  readonly request?: Signing
  readonly text?: () => Promise<string> | string
  readonly headers?: Record<string, string | undefined>
  readonly status: number
  readonly check: string
  readonly says: string
  /** Whether the request was verified, so that the page has a link back. */
  readonly back?: true
}

const sound = async (): Promise<string> => signed(site)
const parts = async (): Promise<string[]> => (await sound()).split('.')
const elsewhere = (name: string): string =>
  `The URL to send you back to is not under the base URL of the site (claim ${name}).`
const noClaim = (name: string): string =>
  `The claim ${name} of the signed request is missing or malformed.`
const foreignReferer =
  'You come from another site than the one that signed the request (header Referer).'
const noReferer =
  'Your browser did not report the site that you come from (header Referer): follow the link on the site.'
const wrongAlgorithm =
  'The signed request uses an algorithm that is not accepted (header alg must be RS256).'
const notSigned = 'The address contains no signed request (JWT).'
const embedded = 'The site must use a link to send you here, not embed this page in its own.'

const rows: readonly Row[] = [
  { name: 'no JWT', text: () => 'nonsense', status: 400, check: 'format', says: notSigned },
  {
    name: 'three parts of nothing',
    text: () => 'a.b.c',
    status: 400,
    check: 'format',
    says: notSigned,
  },
  {
    name: 'too long',
    request: { claims: { sub: 'x'.repeat(7000) } },
    status: 400,
    check: 'size',
    says: 'The signed request is longer than 8192 characters.',
  },
  {
    name: 'alg none',
    text: () =>
      new UnsecuredJWT({ iss: 'portal', sub: 'u', watts_service: 'info' })
        .setIssuedAt()
        .setExpirationTime('1m')
        .encode(),
    status: 403,
    check: 'algorithm',
    says: wrongAlgorithm,
  },
  {
    name: 'HS256 with the public key',
    text: async () => {
      const [, payload = ''] = await parts()
      const input = `${encode({ alg: 'HS256', typ: 'watts-rsp', kid: 'key-1' })}.${payload}`
      const pem = site.key.publicKey.export({ format: 'pem', type: 'spki' })
      return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
    },
    status: 403,
    check: 'algorithm',
    says: wrongAlgorithm,
  },
  {
    name: 'PS256 by the right key',
    request: { header: { alg: 'PS256' } },
    status: 403,
    check: 'algorithm',
    says: wrongAlgorithm,
  },
  ...['JWT', 'WATTS-RSP', 'application/watts-rsp', undefined].map((typ) => ({
    name: `typ ${String(typ)}`,
    request: { header: { typ } },
    status: 403,
    check: 'type',
    says: 'The signed request has the wrong type (header typ must be watts-rsp).',
  })),
  ...['nobody', '__proto__', undefined, 7].map((iss) => ({
    name: `iss ${String(iss)}`,
    request: { claims: { iss } },
    status: 403,
    check: 'issuer',
    says: 'The site is not configured here (claim iss).',
  })),
  {
    name: "a key of the right name that is not the site's",
    request: { key: stranger },
    status: 403,
    check: 'signature',
    says: 'The signed request has an invalid signature.',
  },
  {
    name: 'a changed claim',
    text: async () => {
      const [header = '', payload = '', signature = ''] = await parts()
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as object
      return [header, encode({ ...claims, sub: 'admin' }), signature].join('.')
    },
    status: 403,
    check: 'signature',
    says: 'The signed request has an invalid signature.',
  },
  {
    name: 'an unknown key',
    request: { key: unknown },
    status: 403,
    check: 'key',
    says: 'The signed request is signed with a key that the site does not publish.',
  },
  {
    name: 'a critical extension',
    text: async () => {
      const [, payload = '', signature = ''] = await parts()
      const header = { alg: 'RS256', typ: 'watts-rsp', kid: 'key-1', crit: ['b64'], b64: false }
      return [encode(header), payload, signature].join('.')
    },
    status: 403,
    check: 'signature',
    says: 'The signed request has an invalid signature.',
  },
  {
    name: 'expired',
    request: { claims: { iat: now() - 100, exp: now() - 40 } },
    status: 403,
    check: 'expired',
    says: 'The signed request has expired (claim exp): go back to the site and start again.',
  },
  {
    name: 'older than is taken, with an exp of next year',
    request: { claims: { iat: now() - 340, exp: now() + 31_000_000 } },
    status: 403,
    check: 'expired',
    says: 'The signed request has expired (claim iat): go back to the site and start again.',
  },
  {
    name: 'iat in the future',
    request: { at: now() + 120 },
    status: 403,
    check: 'not_yet_valid',
    says: 'The signed request is not valid yet (claim iat).',
  },
  {
    name: 'nbf in the future',
    request: { claims: { nbf: now() + 120 } },
    status: 403,
    check: 'not_yet_valid',
    says: 'The signed request is not valid yet (claim nbf).',
  },
  ...['sub', 'exp', 'iat', 'watts_service'].map((claim) => ({
    name: `no ${claim}`,
    request: { claims: { [claim]: undefined } },
    status: 400,
    check: 'claims',
    says: noClaim(claim),
  })),
  ...(
    [
      ['sub', ''],
      ['sub', 7],
      ['sub', 'x'.repeat(1025)],
      ['exp', 'soon'],
      ['watts_service', ['info']],
      ['watts_params', 'text'],
      ['watts_params', [['a', 'b']]],
      ['watts_provider', 1],
      ['success_url', {}],
      ['failed_url', null],
    ] as const
  ).map(([claim, value]) => ({
    name: `${claim} ${JSON.stringify(value).slice(0, 20)}`,
    request: { claims: { [claim]: value } },
    status: 400,
    check: 'claims',
    says: noClaim(claim),
  })),
  {
    name: 'another audience',
    request: { claims: { aud: 'https://elsewhere.example.org' } },
    status: 403,
    check: 'audience',
    says: 'The signed request is for another service (claim aud).',
  },
  {
    name: 'no audience where one is wanted',
    request: { claims: { iss: 'strict' } },
    status: 403,
    check: 'audience',
    says: 'The signed request is for another service (claim aud).',
  },
  ...['success_url', 'failed_url'].flatMap((claim) =>
    [
      () => 'https://evil.example.org/',
      () => `${site.url}.evil.example.org/app`,
      () => site.url.replace('127.0.0.1', '127.0.0.1.evil.example.org') + '/app/x',
      () => site.url.replace('//', '//portal@') + '/app/x',
      () => `http://${new URL(site.url).host}@evil.example.org/app/`,
      () => `${site.url.replace(/:\d+$/, ':1')}/app/`,
      () => `${site.url}/`,
      () => `${site.url}/application`,
      () => `${site.url}/app/../other`,
      () => `${site.url}/app/%2e%2e/other`,
      () => `${site.url}/app/%2e%2e%2fother`,
      () => `${site.url}/app\\..\\..\\other`,
      () => site.url.replace('http:', 'https:') + '/app/',
      () => '//evil.example.org/app',
      () => '/app/x',
      () => 'javascript:alert(1)',
      () => `${site.url}/app/\r\nSet-Cookie: a=b`,
      () => `\t${site.url}/app/`,
      () => `${site.url}/app/${'x'.repeat(2048)}`,
    ].map((url, index) => ({
      name: `${claim} elsewhere ${index}`,
      text: () => signed(site, { claims: { [claim]: url() } }),
      status: 403,
      check: 'return_url',
      says: elsewhere(claim),
    })),
  ),
  {
    name: 'no Referer',
    headers: { referer: undefined },
    status: 403,
    check: 'referer',
    says: noReferer,
  },
  ...[
    () => 'https://evil.example.org/',
    () => `${site.url}.evil.example.org/app`,
    () => `${site.url}/elsewhere`,
    () => `${site.url}/?app`,
    () => 'nonsense',
  ].map((referer, index) => ({
    name: `a Referer elsewhere ${index}`,
    get headers() {
      return { referer: referer() }
    },
    status: 403,
    check: 'referer',
    says: foreignReferer,
  })),
  {
    name: 'a Referer elsewhere where none is wanted',
    request: { claims: { iss: 'other', success_url: undefined, failed_url: undefined } },
    headers: { referer: 'https://evil.example.org/' },
    status: 403,
    check: 'referer',
    says: foreignReferer,
  },
  ...['iframe', 'image', 'empty'].map((destination) => ({
    name: `as ${destination}`,
    headers: { 'sec-fetch-dest': destination },
    status: 403,
    check: 'navigation',
    says: embedded,
  })),
  {
    name: 'fetched in advance',
    headers: { 'sec-fetch-dest': 'document', 'sec-purpose': 'prefetch;prerender' },
    status: 403,
    check: 'navigation',
    says: embedded,
  },
  {
    name: 'an unknown service',
    request: { claims: { watts_service: 'nothing' } },
    status: 404,
    check: 'service',
    says: 'The site requests a service that does not exist.',
    back: true,
  },
  {
    name: "a service whose rules do not let the site's users in",
    request: { claims: { watts_service: 'closed' } },
    status: 403,
    check: 'authorisation',
    says: 'No rule of this service allows users of the provider rsp-portal.',
    back: true,
  },
  {
    name: 'a login without a provider',
    request: { claims: { iss: 'login' } },
    status: 400,
    check: 'claims',
    says: noClaim('watts_provider'),
    back: true,
  },
  {
    name: 'a login at an unknown provider',
    request: { claims: { iss: 'login', watts_provider: 'nowhere' } },
    status: 400,
    check: 'provider',
    says: 'This service does not offer login with the provider that the site names.',
    back: true,
  },
]

describe('a signed request is refused', () => {
  test.for(rows)('$name', async (row) => {
    const { request, text, headers = {}, status, check, says, back } = row
    const jwt = await (text ?? (() => signed(site, request)))()
    const siteUser = new SiteUser(service, site)
    const answer = await siteUser.arrive(jwt, headers)
    expect([answer.status, ...refusalOf(answer)]).toEqual([status, says, check])
    expect([answer.headers.get('location'), siteUser.lines]).toEqual([null, []])
    expect(answer.text.includes(`href="${site.url}/app/failed"`)).toBe(back === true)
    expect(answer.text).not.toContain('evil.example.org')
    const [line] = await service.running.service.store.listAudit({ limit: 1 })
    expect(line).toMatchObject({
      event: 'credential.refused',
      outcome: 'refused',
      check,
      origin: { interface: 'rsp' },
      ...(back === true ? { sub: 'u-1' } : { issuer: undefined, sub: undefined }),
    })
  })

  test('a key that is too weak, once the site publishes it', async () => {
    const weakSite = await startSite()
    weakSite.published.keys = [weak]
    const portal = {
      keys_location: `${weakSite.url}/jwk`,
      base_url: site.url,
      perform_login: false,
    }
    const other = await startTestService(withLogin({ relying_services: { portal } }))
    try {
      const { privateKey } = weak
      const { sign } = await import('node:crypto')
      const [, payload = ''] = (await signed(site)).split('.')
      const input = `${encode({ alg: 'RS256', typ: 'watts-rsp', kid: 'weak' })}.${payload}`
      const jwt = `${input}.${sign('sha256', Buffer.from(input), privateKey).toString('base64url')}`
      const answer = await new SiteUser(other, site).arrive(jwt)
      expect([answer.status, ...refusalOf(answer)]).toEqual([
        403,
        'The key of the site cannot be used for RS256: it must be an RSA key of at least 2048 bits.',
        'key',
      ])
    } finally {
      await other.stop()
      await weakSite.close()
    }
  })

  test('nothing of the requests is in the log, whatever they look like', async () => {
    const siteUser = new SiteUser(service, site)
    const jwt = await signed(site, { claims: { sub: 'not-for-the-log' } })
    // A header that begins with a blank does not look like other JWTs do.
    const odd = `IHsi${jwt.slice(4)}`
    for (const text of [jwt, jwt, odd, 'short-secret', jwt.slice(0, 40)]) {
      await siteUser.arrive(text)
      await siteUser.ask(`/RSP/${text}`)
      await siteUser.ask(`/rsp/${text}/`)
      await siteUser.ask(`/rsp/${text}/more`, { method: 'HEAD' })
    }
    const log = service.logged.join('')
    expect(log).toContain('"/rsp/[...]"')
    for (const part of [...jwt.split('.'), odd.slice(0, 40), 'short-secret'])
      expect(log).not.toContain(part.slice(0, 36))
    const audit = JSON.stringify(await service.running.service.store.listAudit({ limit: 100 }))
    for (const part of jwt.split('.')) expect(audit).not.toContain(part)
  })
})

test('methods but GET use nothing up', async () => {
  const siteUser = new SiteUser(service, site)
  const jwt = await signed(site)
  for (const method of ['HEAD', 'POST', 'DELETE'])
    expect((await siteUser.ask(`/rsp/${jwt}`, { method })).status).toBe(405)
  const options = await siteUser.ask(`/rsp/${jwt}`, { method: 'OPTIONS' })
  expect([options.status, options.headers.get('allow')]).toEqual([204, 'GET, OPTIONS'])
  expect((await siteUser.ask('/rsp/request', { method: 'HEAD' })).status).toBe(405)
  expect((await siteUser.arrive(jwt)).status).toBe(302)
})
