/**
 * Reads DER (X.690). The only file that imports node-forge, and of it only the ASN.1 parser.
 *
 * Object identifiers are decoded with arcs of any size: a decoder that cuts arcs to 32 bits reads a foreign identifier
 * as a trusted one (CVE-2025-66030).
 */
import forge from 'node-forge/lib/asn1.js'
import { type Asn1Node, encode, Tag, TagClass } from './asn1.ts'
import { type CaError, malformed, tooLarge } from './errors.ts'
import { oidDotted } from './oid.ts'

const SEQUENCE_OCTET = 0x30
const MAX_DEPTH = 32
const DEFAULT_MAX_BYTES = 64 * 1024

/**
 * Reads one DER value with nothing after it. The size is limited before the parser sees a byte, the depth while it
 * reads. Only canonical DER is accepted: what was read is encoded again and compared, so that the parts used are
 * exactly the bytes that a signature covers.
 *
 * @throws {CaError} `too_large`, `malformed`
 */
export function decode(bytes: Uint8Array, what: string, maxBytes = DEFAULT_MAX_BYTES): Asn1Node {
  if (bytes.length > maxBytes) {
    throw tooLarge(what, 'bytes', { actual: bytes.length, limit: maxBytes })
  }
  let node: Asn1Node
  try {
    node = forge.fromDer(Buffer.from(bytes).toString('latin1'), {
      strict: true,
      parseAllBytes: true,
      decodeBitStrings: false,
      maxDepth: MAX_DEPTH,
    })
  } catch (cause) {
    throw malformed(what, 'it must be one complete DER value', { cause })
  }
  if (!integersAreMinimal(node) || !encode(node).equals(bytes))
    throw malformed(what, 'its DER is not canonical')
  return node
}

/**
 * The elements of a SEQUENCE as views of its DER, with the same rules for lengths as `decode`, and without making
 * nodes: for lists that are too long for nodes. The content of the elements is not checked.
 *
 * @throws {CaError} `malformed`
 */
export function elementsOf(der: Buffer, what: string): Buffer[] {
  const [, start] = headerAt(der, 0, what)
  if (der[0] !== SEQUENCE_OCTET || endAt(der, 0, what) !== der.length)
    throw malformed(what, 'it must be one SEQUENCE')
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
  if (start + length > der.length) throw malformed(what, 'it is truncated')
  return start + length
}

/** Returns the length of the content of the value at `at`, and its start. */
function headerAt(der: Buffer, at: number, what: string): [number, number] {
  const [tag = 0x1f, first = 0x80] = [der[at], der[at + 1]]
  // No structure that is read here has tags of more than one octet or indefinite lengths.
  if ((tag & 0x1f) === 0x1f || first === 0x80 || first > 0x84)
    throw malformed(what, 'it is not DER')
  if (first < 0x80) return [first, at + 2]
  const octets = first & 0x7f
  if (at + 2 + octets > der.length) throw malformed(what, 'it is truncated')
  const length = der.readUIntBE(at + 2, octets)
  if (length < 0x80 || length < 2 ** (8 * (octets - 1)))
    throw malformed(what, 'a length is not in its shortest form')
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

function unexpectedTag(node: Asn1Node | undefined, what: string): CaError {
  if (node === undefined) return malformed(what, 'it is missing', { reason: 'missing' })
  const tag = `${node.tagClass === TagClass.universal ? 'tag' : 'context tag'} ${node.type}`
  return malformed(what, `unexpected ${tag}`)
}

/** True when the node has this universal tag. */
export function hasTag(node: Asn1Node | undefined, tag: number): node is Asn1Node {
  return node !== undefined && node.tagClass === TagClass.universal && node.type === tag
}

/** True when the node has this context-specific tag. */
export function hasContextTag(node: Asn1Node | undefined, number: number): node is Asn1Node {
  return node !== undefined && node.tagClass === TagClass.context && node.type === number
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
    throw unexpectedTag(node, what)
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
    throw unexpectedTag(node, what)
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
  if (content[0] !== 0) throw malformed(what, 'it is not a whole number of bytes')
  return content.subarray(1)
}

/** The set bits of a BIT STRING by their numbers, bit 0 the first. */
export function namedBitsOf(node: Asn1Node | undefined, what: string): readonly number[] {
  const content = contentOf(node, what, Tag.bitString)
  if ((content[0] ?? 8) > (content.length === 1 ? 0 : 7))
    throw malformed(what, 'it is not a BIT STRING')
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
    throw malformed(what, 'it must be an integer from 0 to 2^47-1')
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
    throw malformed(what, 'its format is not the one of RFC 5280')
  }
  const [, yearDigits = '', rest = ''] = match
  // RFC 5280 section 4.1.2.5.1: two-digit years from 50 are in the 20th century.
  const year = utc ? (Number(yearDigits) >= 50 ? '19' : '20') + yearDigits : yearDigits
  const [month, day, hour, minute, second] = rest.match(/\d{2}/g) ?? []
  const iso = `${year}-${month}-${day}T${hour}:${minute}:${second}`
  const date = new Date(`${iso}Z`)
  // Date carries 30 February and 24:00 over into the next day.
  if (Number.isNaN(date.getTime()) || !date.toISOString().startsWith(iso))
    throw malformed(what, 'the date or time does not exist')
  return date
}

const dottedOids = new Map<string, string>()
const MAX_DOTTED_OIDS = 256

/**
 * The dotted form of an OBJECT IDENTIFIER. The few that are in use are decoded once.
 *
 * @throws {CaError} `malformed`
 */
export function oidOf(node: Asn1Node | undefined, what: string): string {
  const known = hasTag(node, Tag.oid) ? dottedOids.get(node.value as string) : undefined
  if (known !== undefined) return known
  const content = contentOf(node, what, Tag.oid)
  const dotted = oidDotted(content)
  if (dottedOids.size < MAX_DOTTED_OIDS) dottedOids.set(content.toString('latin1'), dotted)
  return dotted
}
