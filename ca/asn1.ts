/**
 * DER in and out. The only file that imports node-forge, and of it only the ASN.1 part: forge shapes structures,
 * `node:crypto` signs and verifies.
 *
 * Object identifiers are compared as DER bytes, never as decoded numbers: a decoder that cuts arcs to 32 bits
 * reads a foreign identifier as a trusted one (CVE-2025-66030).
 */
import asn1, { type ForgeNode } from 'node-forge/lib/asn1.js'
import { CaError } from './errors.ts'
import { oidBytes } from './oid.ts'

/** One ASN.1 value, read or to be written. */
export type Asn1Node = ForgeNode

const UNIVERSAL = 0x00
const CONTEXT = 0x80
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

const MAX_DEPTH = 32
const DEFAULT_MAX_BYTES = 64 * 1024

// ---------------------------------------------------------------- writing

const create = (type: number, value: string): Asn1Node => asn1.create(UNIVERSAL, type, false, value)

/** Bytes as the "binary string" that forge works on. */
const binary = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1')

/** SEQUENCE of the nodes given; undefined ones are left out (OPTIONAL, DEFAULT). */
export function sequence(...nodes: readonly (Asn1Node | undefined)[]): Asn1Node {
  return asn1.create(
    UNIVERSAL,
    Tag.sequence,
    true,
    nodes.filter((node) => node !== undefined),
  )
}

