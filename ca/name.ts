/**
 * Distinguished names as arrays of RDNs, general to specific. They are converted to text only for display.
 * The text forms (slash-DN, RFC 4514) are in `name-text.ts`.
 */
import { type Asn1Node, characterString, encode, oid, sequence, set, Tag } from './asn1.ts'
import { childrenOf, contentOf } from './asn1-read.ts'
import { CaError, type CaErrorReason, malformed } from './errors.ts'
import { oidDotted } from './oid.ts'

/** One attribute of an RDN: its type as dotted OID and its value as text, or as DER if it is not a character string. */
export interface NameAttribute {
  readonly type: string
  readonly value: string | Buffer
}

/** A relative distinguished name, usually of one attribute. */
export type Rdn = readonly NameAttribute[]

/** A distinguished name, general to specific (the order of RFC 5280 and of the slash form). */
export type DistinguishedName = readonly Rdn[]

/** Attribute types by the short name that grid tools print, and back. */
export const attributeTypes: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  SN: '2.5.4.4',
  serialNumber: '2.5.4.5',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  street: '2.5.4.9',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  title: '2.5.4.12',
  GN: '2.5.4.42',
  initials: '2.5.4.43',
  dnQualifier: '2.5.4.46',
  DC: '0.9.2342.19200300.100.1.25',
  UID: '0.9.2342.19200300.100.1.1',
  emailAddress: '1.2.840.113549.1.9.1',
}

const commonName = '2.5.4.3'
const countryName = '2.5.4.6'
const ia5Types = new Set([attributeTypes['DC'], attributeTypes['emailAddress']])
const printable = /^[A-Za-z0-9 '()+,\-./:=?]*$/

/**
 * The name with one CN appended as a new last RDN: how a proxy's subject follows from its issuer's (RFC 3820 section
 * 3.4).
 */
export function withCommonName(name: DistinguishedName, value: string): DistinguishedName {
  return [...name, [{ type: commonName, value }]]
}

/**
 * DER of an RDN of one CN: what a proxy's subject has after the RDNs of its issuer's, which stay as they are byte for
 * byte (RFC 3820 section 3.4).
 *
 * @throws {CaError} `bad_name`
 */
export function commonNameRdn(value: string): Buffer {
  return encode(set(attributeNode({ type: commonName, value })))
}

/** Returns the CN of the last RDN if it is a single CN, otherwise undefined. */
export function lastCommonName(name: DistinguishedName): string | undefined {
  const last = name.at(-1)
  const attribute = last?.length === 1 ? last[0] : undefined
  return attribute?.type === commonName && typeof attribute.value === 'string'
    ? attribute.value
    : undefined
}

/**
 * DER of a name. C is a PrintableString, DC and emailAddress are IA5Strings, the rest PrintableStrings where the
 * characters allow and UTF8Strings where not (RFC 5280 section 4.1.2.4).
 *
 * @throws {CaError} `bad_name`
 */
export function nameNode(name: DistinguishedName): Asn1Node {
  return sequence(...name.map(rdnNode))
}

function badName(message: string, reason: CaErrorReason): CaError {
  return new CaError('bad_name', message, { field: 'name', reason })
}

function rdnNode(rdn: Rdn): Asn1Node {
  if (rdn.length === 0) throw badName('an RDN of the name has no attribute', 'missing')
  return set(...rdn.map(attributeNode))
}

function attributeNode({ type, value }: NameAttribute): Asn1Node {
  if (typeof value !== 'string')
    throw badName('the values of a name to be issued must be text', 'bad_value')
  return sequence(typeNode(type), stringNode(type, value))
}

function typeNode(type: string): Asn1Node {
  try {
    return oid(type)
  } catch (cause) {
    throw new CaError('bad_name', 'an attribute type in the name is not an object identifier', {
      field: 'name',
      reason: 'bad_encoding',
      cause,
    })
  }
}

function stringNode(type: string, value: string): Asn1Node {
  const bytes = Buffer.from(value, 'utf8')
  if (bytes.toString('utf8') !== value) {
    throw badName('a value in the name is not well-formed Unicode', 'bad_encoding')
  }
  if (type === countryName && !/^[A-Za-z]{2}$/.test(value)) {
    throw badName('attribute C must be two letters', 'bad_value')
  }
  if (ia5Types.has(type)) {
    // oxlint-disable-next-line no-control-regex -- IA5String is all of ASCII, control characters too
    if (!/^[\x00-\x7f]*$/.test(value))
      throw badName('attributes DC and emailAddress must be ASCII', 'bad_value')
    return characterString(Tag.ia5String, bytes)
  }
  return characterString(printable.test(value) ? Tag.printableString : Tag.utf8String, bytes)
}

/**
 * Reads a Name. Values in the common string types become text, all others keep their DER.
 *
 * @throws {CaError} `malformed`
 */
export function readName(node: Asn1Node | undefined, what: string): DistinguishedName {
  return childrenOf(node, what, Tag.sequence).map((rdn) => {
    const attributes = childrenOf(rdn, `${what}: RDN`, Tag.set)
    if (attributes.length === 0) throw malformed(what, 'an RDN is empty')
    return attributes.map((attribute) => {
      const [type, value, ...rest] = childrenOf(attribute, `${what}: attribute`, Tag.sequence)
      if (value === undefined || rest.length > 0) {
        throw malformed(what, 'an attribute must have one value')
      }
      return {
        type: oidDotted(contentOf(type, `${what}: attribute type`, Tag.oid)),
        value: readValue(value),
      }
    })
  })
}

function readValue(node: Asn1Node): string | Buffer {
  if (node.tagClass !== 0 || typeof node.value !== 'string') return encode(node)
  const bytes = Buffer.from(node.value, 'latin1')
  switch (node.type) {
    case Tag.printableString:
    case Tag.ia5String:
    case Tag.teletexString:
      return bytes.toString('latin1')
    case Tag.utf8String: {
      const text = bytes.toString('utf8')
      return Buffer.from(text, 'utf8').equals(bytes) ? text : encode(node)
    }
    case Tag.bmpString:
      // A lone surrogate has no UTF-8 form: as text it would look like another name's replacement character.
      return node.value.isWellFormed() ? node.value : encode(node)
    default:
      return encode(node)
  }
}

/** Whether both names are the same, attribute by attribute; case-sensitive. */
export function sameName(left: DistinguishedName, right: DistinguishedName): boolean {
  return JSON.stringify(left) === JSON.stringify(right)
}

/** True when `name` begins with all RDNs of `prefix`. */
export function startsWithName(name: DistinguishedName, prefix: DistinguishedName): boolean {
  return sameName(name.slice(0, prefix.length), prefix)
}
