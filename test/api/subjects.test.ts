import { createHash, X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { lastCommonName } from '../../ca/name.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { AUDIENCE, startTestService, type TestService } from '../support/service.ts'
import { proxyJson, wideLimits } from './support.ts'

const BASE = '/C=EU/O=INDIGO/OU=TTS'
let service: TestService
let second: IdentityProvider

beforeAll(async () => {
  second = await startIdentityProvider()
  service = await startTestService({
    configuration: (provider) => ({
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: wideLimits,
      providers: {
        iam: { issuer: provider.issuer, alias: 'indigo-iam-test', audiences: [AUDIENCE] },
        other: { issuer: second.issuer, alias: 'other', audiences: [AUDIENCE] },
      },
      services: {
        proxy: {
          authz: { allow: [{ provider: 'any', claims: { groups: { contains: 'cms' } } }] },
        },
      },
    }),
  })
})
afterAll(async () => {
  await service.stop()
  await second.close()
})

/** What the naming rule says, written down a second time: base32 of SHA-256 over both, in UTF-16 with lengths. */
function digestName(configuredIssuer: string, sub: string, alias: string): string {
  const hash = createHash('sha256')
  // One slash more or less at the end makes no other identity.
  const issuer = configuredIssuer.replace(/\/$/, '')
  for (const part of [issuer, sub])
    hash.update(`${part.length}:`).update(Buffer.from(part, 'utf16le'))
  let bits = 0n
  for (const byte of hash.digest()) bits = (bits << 8n) | BigInt(byte)
  let text = ''
  for (let place = 0n; place < 40n; place += 1n)
    text += 'abcdefghijklmnopqrstuvwxyz234567'[Number((bits >> (251n - 5n * place)) & 31n)]
  return `h-${text}@${alias}`
}

const digest = Symbol('digest')
const lookAlike = `h-${'a'.repeat(40)}`

/** `sub`, and the CN that is wanted: as it is, or the digest. */
const rows: readonly { name: string; sub: string; cn: string | typeof digest }[] = [
  {
    name: 'UUID',
    sub: '5f1c…'.replace('…', '0000-1111-2222-3333-444455556666'),
    cn: '5f1c0000-1111-2222-3333-444455556666',
  },
  { name: 'plain', sub: 'alice.example_1@org', cn: 'alice.example_1@org' },
  { name: 'slashes', sub: 'a/b', cn: digest },
  { name: '/CN=admin', sub: 'x/CN=admin', cn: digest },
  { name: 'whole DN', sub: '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA', cn: digest },
  { name: 'CN= of another', sub: 'CN=admin', cn: digest },
  { name: 'plus', sub: 'a+CN=b', cn: digest },
  { name: 'comma', sub: 'a,CN=b', cn: digest },
  { name: 'backslash', sub: 'a\\b', cn: digest },
  { name: 'quote', sub: 'a"b', cn: digest },
  { name: 'blank', sub: 'a b', cn: digest },
  { name: 'two blanks', sub: 'a  b', cn: digest },
  { name: 'blank before', sub: ' a', cn: digest },
  { name: 'blank after', sub: 'a ', cn: digest },
  { name: 'NUL', sub: 'admin\0x', cn: digest },
  { name: 'NUL alone', sub: '\0', cn: digest },
  { name: 'newline', sub: 'a\nb', cn: digest },
  { name: 'newline after', sub: 'alice\n', cn: digest },
  { name: 'carriage return', sub: 'a\rb', cn: digest },
  { name: 'DEL', sub: 'a\x7f', cn: digest },
  { name: 'emoji', sub: 'a🙂', cn: digest },
  { name: 'lone surrogate', sub: 'a\ud83d', cn: digest },
  { name: 'another lone surrogate', sub: 'a\ud83e', cn: digest },
  { name: 'replacement character', sub: 'a\ufffd', cn: digest },
  { name: 'Cyrillic look-alike', sub: 'аlice', cn: digest },
  { name: 'composed', sub: 'é', cn: digest },
  { name: 'decomposed', sub: 'e\u0301', cn: digest },
  { name: 'full width', sub: 'ａlice', cn: digest },
  { name: 'right-to-left override', sub: 'a\u202eb', cn: digest },
  { name: 'zero width', sub: 'ali\u200bce', cn: digest },
  { name: '300 characters', sub: 'a'.repeat(300), cn: digest },
  { name: '299 characters and another', sub: `${'a'.repeat(299)}b`, cn: digest },
  { name: '48 characters, which just fit', sub: 'b'.repeat(48), cn: 'b'.repeat(48) },
  { name: '49 characters, one too many', sub: 'b'.repeat(49), cn: digest },
  { name: 'proxy', sub: 'proxy', cn: 'proxy' },
  { name: 'limited proxy', sub: 'limited proxy', cn: digest },
  { name: 'digits', sub: '889915561', cn: '889915561' },
  { name: 'a digest', sub: lookAlike, cn: digest },
  { name: 'a digest in capitals', sub: lookAlike.toUpperCase(), cn: digest },
  { name: '@', sub: '@', cn: '@' },
  { name: 'with an alias already', sub: 'alice@other', cn: 'alice@other' },
  { name: 'dots', sub: '..', cn: '..' },
  { name: 'hyphen first', sub: '-rf', cn: '-rf' },
  { name: '__proto__', sub: '__proto__', cn: '__proto__' },
  { name: 'constructor', sub: 'constructor', cn: 'constructor' },
  { name: 'SQL', sub: "'; drop table identities; --", cn: digest },
  { name: 'wildcard', sub: '*', cn: digest },
  { name: '1024 characters of four bytes', sub: '🙂'.repeat(512), cn: digest },
]

async function subjectOf(sub: string, provider: IdentityProvider = service.provider) {
  const token = provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })
  const answer = await proxyJson(service, { token })
  const [proxy, eec] = parseProxyFile(answer.pem).certificates
  if (!proxy || !eec) throw new Error('two certificates are wanted')
  return { ...answer, eec, proxy, subject: formatSlashDn(eec.subject) }
}

