/**
 * ASN.1 values, and their encoding in DER (X.690). `asn1-read.ts` reads DER.
 */
import { CaError } from './errors.ts'
import { oidBytes } from './oid.ts'

/** One ASN.1 value, read or to be written. */
export interface Asn1Node {
  /** Bits 7 and 8 of the tag: 0x00 universal, 0x80 context-specific. */
  readonly tagClass: number
  /** The tag number. */
  readonly type: number
  readonly constructed: boolean
  /** The content octets as a "binary string" (a BMPString: its characters), or the parts of a constructed value. */
  readonly value: string | readonly Asn1Node[]
}

/** Class bits of a tag (X.690 section 8.1.2.2). */
export const TagClass = { universal: 0x00, context: 0x80 } as const
const CONSTRUCTED = 0x20

/** Universal tag numbers that X.509 uses (X.680 section 8.4). */
export const Tag = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  enumerated: 10,
  utf8String: 12,
  sequence: 16,
  set: 17,
  printableString: 19,
  teletexString: 20,
  ia5String: 22,
  utcTime: 23,
  generalizedTime: 24,
  universalString: 28,
  bmpString: 30,
} as const

/** A node. The parser makes its nodes of the same shape, so that code over both kinds stays fast. */
function node(tag: number, type: number, value: Asn1Node['value']): Asn1Node {
  return { tagClass: tag, type, constructed: typeof value !== 'string', value }
}

const create = (type: number, value: string): Asn1Node => node(TagClass.universal, type, value)

/** Bytes as the "binary string" that forge works on. */
const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** SEQUENCE of the nodes given; undefined ones are left out (OPTIONAL, DEFAULT). */
export function sequence(...nodes: readonly (Asn1Node | undefined)[]): Asn1Node {
  const parts = nodes.filter((part) => part !== undefined)
  return node(TagClass.universal, Tag.sequence, parts)
}

/** SET of the nodes given, in DER order: ascending by encoding (X.690 section 11.6). */
export function set(...nodes: readonly Asn1Node[]): Asn1Node {
  const sorted =
    nodes.length < 2
      ? nodes
      : [...nodes].sort((left, right) => Buffer.compare(encode(left), encode(right)))
  return node(TagClass.universal, Tag.set, sorted)
}

/** Non-negative INTEGER from big-endian bytes. */
export function integer(bytes: Uint8Array): Asn1Node {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start += 1
  const minimal = bytes.subarray(start)
  const padded = minimal.length === 0 || (minimal[0] ?? 0) >= 0x80
  return create(Tag.integer, (padded ? '\0' : '') + binary(minimal))
}

