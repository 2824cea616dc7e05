/**
 * The two hashes by which OpenSSL and software built on it find a CA in a directory: `HASH.0`, `HASH.r0`,
 * `HASH.signing_policy`. The first four digest bytes are read little-endian and printed as eight hex digits.
 */
import { createHash } from 'node:crypto'
import { type Asn1Node, characterString, encode, sequence, set, Tag } from './asn1.ts'
import { childrenOf, contentOf } from './asn1-read.ts'

/** What `openssl x509 -subject_hash` prints: SHA-1 over the canonical form of the name. */
export function subjectHash(name: Asn1Node): string {
  return hashText(createHash('sha1').update(canonicalName(name)).digest())
}

/**
 * What `openssl x509 -subject_hash_old` prints: MD5 over the name as it is; the only one that VOMS for Java looks for.
 */
export function subjectHashOld(name: Asn1Node): string {
  return hashText(createHash('md5').update(encode(name)).digest())
}

function hashText(digest: Buffer): string {
  return digest.readUInt32LE(0).toString(16).padStart(8, '0')
}

/**
 * The form in which names are compared (RFC 5280 section 7.1, as OpenSSL does it): the RDNs one after another, values
 * as UTF-8 without spaces at the ends, runs of spaces as one, ASCII letters in lower case.
 */
export function canonicalName(name: Asn1Node): Buffer {
  return Buffer.concat(
    childrenOf(name, 'name', Tag.sequence).map((rdn) =>
      encode(set(...childrenOf(rdn, 'name: RDN', Tag.set).map(canonicalAttribute))),
    ),
  )
}

function canonicalAttribute(attribute: Asn1Node): Asn1Node {
  const [type, value] = childrenOf(attribute, 'name: attribute', Tag.sequence)
  const text = value && stringBytes(value)
  if (text === undefined) return attribute
  return sequence(type, characterString(Tag.utf8String, Buffer.from(canonicalText(text), 'latin1')))
}

/** Works on UTF-8 bytes as latin1 characters, so that bytes outside ASCII stay unchanged. */
function canonicalText(bytes: Buffer): string {
  return bytes
    .toString('latin1')
    .replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, '')
    .replace(/[ \t\n\v\f\r]+/g, ' ')
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

/** A character string's value in UTF-8; undefined for types that OpenSSL does not convert. */
function stringBytes(node: Asn1Node): Buffer | undefined {
  if (node.tagClass !== 0 || typeof node.value !== 'string') return undefined
  switch (node.type) {
    case Tag.utf8String:
    case Tag.printableString:
    case Tag.ia5String:
      return contentOf(node, 'name: value')
    case Tag.teletexString:
      return Buffer.from(node.value, 'utf8')
    case Tag.bmpString:
      // The parser has made characters of these bytes already.
      return Buffer.from(node.value, 'utf8')
    case Tag.universalString:
      return fromUtf32(contentOf(node, 'name: value'))
    default:
      return undefined
  }
}

const LAST_CODE_POINT = 0x10ffff

function fromUtf32(bytes: Buffer): Buffer | undefined {
  if (bytes.length % 4 !== 0) return undefined
  const codes = Array.from({ length: bytes.length / 4 }, (_, index) =>
    bytes.readUInt32BE(index * 4),
  )
  return codes.some((code) => code > LAST_CODE_POINT)
    ? undefined
    : Buffer.from(String.fromCodePoint(...codes), 'utf8')
}
