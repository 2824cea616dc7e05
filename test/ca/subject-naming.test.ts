import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { lastCommonName, nameNode } from '../../ca/name.ts'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import { aliasPattern, comparableName, subjectCandidates } from '../../ca/subject-naming.ts'
import { subject } from '../support/arbitraries.ts'

const base = parseSlashDn('/C=EU/O=INDIGO/OU=TTS')
const issuer = 'https://iam.example.org/'

const commonNames = (sub: string, alias = 'iam', from = issuer): (string | undefined)[] =>
  subjectCandidates(base, { issuer: from, sub, alias }).map(lastCommonName)

/** The digest name written a second time: RFC 4648 base32 over the SHA-256, bit by bit. */
function digestName(sub: string, alias = 'iam', from = issuer): string {
  const hashed = [from, sub].flatMap((part) => [
    Buffer.from(`${part.length}:`),
    Buffer.from(part, 'utf16le'),
  ])
  let left = BigInt(`0x${createHash('sha256').update(Buffer.concat(hashed)).digest('hex')}`) >> 56n
  let text = ''
  for (let index = 0; index < 40; index += 1, left >>= 5n)
    text = 'abcdefghijklmnopqrstuvwxyz234567'.charAt(Number(left & 31n)) + text
  return `h-${text}@${alias}`
}

describe('subs that are names as they are', () => {
  test.for([
    ['a lower-case UUID', '9e499e0e-ce25-485b-9353-d19726fd287a'],
    ['an upper-case UUID', '9E499E0E-CE25-485B-9353-D19726FD287A'],
    ['digits only', '1234567890'],
    ['an address', 'jane.doe@example.org'],
    ['proxy', 'proxy'],
    ['every character', 'aZ09._-@'],
    ['dots', '..'],
    ['a leading hyphen', '-rf'],
    ['the longest', 'x'.repeat(60)],
    ['one short of a digest', `h-${'a'.repeat(39)}`],
    ['one over a digest', `h-${'a'.repeat(41)}`],
    ['a digest with a 1', `h-${'a'.repeat(39)}1`],
    ['a digest and an alias', `h-${'a'.repeat(40)}@x`],
  ] as const)('%s: %s', ([, sub]) => {
    expect(commonNames(sub)).toEqual([`${sub}@iam`, digestName(sub)])
  })
})

describe('subs that become digests', () => {
  test.for([
    ['a slash', 'a/b'],
    ['an RDN', 'x/CN=admin'],
    ['an RDN at the start', '/CN=admin'],
    ['an escaped slash', 'a\\/b'],
    ['a plus', 'a+b'],
    ['a comma', 'a,CN=b'],
    ['an equals sign', 'a=b'],
    ['a number sign', '#0500'],
    ['a blank', 'limited proxy'],
    ['a blank at the end', 'a '],
    ['a NUL', 'a\0b'],
    ['a line end', 'a\n'],
    ['a line end alone', '\n'],
    ['a quote', 'a"b'],
    ['an apostrophe', "o'neill"],
    ['a colon', 'urn:x:y'],
    ['a vertical bar', 'auth0|5f7c8ec7c33c6c004bbafe82'],
    ['a URL', 'http://cilogon.org/serverA/users/12345'],
    ['a tilde', 'a~b'],
    ['an umlaut', 'jörg'],
    ['a Cyrillic look-alike', 'аdmin'],
    ['a full-width look-alike', 'ａdmin'],
    ['the Kelvin sign', '\u212Aelvin'],
    ['a combining accent', 'e\u0301'],
    ['Arabic digits', '١٢٣'],
    ['direction marks', '\u202eadmin'],
    ['a zero-width joiner', 'ad\u200dmin'],
    ['an emoji', '😀'],
    ['a lone surrogate', '\ud800'],
    ['one character too many', 'x'.repeat(61)],
    ['300 characters', 'x'.repeat(300)],
    ['a look-alike of a digest', `h-${'a'.repeat(40)}`],
    ['the same in upper case', `H-${'A'.repeat(40)}`],
  ] as const)('%s', ([, sub]) => {
    expect(commonNames(sub)).toEqual([digestName(sub)])
  })

  test('the digest does not change from version to version', () => {
    // Names are given for ever: the same person must not become another one by an update.
    expect(commonNames('a/b')).toEqual(['h-4babbicglgkw53rorhhkunvvagcivqmnxjnttqow@iam'])
  })

  test('a sub that is the digest of another one does not get its name', () => {
    const victim = commonNames('victim').at(-1) ?? ''
    const sub = victim.slice(0, victim.indexOf('@'))
    expect(commonNames(sub)).toEqual([digestName(sub)])
    expect(commonNames(sub)).not.toContain(victim)
  })
})

describe('limits', () => {
  const longest = 'a2345678901234567890z'

  test('with the longest alias all names stay within 64 characters', () => {
    expect(longest).toHaveLength(21)
    expect(commonNames('x'.repeat(42), longest)[0]).toHaveLength(64)
    expect(commonNames('x'.repeat(43), longest)).toEqual([digestName('x'.repeat(43), longest)])
    expect(digestName('x', longest)).toHaveLength(64)
  })

  test.for(['', '-a', 'a-', '.a', 'a.', 'a@b', 'a b', 'a/b', 'a_b', 'ä', 'a\n', `${longest}x`])(
    'alias %j is refused',
    (alias) => {
      expect(aliasPattern.test(alias)).toBe(false)
      expect(() => commonNames('a', alias)).toThrow(expect.objectContaining({ code: 'bad_name' }))
    },
  )

  test.for(['a', 'iam', 'A9', 'indigo-iam.test', longest])('alias %j is taken', (alias) => {
    expect(commonNames('a', alias)[0]).toBe(`a@${alias}`)
  })

  test('an empty issuer or sub is refused', () => {
    const badName = expect.objectContaining({ code: 'bad_name' }) as Error
    expect(() => commonNames('')).toThrow(badName)
    expect(() => commonNames('a', 'iam', '')).toThrow(badName)
  })
})

