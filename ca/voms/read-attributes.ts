/** Reads the VOMS attribute certificates of a proxy. Checks their structure, not their signature. */
import { type Asn1Node, encode, Tag } from '../asn1.ts'
import {
  bitStringBytes,
  childrenOf,
  contentOf,
  decode,
  hasContextTag,
  hasTag,
  oidOf,
  timeOf,
} from '../asn1-read.ts'
import {
  type Certificate,
  type CertificateExtension,
  findExtension,
  readExtensionList,
  type Validity,
} from '../certificate.ts'
import { malformed } from '../errors.ts'
import { type DistinguishedName, readName } from '../name.ts'
import { vomsOids } from './oids.ts'

/** A parsed attribute certificate. */
export interface AttributeCertificate {
  readonly der: Buffer
  readonly serial: string
  /**
   * The holder's EEC: its serial number (hex), and a name: VOMS writes its subject, RFC 5755 section 4.2.2 asks for its
   * issuer. Undefined if it is named otherwise.
   */
  readonly holder: { readonly name: DistinguishedName; readonly serial: string } | undefined
  /** The name of the attribute authority. */
  readonly issuer: DistinguishedName
  readonly validity: Validity
  /** The VO, and where its server is, `host:port`. */
  readonly vo: string
  readonly uri: string
  /** As they were written, with `Role=NULL/Capability=NULL`. */
  readonly fqans: readonly string[]
  readonly extensions: readonly CertificateExtension[]
}

const WHAT = 'attribute certificate'

/**
 * Returns the attribute certificates of a proxy, in their order; none if it has no such extension.
 *
 * @throws {CaError} `malformed`
 * @see RFC 5755 section 4.1, and GFD.182 section 3
 * @example
 * attributeCertificatesOf(proxy) // => []
 */
export function attributeCertificatesOf(proxy: Certificate): readonly AttributeCertificate[] {
  const extension = findExtension(proxy, vomsOids.attributeCertificates)
  if (extension === undefined) return []
  const lists = childrenOf(
    decode(extension.value, 'VOMS extension'),
    'VOMS extension',
    Tag.sequence,
  )
  return lists.flatMap((list) => childrenOf(list, 'VOMS extension', Tag.sequence).map(readNode))
}

/**
 * Reads one attribute certificate in DER.
 *
 * @throws {CaError} `malformed`, `too_large`
 * @see RFC 5755 section 4.1
 * @example
 * readAttributeCertificate(attributes).vo // => 'cms'
 */
export function readAttributeCertificate(der: Buffer): AttributeCertificate {
  return readNode(decode(der, WHAT))
}

function readNode(node: Asn1Node): AttributeCertificate {
  const [information, , signature] = childrenOf(node, WHAT, Tag.sequence)
  bitStringBytes(signature, WHAT)
  const [, holder, issuer, , serial, period, attributes, ...rest] = childrenOf(
    information,
    WHAT,
    Tag.sequence,
  )
  const [notBefore, notAfter] = childrenOf(period, WHAT, Tag.sequence)
  const extensions = rest.find((part) => hasTag(part, Tag.sequence))
  return {
    der: encode(node),
    serial: contentOf(serial, WHAT, Tag.integer).toString('hex'),
    holder: readHolder(holder),
    issuer: directoryNameIn(childrenOf(issuer, WHAT)[0]),
    validity: { notBefore: timeOf(notBefore, WHAT), notAfter: timeOf(notAfter, WHAT) },
    ...readFqans(attributes),
    extensions: extensions === undefined ? [] : readExtensionList(extensions),
  }
}

function readHolder(node: Asn1Node | undefined): AttributeCertificate['holder'] {
  const [base] = childrenOf(node, WHAT, Tag.sequence)
  if (!hasContextTag(base, 0)) return undefined
  const [name, serial] = childrenOf(base, WHAT)
  return {
    name: directoryNameIn(name),
    serial: contentOf(serial, WHAT, Tag.integer).toString('hex'),
  }
}

/** GeneralNames that must be one directoryName. */
function directoryNameIn(node: Asn1Node | undefined): DistinguishedName {
  const [name, ...more] = childrenOf(node, WHAT, Tag.sequence)
  if (!hasContextTag(name, 4) || more.length > 0)
    throw malformed(WHAT, 'a name must be one directory name')
  return readName(childrenOf(name, WHAT)[0], WHAT)
}

function readFqans(node: Asn1Node | undefined): Pick<AttributeCertificate, 'vo' | 'uri' | 'fqans'> {
  const attribute = childrenOf(node, WHAT, Tag.sequence).find(
    (part) => oidOf(childrenOf(part, WHAT, Tag.sequence)[0], WHAT) === vomsOids.fqans,
  )
  const [, values] = childrenOf(attribute, WHAT, Tag.sequence)
  const [syntax] = childrenOf(values, WHAT, Tag.set)
  const [authority, fqans] = childrenOf(syntax, WHAT, Tag.sequence)
  if (!hasContextTag(authority, 0)) throw malformed(WHAT, 'it does not name its VO')
  const [uri] = childrenOf(authority, WHAT)
  const text = hasContextTag(uri, 6) ? contentOf(uri, WHAT).toString('latin1') : ''
  const separator = text.indexOf('://')
  if (separator < 1) throw malformed(WHAT, 'it does not name its VO')
  return {
    vo: text.slice(0, separator),
    uri: text.slice(separator + 3),
    fqans: childrenOf(fqans, WHAT, Tag.sequence).map((value) =>
      contentOf(value, WHAT, Tag.octetString).toString('latin1'),
    ),
  }
}
