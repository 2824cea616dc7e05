/** What fast-check makes up: DER values, object identifiers, names with hostile values, identities. */
import fc from 'fast-check'
import {
  type Asn1Node,
  bitString,
  booleanTrue,
  characterString,
  explicit,
  implicitConstructed,
  implicitPrimitive,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  set,
  Tag,
  time,
} from '../../ca/asn1.ts'
import { attributeTypes, type NameAttribute, type Rdn } from '../../ca/name.ts'

/**
 * Dotted object identifiers, arcs up to 2^100, with both special first arcs; at most 120 octets, of the 128 that are
 * taken.
 */
export const dottedOid = fc
  .tuple(
    fc.oneof(
      fc.tuple(fc.constantFrom(0n, 1n), fc.bigInt(0n, 39n)),
      fc.tuple(fc.constant(2n), fc.oneof(fc.bigInt(0n, 200n), fc.bigInt(0n, 1n << 100n))),
    ),
    fc.array(fc.oneof(fc.bigInt(0n, 300n), fc.bigInt(0n, 1n << 100n)), { maxLength: 7 }),
  )
  .map(([head, rest]) => [...head, ...rest].join('.'))

const bytes = (maxLength: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ maxLength })

const leaf: fc.Arbitrary<Asn1Node> = fc.oneof(
  bytes(24).map(integer),
  bytes(40).map(octetString),
  bytes(40).map((value) => bitString(value)),
  dottedOid.map(oid),
  fc.constantFrom(booleanTrue(), nullValue()),
  fc
    .tuple(fc.constantFrom(Tag.utf8String, Tag.printableString, Tag.ia5String), bytes(40))
    .map(([tag, value]) => characterString(tag, value)),
  fc
    .date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
    .map(time),
  fc.tuple(fc.nat(29), bytes(200)).map(([number, value]) => implicitPrimitive(number, value)),
)

const children = (node: fc.Arbitrary<Asn1Node>): fc.Arbitrary<Asn1Node[]> =>
  fc.array(node, { maxLength: 4 })

/** Any DER value that the library can write. */
export const asn1Node: fc.Arbitrary<Asn1Node> = fc.letrec<{ node: Asn1Node }>((tie) => ({
  node: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    leaf,
    children(tie('node')).map((nodes) => sequence(...nodes)),
    children(tie('node')).map((nodes) => set(...nodes)),
    fc.tuple(fc.nat(29), tie('node')).map(([number, node]) => explicit(number, node)),
    fc
      .tuple(fc.nat(29), children(tie('node')))
      .map(([number, nodes]) => implicitConstructed(number, nodes)),
  ),
})).node

/** Values that broke one name parser or another. */
export const hostileValues: readonly string[] = [
  '',
  ' ',
  '  ',
  ' a ',
  'a/b',
  '/CN=admin',
  'x/CN=admin',
  'x\\/CN=admin',
  'a+OU=b',
  'a,OU=b',
  'a;OU=b',
  'CN=a',
  '=',
  '#',
  '#0500',
  '#05',
  '#zz',
  '##',
  'a#b',
  '\\',
  '\\\\',
  'a\\',
  '\\x41',
  '\\41',
  '\\,',
  '"quoted"',
  '<a>',
  'a\0b',
  '\0',
  'a\nb',
  'a\r\nCN=b',
  '\t',
  '\x7f',
  '\x80',
  '\u00a0',
  '\ufeffa',
  '\ufffd',
  '\u2028',
  'é',
  'e\u0301',
  'аdmin', // a Cyrillic first letter
  '\u202enimda',
  '😀',
  'a😀b',
  'x'.repeat(300),
  '/'.repeat(300),
  'proxy',
  '12345',
]

const nastyPiece = fc.constantFrom(...hostileValues.filter((value) => value.length < 20))
/** Text out of which no name parser shall make anything but one value. */
export const hostileValue = fc.oneof(
  fc.constantFrom(...hostileValues),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.string({ unit: 'grapheme-ascii', maxLength: 64 }),
  fc.array(nastyPiece, { maxLength: 6 }).map((pieces) => pieces.join('')),
)

const typeOf = (name: string): string => attributeTypes[name] ?? name
const freeTypes = Object.keys(attributeTypes).filter(
  (name) => !['C', 'DC', 'emailAddress'].includes(name),
)

const attribute: fc.Arbitrary<NameAttribute> = fc
  .oneof(
    { weight: 6, arbitrary: fc.tuple(fc.constantFrom(...freeTypes.map(typeOf)), hostileValue) },
    { weight: 1, arbitrary: fc.tuple(dottedOid, hostileValue) },
    { weight: 1, arbitrary: fc.tuple(fc.constant(typeOf('C')), fc.constantFrom('EU', 'ch')) },
    {
      weight: 1,
      arbitrary: fc.tuple(
        fc.constantFrom(typeOf('DC'), typeOf('emailAddress')),
        fc.string({ unit: fc.nat(127).map((code) => String.fromCharCode(code)), maxLength: 20 }),
      ),
    },
  )
  .filter(([type, value]) => fitsType(type, value))
  .map(([type, value]) => ({ type, value }))

/** A made-up OID may be that of C, DC or emailAddress. */
function fitsType(type: string, value: string): boolean {
  if (type === typeOf('C')) return /^[A-Za-z]{2}$/.test(value)
  // oxlint-disable-next-line no-control-regex -- IA5String is all of ASCII
  return ![typeOf('DC'), typeOf('emailAddress')].includes(type) || /^[\x00-\x7f]*$/.test(value)
}

const rdn: fc.Arbitrary<Rdn> = fc.oneof(
  { weight: 4, arbitrary: attribute.map((one) => [one]) },
  { weight: 1, arbitrary: fc.array(attribute, { minLength: 2, maxLength: 3 }) },
)

/** Names of up to five RDNs, some of several attributes. */
export const distinguishedName = fc.array(rdn, { maxLength: 5 })

const plainSub = fc.string({
  unit: fc.constantFrom(...'abcXYZ019._-@'.split('')),
  minLength: 1,
  maxLength: 66,
})
const digestLikeSub = fc
  .string({ unit: fc.constantFrom(...'abz27AB'.split('')), minLength: 39, maxLength: 41 })
  .map((text) => `h-${text}`)
const loneSurrogateSub = fc.nat(0x7ff).map((code) => String.fromCharCode(0xd800 + code))

/** What a provider may put into `sub`; never empty. */
export const subject = fc
  .oneof(plainSub, digestLikeSub, loneSurrogateSub, fc.uuid(), hostileValue)
  .filter((text) => text !== '')
