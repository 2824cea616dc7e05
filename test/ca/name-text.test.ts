import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { signCertificate } from '../../ca/sign-certificate.ts'
import type { Signer } from '../../ca/key.ts'
import { attributeTypes, type DistinguishedName, nameNode } from '../../ca/name.ts'
import { formatRfc4514, formatSlashDn, parseRfc4514, parseSlashDn } from '../../ca/name-text.ts'
import { distinguishedName, hostileValue, hostileValues } from '../support/arbitraries.ts'
import { sharedSigner } from '../support/keys.ts'
import { openssl } from '../support/openssl.ts'

const badName = expect.objectContaining({ name: 'CaError', code: 'bad_name' }) as Error
const forms = [
  ['slash-DN', formatSlashDn, parseSlashDn],
  ['RFC 4514', formatRfc4514, parseRfc4514],
] as const

const attribute = (
  name: string,
  value: string | Buffer,
): { type: string; value: string | Buffer } => ({
  type: attributeTypes[name] ?? name,
  value,
})
const around = (value: string | Buffer): DistinguishedName => [
  [attribute('O', 'before')],
  [attribute('CN', value)],
  [attribute('OU', 'after')],
]

describe.for(forms)('%s', ([form, format, parse]) => {
  /** Text over the bound is refused, so it is not asked to come back. */
  const fits = (name: DistinguishedName): boolean => format(name).length <= 4096

  test('any name comes back from its text', () => {
    const name = distinguishedName.filter((value) => value.length > 0 && fits(value))
    fc.assert(
      fc.property(name, (value) => {
        expect(parse(format(value))).toEqual(value)
      }),
      { numRuns: 300 },
    )
  })

  test('values of DER come back', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 20 }), hostileValue, (der, text) => {
        const name = [[attribute('CN', Buffer.from(der)), attribute('OU', text)]]
        expect(parse(format(name))).toEqual(name)
      }),
    )
  })

  test.for(hostileValues)('%j stays one value of one RDN', (value) => {
    expect(parse(format(around(value)))).toEqual(around(value))
    expect(parse(format([[attribute('CN', value)]]))).toEqual([[attribute('CN', value)]])
  })

  test('a text that is as long as the bound is read', () => {
    const long = format([[attribute('CN', 'x')]]).replace(
      'x',
      'x'.repeat(4096 - format([[attribute('CN', '')]]).length),
    )
    expect(parse(long)[0]?.[0]?.value).toHaveLength(4096 - format([[attribute('CN', '')]]).length)
    expect(() => parse(`${long}x`)).toThrow(badName)
  })

  test('any text is read as a name that says the same, or refused', () => {
    const piece = fc.constantFrom(
      '/',
      '/CN=',
      'CN=',
      ',',
      '+',
      '=',
      '\\',
      '\\x41',
      '\\41',
      '#',
      '05',
      ' ',
      'O',
      '2.5.4.3',
      '"',
      'a',
      'é',
      '\ud83d',
      '\0',
    )
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(piece, { maxLength: 12 }).map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, (value) => {
        let name: DistinguishedName
        try {
          name = parse(value)
        } catch (error) {
          expect(error).toEqual(badName)
          return
        }
        expect(parse(format(name))).toEqual(name)
      }),
      { numRuns: 2000 },
    )
    expect(form).toBeDefined()
  })
})

describe('slash-DN', () => {
  test.for([
    ['', 'nothing'],
    ['/', 'an empty part'],
    ['CN=a', 'no slash in front'],
    ['/CN', 'no equals sign'],
    ['/=a', 'no type'],
    ['/CN=a/', 'an empty last part'],
    ['/CN=a//CN=b', 'an empty part within'],
    ['/CN=a/b', 'a bare slash in a value'],
    ['/CN=a+b', 'a bare plus in a value'],
    ['/CN=a+', 'an empty attribute'],
    ['/XX=a', 'an unknown type'],
    ['/2.5.4.03=a', 'a second writing of a known identifier'],
    ['/1.40=a', 'an identifier that cannot be'],
    ['/3.1=a', 'an identifier outside of the three arcs'],
    ['/1=a', 'an identifier of one arc'],
    ['/CN=a\\', 'a last backslash'],
    ['/CN=a\\x4', 'half an escape'],
    ['/CN=a\\xZZ', 'an escape of other than hex'],
    ['/CN=\\xC3', 'half a character'],
    ['/CN=\\xFF', 'no UTF-8'],
    ['/CN=\\xC0\\xAF', 'an overlong slash'],
    ['/CN=\\xED\\xA0\\x80', 'an escaped surrogate'],
    ['/CN=\ud800', 'a lone surrogate'],
    [`/CN=${'x'.repeat(5000)}`, '5000 characters'],
  ] as const)('%j is refused: %s', ([text]) => {
    expect(() => parseSlashDn(text)).toThrow(badName)
  })

  test.for([
    ['/email=a@b', [[attribute('emailAddress', 'a@b')]]],
    ['/E=a@b', [[attribute('emailAddress', 'a@b')]]],
    ['/USERID=u', [[attribute('UID', 'u')]]],
    ['/cn=a/o=B', [[attribute('CN', 'a')], [attribute('O', 'B')]]],
    ['/CN=a=b', [[attribute('CN', 'a=b')]]],
    ['/CN=a\\/CN=b', [[attribute('CN', 'a/CN=b')]]],
    ['/CN=a\\\\/CN=b', [[attribute('CN', 'a\\')], [attribute('CN', 'b')]]],
    ['/CN=a\\+OU=b', [[attribute('CN', 'a+OU=b')]]],
    ['/CN=a+OU=b', [[attribute('CN', 'a'), attribute('OU', 'b')]]],
    ['/CN=\\xF0\\x9F\\x98\\x80', [[attribute('CN', '😀')]]],
    ['/CN=#0500', [[attribute('CN', Buffer.of(5, 0))]]],
    ['/CN=\\#0500', [[attribute('CN', '#0500')]]],
    ['/1.2.3.4=a', [[attribute('1.2.3.4', 'a')]]],
    ['/CN=', [[attribute('CN', '')]]],
  ] as const)('%s is read', ([text, name]) => {
    expect(parseSlashDn(text)).toEqual(name)
  })
})

