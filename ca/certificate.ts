/** X.509 certificates: from DER to the fields that issuing and validating need. Signing is in `sign-certificate.ts`. */
import { createHash } from 'node:crypto'
import { type Asn1Node, encode, Tag } from './asn1.ts'
import {
  bitStringBytes,
  childrenOf,
  contentOf,
  decode,
  hasContextTag,
  hasTag,
  isTrue,
  oidOf,
  timeOf,
} from './asn1-read.ts'
import { malformed } from './errors.ts'
import { extensionOids } from './extensions.ts'
import { type DistinguishedName, readName } from './name.ts'
import type { PublicKey } from './public-key.ts'

/** Start and end of a certificate, both inclusive (RFC 5280 section 4.1.2.5), whole seconds. */
export interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

/** A parsed certificate. */
export interface Certificate {
  readonly der: Buffer
  /** The TBSCertificate: the bytes that the signature covers. */
  readonly tbs: Buffer
  readonly version: number
  /** Content octets of the serial number as lower-case hex. */
  readonly serial: string
  /** The signature algorithm's object identifier, dotted. */
  readonly signatureAlgorithm: string
  readonly signature: Buffer
  readonly issuerNode: Asn1Node
  readonly issuer: DistinguishedName
  readonly subjectNode: Asn1Node
  readonly subject: DistinguishedName
  readonly validity: Validity
  readonly publicKeyInfo: Asn1Node
  readonly extensions: readonly CertificateExtension[]
}

export interface CertificateExtension {
  /** Object identifier, dotted. */
  readonly oid: string
  readonly critical: boolean
  readonly value: Buffer
}

/** Cuts a date to whole seconds, as in certificates. */
export function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000)
}

/**
 * Reads the fields of a certificate in DER, at most 64 KiB. Checks its structure, not its signature and not its
 * profile.
 *
 * @throws {CaError} `malformed`, `too_large`
 * @see RFC 5280 section 4.1
 * @example
 * const certificate = readCertificate(authority.certificate.der)
 * certificate.version // => 3
 * certificate.validity.notAfter > now // => true
 */
export function readCertificate(der: Buffer): Certificate {
  const [tbsNode, algorithm, signature, ...rest] = childrenOf(
    decode(der, 'certificate'),
    'certificate',
    Tag.sequence,
  )
  if (tbsNode === undefined || rest.length > 0) throw malformed('certificate', 'unexpected parts')
  const fields = [...childrenOf(tbsNode, 'TBSCertificate', Tag.sequence)]
  const version = hasContextTag(fields[0], 0) ? readVersion(fields.shift()) : 1
  const [serial, innerAlgorithm, issuer, validity, subject, publicKeyInfo, ...optional] = fields
  if (
    issuer === undefined ||
    subject === undefined ||
    publicKeyInfo === undefined ||
    innerAlgorithm === undefined
  ) {
    throw malformed('TBSCertificate', 'parts are missing', { reason: 'missing' })
  }
  if (algorithm === undefined || !encode(algorithm).equals(encode(innerAlgorithm))) {
    // RFC 5280 section 4.1.1.2: both must be the same, otherwise the algorithm that is used would not be the signed
    // one.
    throw malformed('certificate', 'its two signature algorithms differ', { reason: 'mismatch' })
  }
  return {
    der,
    tbs: encode(tbsNode),
    version,
    serial: contentOf(serial, 'serial number', Tag.integer).toString('hex'),
    signatureAlgorithm: oidOf(
      childrenOf(algorithm, 'signature algorithm', Tag.sequence)[0],
      'signature algorithm',
    ),
    signature: bitStringBytes(signature, 'signature'),
    issuerNode: issuer,
    issuer: readName(issuer, 'issuer'),
    subjectNode: subject,
    subject: readName(subject, 'subject'),
    validity: readValidity(validity),
    publicKeyInfo,
    extensions: readExtensions(optional.find((node) => hasContextTag(node, 3))),
  }
}

function readVersion(node: Asn1Node | undefined): number {
  const content = contentOf(childrenOf(node, 'version')[0], 'version', Tag.integer)
  return content.length === 1 ? (content[0] ?? 0) + 1 : 0
}

function readValidity(node: Asn1Node | undefined): Validity {
  const [notBefore, notAfter] = childrenOf(node, 'validity', Tag.sequence)
  return { notBefore: timeOf(notBefore, 'notBefore'), notAfter: timeOf(notAfter, 'notAfter') }
}

function readExtensions(node: Asn1Node | undefined): readonly CertificateExtension[] {
  if (node === undefined) return []
  return readExtensionList(childrenOf(node, 'extensions')[0])
}

/** Reads a sequence of extensions, of a certificate or of a CRL. */
export function readExtensionList(node: Asn1Node | undefined): readonly CertificateExtension[] {
  return childrenOf(node, 'extensions', Tag.sequence).map((entry) => {
    const parts = childrenOf(entry, 'extension', Tag.sequence)
    const value = parts.at(-1)
    return {
      oid: oidOf(parts[0], 'extension'),
      critical: parts.length === 3 && hasTag(parts[1], Tag.boolean) && isTrue(parts[1]),
      value: contentOf(value, 'extension value', Tag.octetString),
    }
  })
}

/**
 * Returns the extension with this object identifier (dotted), or undefined.
 *
 * @see RFC 5280 section 4.2
 * @example
 * findExtension(authority.certificate, '2.5.29.19').critical // => true
 * findExtension(authority.certificate, '1.2.3') // => undefined
 */
export function findExtension(
  certificate: Certificate,
  oid: string,
): CertificateExtension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid)
}

/**
 * Returns the key identifier that certificates and CRLs below this one must name (RFC 5280 section 4.2.1.1): that in
 * its extension, however it was made, or otherwise that of its key.
 *
 * @throws {CaError} `malformed`
 */
export function issuerKeyId(certificate: Certificate, publicKey: PublicKey): Buffer {
  const stated = findExtension(certificate, extensionOids.subjectKeyIdentifier)
  const what = 'subjectKeyIdentifier'
  return stated ? contentOf(decode(stated.value, what), what, Tag.octetString) : publicKey.keyId
}

/** True when the certificate's basicConstraints say CA:TRUE. @throws {CaError} `malformed` */
export function isAuthorityCertificate(certificate: Certificate): boolean {
  const constraints = findExtension(certificate, extensionOids.basicConstraints)
  if (!constraints) return false
  const what = 'basicConstraints'
  return isTrue(childrenOf(decode(constraints.value, what), what, Tag.sequence)[0])
}

/**
 * SHA-256 over the DER, lower-case hex.
 *
 * @see RFC 6234 section 4.1
 * @example
 * fingerprint(authority.certificate.der).length // => 64
 */
export function fingerprint(der: Buffer): string {
  return createHash('sha256').update(der).digest('hex')
}