/** Non-negative INTEGER from a number. @throws {CaError} `bad_request` for any other number */
export function smallInteger(value: number): Asn1Node {
  if (!Number.isSafeInteger(value) || value < 0)
    throw new CaError('bad_request', 'a number in a certificate must be a whole number from 0', {
      field: 'number',
      reason: 'bad_value',
    })
  const hex = value.toString(16)
  return integer(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'))
}

/** BOOLEAN TRUE; FALSE is always a default in X.509 and never written in DER. */
export function booleanTrue(): Asn1Node {
  return create(Tag.boolean, '\xff')
}

/** NULL. */
export function nullValue(): Asn1Node {
  return create(Tag.null, '')
}

const oidNodes = new Map<string, Asn1Node>()
const MAX_OID_NODES = 256

/** OBJECT IDENTIFIER from its dotted form. Nodes never change, so the few in use are made once. */
export function oid(dotted: string): Asn1Node {
  const known = oidNodes.get(dotted)
  if (known) return known
  const made = create(Tag.oid, binary(oidBytes(dotted)))
  if (oidNodes.size < MAX_OID_NODES) oidNodes.set(dotted, made)
  return made
}

/** OCTET STRING. */
export function octetString(bytes: Uint8Array): Asn1Node {
  return create(Tag.octetString, binary(bytes))
}

/** BIT STRING of whole bytes, or with `unusedBits` bits of the last one left out. */
export function bitString(bytes: Uint8Array, unusedBits = 0): Asn1Node {
  return create(Tag.bitString, String.fromCharCode(unusedBits) + binary(bytes))
}

/** BIT STRING of named bits: trailing zero bits are removed (X.690 section 11.2.2). Bit 0 is the first. */
export function namedBits(bits: readonly number[]): Asn1Node {
  if (bits.length === 0) return bitString(new Uint8Array())
  const highest = Math.max(...bits)
  const bytes = new Uint8Array(Math.floor(highest / 8) + 1)
  for (const bit of bits) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (0x80 >> (bit & 7))
  return bitString(bytes, 7 - (highest & 7))
}

/** ENUMERATED. */
export function enumerated(value: number): Asn1Node {
  return create(Tag.enumerated, String.fromCharCode(value))
}

/** A character string with the given universal tag and unchanged bytes. */
export function characterString(tag: number, bytes: Uint8Array): Asn1Node {
  return create(tag, binary(bytes))
}

/**
 * Time in the form of RFC 5280 section 4.1.2.5: UTCTime from 1950 through 2049, otherwise GeneralizedTime; whole
 * seconds.
 */
export function time(date: Date): Asn1Node {
  const year = date.getUTCFullYear()
  if (!(year >= 0 && year <= 9999))
    throw new CaError('bad_lifetime', 'a time in a certificate must be in the years 0 to 9999', {
      field: 'time',
      reason: 'bad_value',
    })
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return year >= 1950 && year < 2050
    ? create(Tag.utcTime, digits.slice(2))
    : create(Tag.generalizedTime, digits)
}

/** `[number] EXPLICIT`. */
export function explicit(number: number, inner: Asn1Node): Asn1Node {
  return node(TagClass.context, number, [inner])
}

/** `[number] IMPLICIT` over a primitive value. */
export function implicitPrimitive(number: number, bytes: Uint8Array): Asn1Node {
  return node(TagClass.context, number, binary(bytes))
}

/** `[number] IMPLICIT` over a constructed value. */
export function implicitConstructed(number: number, nodes: readonly Asn1Node[]): Asn1Node {
  return node(TagClass.context, number, nodes)
}

/**
 * A node that is written as these bytes, which must be one complete DER value with a tag of one octet. For parts that
 * are the same in many certificates, so that they are encoded only once.
 */
export function preEncoded(der: Uint8Array): Asn1Node {
  const lengthOctets = (der[1] ?? 0) < 0x80 ? 1 : ((der[1] ?? 0) & 0x7f) + 1
  // The tag is written as `tagClass | type`: the whole octet goes in as type, the constructed bit with it.
  return node(0, der[0] ?? 0, binary(der.subarray(1 + lengthOctets)))
}

/** The DER encoding of a node. */
export function encode(value: Asn1Node): Buffer {
  return Buffer.from(der(value), 'latin1')
}

/** The DER of a SEQUENCE of any number of values that are already DER. */
export function encodedSequence(values: readonly Uint8Array[]): Buffer {
  return Buffer.concat(sequenceParts(values))
}

/** The same in parts for an enclosing sequence, so that megabytes are not copied at each level. */
export function sequenceParts(values: readonly Uint8Array[]): Uint8Array[] {
  const length = values.reduce((sum, value) => sum + value.length, 0)
  const header = Buffer.from([Tag.sequence | CONSTRUCTED, ...lengthOctets(length)])
  return [header, ...values]
}

/**
 * Tag, length and content (X.690 section 8.1) as a "binary string". node-forge's own writer would cut a leading zero
 * octet off `[2] IMPLICIT`: it treats every tag with the number 2 as an INTEGER.
 */
function der({ tagClass, type, constructed, value }: Asn1Node): string {
  const content =
    typeof value === 'string'
      ? type === Tag.bmpString
        ? Buffer.from(value, 'utf16le').swap16().toString('latin1') // the parser makes characters of these
        : value
      : value.map(der).join('')
  const tag = tagClass | (constructed ? CONSTRUCTED : 0) | type
  return String.fromCharCode(tag, ...lengthOctets(content.length)) + content
}

/** The length in the fewest octets (X.690 section 10.1). */
function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  const octets: number[] = []
  for (let rest = length; rest > 0; rest >>>= 8) octets.unshift(rest & 0xff)
  return [0x80 | octets.length, ...octets]
}