describe('slash-DN is what openssl prints', () => {
  let signer: Signer
  beforeAll(async () => {
    signer = await sharedSigner('ec-p256')
  })

  /** The subject of a certificate with this name as `openssl x509 -nameopt compat` says it. */
  async function opensslSubject(name: DistinguishedName): Promise<string> {
    const der = await signCertificate(
      {
        serial: Buffer.of(1),
        issuer: nameNode(name),
        subject: nameNode(name),
        validity: { notBefore: new Date('2026-01-01Z'), notAfter: new Date('2027-01-01Z') },
        publicKey: signer.publicKey,
        extensions: [],
      },
      signer,
    )
    const args = ['x509', '-inform', 'DER', '-in', 'c', '-noout', '-subject', '-nameopt', 'compat']
    const { stdout } = await openssl(args, { c: der })
    return stdout
      .toString()
      .replace(/^subject=/, '')
      .replace(/\n$/, '')
  }

  const types = Object.entries(attributeTypes).map(([name]) => [
    attribute(name, name === 'C' ? 'EU' : 'a.b'),
  ])
  test.for([
    ['all types', types],
    ['a plain name', parseSlashDn('/DC=org/DC=example/O=Some Body/CN=a b')],
    ['an unknown type', [[attribute('1.2.3.4.5', 'x')]]],
    ['several attributes in one RDN', [[attribute('CN', 'x'), attribute('OU', 'y')]]],
    ...hostileValues
      .filter((value) => value !== '' && !value.includes('\\') && !/^#([0-9a-f]{2})+$/i.test(value))
      .map((value) => [JSON.stringify(value), around(value)] as const),
  ] as const)('%s', { concurrent: true }, async ([, name], { expect: check }) => {
    const told = formatSlashDn(name)
    check(await opensslSubject(name)).toBe(told)
  })
})

describe('RFC 4514', () => {
  test.for([
    [parseSlashDn('/C=EU/O=X, Y/CN=a b'), 'CN=a b,O=X\\, Y,C=EU'],
    [[[attribute('OU', 'Sales'), attribute('CN', 'J. Smith')]], 'OU=Sales+CN=J. Smith'],
    [[[attribute('CN', ' a ')]], 'CN=\\ a\\ '],
    [[[attribute('CN', ' ')]], 'CN=\\ '],
    [[[attribute('CN', '#a')]], 'CN=\\#a'],
    [[[attribute('CN', 'a"b+c;d<e>f\\g')]], 'CN=a\\"b\\+c\\;d\\<e\\>f\\\\g'],
    [[[attribute('CN', 'Before\rAfter')]], 'CN=Before\\0dAfter'],
    [
      [[attribute('1.3.6.1.4.1.1466.0', Buffer.from('04024869', 'hex'))]],
      '1.3.6.1.4.1.1466.0=#04024869',
    ],
    [[[attribute('SN', 'Lu\u010di\u0107')]], 'SN=Lučić'],
    [[], ''],
  ] as const)('%j is written as %s and read', ([name, text]) => {
    expect(formatRfc4514(name)).toBe(text)
    expect(parseRfc4514(text)).toEqual(name)
  })

  test.for([
    ['SN=Lu\\C4\\8Di\\C4\\87', [[attribute('SN', 'Lučić')]]],
    ['CN=a, O=b', [[attribute('O', 'b')], [attribute('CN', 'a')]]],
    ['cn=a\\20', [[attribute('CN', 'a ')]]],
    ['CN=a\\2CO=b', [[attribute('CN', 'a,O=b')]]],
    ['CN=a\\5C,O=b', [[attribute('O', 'b')], [attribute('CN', 'a\\')]]],
  ] as const)('%s is read', ([text, name]) => {
    expect(parseRfc4514(text)).toEqual(name)
  })

  test.for([
    ['CN', 'no equals sign'],
    ['CN=a,', 'an empty last part'],
    [',CN=a', 'an empty first part'],
    ['CN=a,b', 'a bare comma'],
    ['CN=a+b', 'a bare plus'],
    ['CN="a"', 'quotes of RFC 2253'],
    ['CN="a,O=b"', 'quotes around a comma'],
    ['CN=a;O=b', 'the semicolon of RFC 2253'],
    ['CN=<a', 'a bare bracket'],
    ['CN=a\0', 'a bare NUL'],
    ['CN= a', 'a bare blank in front'],
    ['CN=a ', 'a bare blank at the end'],
    ['CN=a\\\\ ', 'a bare blank behind an escaped backslash'],
    ['CN=#zz', 'a bare number sign'],
    ['CN=#050', 'hex of half an octet'],
    ['XX=a', 'an unknown type'],
    ['CN=a\\', 'a last backslash'],
    ['CN=a\\4', 'half an escape'],
    ['CN=\\C3', 'half a character'],
    ['CN=\udc00', 'a lone surrogate'],
    ['/CN=a', 'the slash form'],
  ] as const)('%j is refused: %s', ([text]) => {
    expect(() => parseRfc4514(text)).toThrow(badName)
  })
})