/** SET of the nodes given, in DER order: ascending by encoding (X.690 section 11.6). */
export function set(...nodes: readonly Asn1Node[]): Asn1Node {
  const sorted =
    nodes.length < 2
      ? nodes
      : [...nodes].sort((left, right) => Buffer.compare(encode(left), encode(right)))
  return asn1.create(UNIVERSAL, Tag.set, true, sorted)
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
    throw new CaError('bad_request', 'a number in a certificate is negative or not whole')
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

/** OBJECT IDENTIFIER from its dotted form. Nodes never change, so that the few that are in use are made once. */
export function oid(dotted: string): Asn1Node {
  const known = oidNodes.get(dotted)
  if (known) return known
  const node = create(Tag.oid, binary(oidBytes(dotted)))
  if (oidNodes.size < MAX_OID_NODES) oidNodes.set(dotted, node)
  return node
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

/** A character string of the given universal tag, its bytes as they are. */
export function characterString(tag: number, bytes: Uint8Array): Asn1Node {
  return create(tag, binary(bytes))
}

/** Time as RFC 5280 section 4.1.2.5 wants it: UTCTime from 1950 through 2049, else GeneralizedTime; whole seconds. */
export function time(date: Date): Asn1Node {
  const year = date.getUTCFullYear()
  if (!(year >= 0 && year <= 9999)) throw new CaError('bad_lifetime', 'no time for a certificate')
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return year >= 1950 && year < 2050
    ? create(Tag.utcTime, digits.slice(2))
    : create(Tag.generalizedTime, digits)
}

/** `[number] EXPLICIT`. */
export function explicit(number: number, node: Asn1Node): Asn1Node {
  return asn1.create(CONTEXT, number, true, [node])
}

/** `[number] IMPLICIT` over a primitive value. */
export function implicitPrimitive(number: number, bytes: Uint8Array): Asn1Node {
  return asn1.create(CONTEXT, number, false, binary(bytes))
}

/** `[number] IMPLICIT` over a constructed value. */
export function implicitConstructed(number: number, nodes: readonly Asn1Node[]): Asn1Node {
  return asn1.create(CONTEXT, number, true, nodes)
}

/**
 * A node that is written as these bytes, which must be one whole DER value with a tag of one octet. For parts that stay
 * the same from one certificate to the next: they are encoded once.
 */
export function preEncoded(der: Uint8Array): Asn1Node {
  const lengthOctets = (der[1] ?? 0) < 0x80 ? 1 : ((der[1] ?? 0) & 0x7f) + 1
  // Forge writes `tagClass | type` as the tag: the whole octet goes in as type, the constructed bit with it.
  return asn1.create(0, der[0] ?? 0, false, binary(der.subarray(1 + lengthOctets)))
}

/** The DER encoding of a node. */
export function encode(node: Asn1Node): Buffer {
  return Buffer.from(der(node), 'latin1')
}

/** The DER of a SEQUENCE of values that are DER already; of any number and length. */
export function encodedSequence(values: readonly Uint8Array[]): Buffer {
  return Buffer.concat(sequenceParts(values))
}

/** The same in parts, which a sequence around it takes as they are: megabytes are then not copied for each level. */
export function sequenceParts(values: readonly Uint8Array[]): Uint8Array[] {
  const length = values.reduce((sum, value) => sum + value.length, 0)
  const header = Buffer.from([Tag.sequence | CONSTRUCTED, ...lengthOctets(length)])
  return [header, ...values]
}

/**
 * Tag, length and content (X.690 section 8.1) as a "binary string". Not forge's own writer, which takes every tag with the
 * number 2 for an INTEGER, `[2] IMPLICIT` as well, and cuts a leading zero octet off it.
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

// ---------------------------------------------------------------- reading

/**
 * Reads one DER value and nothing behind it. The size is bounded before the parser sees a byte, the depth while it
 * reads; and only canonical DER passes: what is read is written again and compared, so that the parts handed on
 * are exactly the bytes that a signature covers.
 *
 * @throws {CaError} `too_large`, `malformed`
 */
export function decode(bytes: Uint8Array, what: string, maxBytes = DEFAULT_MAX_BYTES): Asn1Node {
  if (bytes.length > maxBytes) {
    throw new CaError('too_large', `${what} is ${bytes.length} bytes long, over ${maxBytes}`)
  }
  let node: Asn1Node
  try {
    node = asn1.fromDer(binary(bytes), {
      strict: true,
      parseAllBytes: true,
      decodeBitStrings: false,
      maxDepth: MAX_DEPTH,
    })
  } catch (cause) {
    throw new CaError('malformed', `${what} is not a single, whole DER value`, { cause })
  }
  if (!integersAreMinimal(node) || !encode(node).equals(bytes))
    throw new CaError('malformed', `${what} is not canonical DER`)
  return node
}

/**
 * The elements of a SEQUENCE as views of its DER, with the same rules for lengths as `decode`, and without making nodes: for
 * lists that are too long for nodes. What is inside the elements is not looked at.
 *
 * @throws {CaError} `malformed`
 */
export function elementsOf(der: Buffer, what: string): Buffer[] {
  const [, start] = headerAt(der, 0, what)
  if (der[0] !== (Tag.sequence | CONSTRUCTED) || endAt(der, 0, what) !== der.length)
    throw new CaError('malformed', `${what}: not one SEQUENCE`)
  const elements: Buffer[] = []
  for (let at = start; at < der.length;) {
    const end = endAt(der, at, what)
    elements.push(der.subarray(at, end))
    at = end
  }
  return elements
}

function endAt(der: Buffer, at: number, what: string): number {
  const [length, start] = headerAt(der, at, what)
  if (start + length > der.length) throw new CaError('malformed', `${what}: it is cut short`)
  return start + length
}

/** Length of the content of the value at `at`, and where the content begins. */
function headerAt(der: Buffer, at: number, what: string): [number, number] {
  const [tag = 0x1f, first = 0x80] = [der[at], der[at + 1]]
  // Tags of more than one octet and lengths without an end are not in any structure that is read here.
  if ((tag & 0x1f) === 0x1f || first === 0x80 || first > 0x84)
    throw new CaError('malformed', `${what}: not DER`)
  if (first < 0x80) return [first, at + 2]
  const octets = first & 0x7f
  if (at + 2 + octets > der.length) throw new CaError('malformed', `${what}: it is cut short`)
  const length = der.readUIntBE(at + 2, octets)
  if (length < 0x80 || length < 2 ** (8 * (octets - 1)))
    throw new CaError('malformed', `${what}: a length is not in its shortest form`)
  return [length, at + 2 + octets]
}

/** True when no INTEGER or ENUMERATED in the node could be written in fewer octets (X.690 section 8.3.2). */
function integersAreMinimal(node: Asn1Node): boolean {
  if (typeof node.value !== 'string') return node.value.every(integersAreMinimal)
  if (!hasTag(node, Tag.integer) && !hasTag(node, Tag.enumerated)) return true
  if (node.value.length < 2) return true
  const first = node.value.charCodeAt(0)
  const second = node.value.charCodeAt(1)
  return !((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))
}

const describe = (node: Asn1Node): string =>
  `${node.tagClass === UNIVERSAL ? 'tag' : 'context tag'} ${node.type}`

/** True when the node has this universal tag. */
export function hasTag(node: Asn1Node | undefined, tag: number): node is Asn1Node {
  return node !== undefined && node.tagClass === UNIVERSAL && node.type === tag
}

/** True when the node has this context-specific tag. */
export function hasContextTag(node: Asn1Node | undefined, number: number): node is Asn1Node {
  return node !== undefined && node.tagClass === CONTEXT && node.type === number
}

/**
 * The children of a constructed node; with `tag` it must be of that universal tag.
 *
 * @throws {CaError} `malformed`
 */
export function childrenOf(
  node: Asn1Node | undefined,
  what: string,
  tag?: number,
): readonly Asn1Node[] {
  const fits = node !== undefined && (tag === undefined || hasTag(node, tag))
  if (!fits || typeof node.value === 'string') {
    throw new CaError('malformed', `${what}: found ${node ? describe(node) : 'nothing'}`)
  }
  return node.value
}

/**
 * The content octets of a primitive node; with `tag` it must be of that universal tag.
 *
 * @throws {CaError} `malformed`
 */
export function contentOf(node: Asn1Node | undefined, what: string, tag?: number): Buffer {
  const fits = node !== undefined && (tag === undefined || hasTag(node, tag))
  if (!fits || typeof node.value !== 'string') {
    throw new CaError('malformed', `${what}: found ${node ? describe(node) : 'nothing'}`)
  }
  return Buffer.from(node.value, 'latin1')
}

/**
 * The bytes of a BIT STRING that has no unused bits (keys and signatures).
 *
 * @throws {CaError} `malformed`
 */
export function bitStringBytes(node: Asn1Node | undefined, what: string): Buffer {
  const content = contentOf(node, what, Tag.bitString)
  if (content[0] !== 0) throw new CaError('malformed', `${what}: not a whole number of bytes`)
  return content.subarray(1)
}

/** The set bits of a BIT STRING by their numbers, bit 0 the first. */
export function namedBitsOf(node: Asn1Node | undefined, what: string): readonly number[] {
  const content = contentOf(node, what, Tag.bitString)
  if ((content[0] ?? 8) > (content.length === 1 ? 0 : 7))
    throw new CaError('malformed', `${what}: not a BIT STRING`)
  const bits: number[] = []
  for (let bit = 0; bit < (content.length - 1) * 8; bit += 1) {
    if (((content[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0) bits.push(bit)
  }
  return bits
}

/** True when the node is the BOOLEAN TRUE. */
export function isTrue(node: Asn1Node | undefined): boolean {
  return hasTag(node, Tag.boolean) && node.value !== '\0'
}

/**
 * A small non-negative INTEGER or ENUMERATED as a number.
 *
 * @throws {CaError} `malformed` when it is negative or over 2^47
 */
export function smallIntegerOf(node: Asn1Node | undefined, what: string): number {
  const content = contentOf(node, what)
  if (content.length === 0 || content.length > 6 || (content[0] ?? 0) >= 0x80) {
    throw new CaError('malformed', `${what}: not a small non-negative integer`)
  }
  return content.readUIntBE(0, content.length)
}

/**
 * A UTCTime or GeneralizedTime in the one form that RFC 5280 section 4.1.2.5 allows.
 *
 * @throws {CaError} `malformed`
 */
export function timeOf(node: Asn1Node | undefined, what: string): Date {
  const text = contentOf(node, what).toString('latin1')
  const utc = hasTag(node, Tag.utcTime)
  const match = (utc ? /^(\d{2})(\d{10})Z$/ : /^(\d{4})(\d{10})Z$/).exec(text)
  if (!match || !(utc || hasTag(node, Tag.generalizedTime))) {
    throw new CaError('malformed', `${what}: not a time of RFC 5280`)
  }
  const [, yearDigits = '', rest = ''] = match
  // RFC 5280 section 4.1.2.5.1: two digits of 50 and more are of the 20th century.
  const year = utc ? (Number(yearDigits) >= 50 ? '19' : '20') + yearDigits : yearDigits
  const [month, day, hour, minute, second] = rest.match(/\d{2}/g) ?? []
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}`
  const date = new Date(`${iso}Z`)
  // Date carries 30 February and 24:00 over into the next day.
  if (Number.isNaN(date.getTime()) || !date.toISOString().startsWith(iso))
    throw new CaError('malformed', `${what}: no such time`)
  return date
}

/** The content octets of an OBJECT IDENTIFIER node as lower-case hex. */
export function oidHexOf(node: Asn1Node | undefined, what: string): string {
  return contentOf(node, what, Tag.oid).toString('hex')
}