/** Providers as configurations may have them: issuers and aliases unique, aliases without regard to letter case. */
const providers = [
  ['https://iam.example.org/', 'iam'],
  ['https://iam.example.org', 'iam2'],
  ['https://other.example.org/', 'c'],
  ['a', 'b.c'],
] as const
const identity = fc.tuple(fc.constantFrom(...providers), subject)
type Identity = readonly [readonly [string, string], string]

const comparable = ([[from, alias], sub]: Identity): string[] =>
  subjectCandidates(base, { issuer: from, sub, alias }).map((name) =>
    comparableName(formatSlashDn(name)),
  )

describe('no two identities share a name', () => {
  function check(one: Identity, two: Identity): void {
    const [[from1], sub1] = one
    const [[from2], sub2] = two
    if (from1 === from2 && sub1 === sub2) return
    const [left, right] = [comparable(one), comparable(two)]
    const shared = left.filter((name) => right.includes(name))
    const onlyLetterCase = from1 === from2 && sub1.toLowerCase() === sub2.toLowerCase()
    // The store gives the second of two such subs its digest name.
    if (onlyLetterCase) expect(left.at(-1)).not.toBe(right.at(-1))
    else expect(shared).toEqual([])
  }

  test('of any two', () => {
    fc.assert(fc.property(identity, identity, check), { numRuns: 1000 })
  })

  test('of two that are made of each other', () => {
    const change = fc.constantFrom<(sub: string) => string>(
      (sub) => `${sub}@c`,
      (sub) => sub.replace(/@.*/, '') || 'x',
      (sub) => `${sub} `,
      (sub) => ` ${sub}`,
      (sub) => sub.toUpperCase(),
      (sub) => sub.normalize('NFD'),
      (sub) => `${sub}\0`,
      (sub) => encodeURIComponent(sub.toWellFormed()),
      (sub) => sub.toWellFormed(),
    )
    fc.assert(
      fc.property(identity, change, fc.constantFrom(...providers), ([from, sub], make, other) => {
        check([from, sub], [from, make(sub)])
        check([from, sub], [other, make(sub)])
        check([from, sub], [from, commonNames(sub, ...([from[1], from[0]] as const)).at(-1) ?? ''])
        check(
          [from, sub],
          [other, (commonNames(sub, from[1], from[0])[0] ?? '').replace(/@[^@]*$/, '')],
        )
      }),
      { numRuns: 500 },
    )
  })

  test.for([
    [['a', 'b.c'], 'a@b', ['a', 'b.c'], 'a'],
    [['https://other.example.org/', 'c'], 'a@b', ['https://other.example.org/', 'c'], 'a'],
    [['a', 'b.c'], 'bc', ['ab', 'c'], 'c'],
    [['a', 'b.c'], '\ud800', ['a', 'b.c'], '\udfff'],
    [['a', 'b.c'], '\ud800', ['a', 'b.c'], '\ufffd'],
    [['a', 'b.c'], '1:b', ['a1:', 'x'], 'b'],
  ] as const)('%j %j and %j %j', ([from1, sub1, from2, sub2]) => {
    check([from1, sub1], [from2, sub2])
    const [left, right] = [comparable([from1, sub1]), comparable([from2, sub2])]
    expect(left.filter((name) => right.includes(name))).toEqual([])
  })

  test('one issuer written twice under one alias gives two digests', () => {
    const one = commonNames('a/b', 'iam', 'https://x.example')
    const two = commonNames('a/b', 'iam', 'https://x.example/')
    expect(one).not.toEqual(two)
  })
})

test('every name can be printed, compared and issued everywhere', () => {
  fc.assert(
    fc.property(identity, ([[from, alias], sub]) => {
      for (const name of subjectCandidates(base, { issuer: from, sub, alias })) {
        const cn = lastCommonName(name) ?? ''
        expect(cn).toMatch(/^[A-Za-z0-9._@-]{1,64}$/)
        expect(cn).not.toMatch(/^\d+$|^(limited )?proxy$/i)
        expect(cn.slice(cn.lastIndexOf('@') + 1)).toBe(alias)
        expect(name.slice(0, -1)).toEqual(base)
        expect(formatSlashDn(name)).toBe(`/C=EU/O=INDIGO/OU=TTS/CN=${cn}`)
        expect(parseSlashDn(formatSlashDn(name))).toEqual(name)
        expect(() => nameNode(name)).not.toThrow()
      }
    }),
  )
})

test.for([
  ['/O=A/CN=Jane  Doe', '/o=a/cn=jane doe'],
  ['/O=A/CN= Jane Doe ', '/o=a/cn=jane doe'],
  ['/O= A /CN=x +OU= y ', '/o=a/cn=x+ou=y'],
  ['/CN=a\\/ b', '/cn=a\\/ b'],
  ['/CN=\\xC3\\x89', '/cn=\\xc3\\x89'],
] as const)('%j is compared as %j', ([text, compared]) => {
  expect(comparableName(text)).toBe(compared)
})