const seen = new Map<string, string>()

test.for(rows)('$name', async ({ name, sub, cn }) => {
  const { issuer } = service.provider
  const alias = 'indigo-iam-test'
  const wanted = cn === digest ? digestName(issuer, sub, alias) : `${cn}@${alias}`
  const { eec, proxy, subject, identity } = await subjectOf(sub)
  expect(subject).toBe(`${BASE}/CN=${wanted}`)
  expect(identity).toBe(subject)
  // Node's own reader sees one CN under the base and no other name hidden in it.
  const lines = new X509Certificate(eec.der).subject.split('\n')
  expect(lines).toEqual(['C=EU', 'O=INDIGO', 'OU=TTS', `CN=${wanted}`])
  expect(wanted.length).toBeLessThanOrEqual(64)
  expect(formatSlashDn(proxy.subject.slice(0, -1))).toBe(subject)
  expect(lastCommonName(proxy.subject)).toMatch(/^\d+$/)
  // Nobody else has the name, in whatever letter case.
  expect(seen.get(subject.toLowerCase())).toBeUndefined()
  seen.set(subject.toLowerCase(), name)
  // The same identity gets the same name again.
  expect((await subjectOf(sub)).subject).toBe(subject)
})

describe('letter case', () => {
  test('the second identity that differs in case alone gets its digest name', async () => {
    const { issuer } = service.provider
    expect((await subjectOf('Bob')).subject).toBe(`${BASE}/CN=Bob@indigo-iam-test`)
    for (const sub of ['bob', 'BOB']) {
      expect((await subjectOf(sub)).subject).toBe(
        `${BASE}/CN=${digestName(issuer, sub, 'indigo-iam-test')}`,
      )
    }
    expect((await subjectOf('Bob')).subject).toBe(`${BASE}/CN=Bob@indigo-iam-test`)
  })

  test('also when they come at once', async () => {
    const subs = ['carol', 'Carol', 'cArol', 'caRol', 'CAROL']
    const all = await Promise.all([...subs, ...subs].map(async (sub) => subjectOf(sub)))
    const names = all.map(({ subject }) => subject)
    expect(new Set(names.map((name) => name.toLowerCase())).size).toBe(subs.length)
    expect(names.slice(0, subs.length)).toEqual(names.slice(subs.length))
    expect(names.filter((name) => /CN=carol@/i.test(name))).toHaveLength(2)
  })
})

describe('two providers', () => {
  test.for(['dave', 'dave/x', 'dave@indigo-iam-test'])('the same sub at both: %s', async (sub) => {
    const here = await subjectOf(sub)
    const there = await subjectOf(sub, second)
    expect(here.subject).not.toBe(there.subject)
    expect(here.subject.endsWith('@indigo-iam-test')).toBe(true)
    expect(there.subject.endsWith('@other')).toBe(true)
  })

  test('an alias within the sub does not reach into the other provider', async () => {
    const here = await subjectOf('erin@other')
    const there = await subjectOf('erin', second)
    expect(here.subject).toBe(`${BASE}/CN=erin@other@indigo-iam-test`)
    expect(there.subject).toBe(`${BASE}/CN=erin@other`)
  })

  test('the issuer of the other in `iss` with our key is refused', async () => {
    const token = service.provider.mint({
      claims: { iss: second.issuer, sub: 'frank', groups: ['cms'], aud: AUDIENCE },
    })
    await expect(proxyJson(service, { token })).rejects.toThrow()
  })
})

test('issuer and sub stand in subjectAltName, percent-encoded', async () => {
  const { eec } = await subjectOf('a/b c+d')
  const text = new X509Certificate(eec.der).subjectAltName
  expect(text).toBe(`URI:${service.provider.issuer}a%2Fb%20c%2Bd`)
})
