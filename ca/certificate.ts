/**
 * X.509 certificates: from template to signed DER, and from DER to the fields that issuing and validating need.
 */
import { createHash, X509Certificate } from 'node:crypto'
import {
  type Asn1Node,
  bitString,
  encode,
  explicit,
  integer,
  preEncoded,
  sequence,
  smallInteger,
  Tag,
  time,
} from './asn1.ts'
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
import { CaError, type CaErrorReason, malformed } from './errors.ts'
import { extensionOids, extensionsField } from './extensions.ts'
import { type FurtherExtension, furtherExtensionNodes } from './further-extensions.ts'
import { algorithmNode, type Signer } from './key.ts'
import type { PublicKey } from './public-key.ts'
import { type DistinguishedName, readName } from './name.ts'
import { checkSerial } from './serial.ts'

/** Begin and end of a certificate, both inclusive (RFC 5280 section 4.1.2.5), whole seconds. */
export interface Validity {
  readonly notBefore: Date
  readonly notAfter: Date
}

/** Everything that goes into a certificate but its signature. */
export interface CertificateTemplate {
  /** Big-endian, positive, 1 to 20 octets. */
  readonly serial: Buffer
  readonly issuer: Asn1Node
  readonly subject: Asn1Node
  readonly validity: Validity
  readonly publicKey: PublicKey
  readonly extensions: readonly Asn1Node[]
  /** Written after `extensions`. */
  readonly furtherExtensions?: readonly FurtherExtension[] | undefined
}

/** A certificate that was read. */
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

/**
 * Signs a template and reads the result back with OpenSSL before it is given out.
 *
 * @throws {CaError} `self_check_failed`, `bad_request` for a serial number that may not be
 */
export async function signCertificate(
  template: CertificateTemplate,
  signer: Signer,
): Promise<Buffer> {
  checkSerial(template.serial)
  const { extensions, furtherExtensions = [] } = template
  const algorithm = algorithmNode(signer.algorithm)
  const tbs = sequence(
    explicit(0, smallInteger(2)),
    integer(template.serial),
    algorithm,
    template.issuer,
    sequence(time(template.validity.notBefore), time(template.validity.notAfter)),
    template.subject,
    template.publicKey.info,
    extensionsField(
      furtherExtensions.length === 0
        ? extensions
        : [...extensions, ...furtherExtensionNodes(furtherExtensions)],
    ),
  )
  const signed = encode(tbs)
  const signature = await signer.sign(signed)
  const der = encode(sequence(preEncoded(signed), algorithm, bitString(signature)))
  checkReadBack(der, template, signer)
  if (furtherExtensions.length > 0) checkFurtherReadBack(der, extensions.length, furtherExtensions)
  return der
}

/** node:crypto does not tell extensions: those that a caller gave are read back by our own parser. */
function checkFurtherReadBack(
  der: Buffer,
  profileCount: number,
  further: readonly FurtherExtension[],
): void {
  const read = readCertificate(der).extensions
  const same =
    read.length === profileCount + further.length &&
    new Set(read.map(({ oid }) => oid)).size === read.length &&
    further.every(({ oid, critical, value }, index) => {
      const found = read[profileCount + index]
      return found?.oid === oid && found.critical === critical && found.value.equals(value)
    })
  if (same) return
  throw new CaError('self_check_failed', 'the new certificate is wrong: its extensions differ', {
    field: 'extensions',
    reason: 'mismatch',
  })
}

/**
 * A second implementation reads what we wrote: a fault in the encoder or in the signature (a flipped bit in an RSA
 * computation gives away the key) stops here.
 */
function checkReadBack(der: Buffer, template: CertificateTemplate, signer: Signer): void {
  let failed: readonly [field: string, reason: CaErrorReason, problem: string] | undefined
  try {
    const certificate = new X509Certificate(der)
    if (!certificate.verify(signer.publicKey.key))
      failed = ['signature', 'not_verified', 'the signature does not verify']
    else if (certificate.serialNumber.toLowerCase() !== withoutZeros(template.serial)) {
      failed = ['serial', 'mismatch', 'the serial number differs']
    } else if (
      Date.parse(certificate.validTo) !== wholeSeconds(template.validity.notAfter).getTime()
    ) {
      failed = ['validity.notAfter', 'mismatch', 'the end of its validity differs']
    } else if (!certificate.raw.equals(der))
      failed = ['certificate', 'mismatch', 'its bytes differ']
  } catch (cause) {
    throw new CaError('self_check_failed', 'OpenSSL cannot read the new certificate', {
      field: 'certificate',
      reason: 'bad_encoding',
      cause,
    })
  }
  if (failed === undefined) return
  const [field, reason, problem] = failed
  throw new CaError('self_check_failed', `the new certificate is wrong: ${problem}`, {
    field,
    reason,
  })
}

/** A serial number as OpenSSL prints it, in lower case: whole octets, no leading zero octets. */
function withoutZeros(serial: Buffer): string {
  return serial.toString('hex').replace(/^(00)+(?=..)/, '')
}

/** The date cut to whole seconds, as certificates hold it. */
export function wholeSeconds(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000)
}

/**
 * Reads a certificate's fields. Checks its structure, not its signature and not its profile.
 *
 * @throws {CaError} `malformed`, `too_large`
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
    // RFC 5280 section 4.1.1.2: both must be the same, else the signed one is not the one that is used.
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

/** The extension with this object identifier (dotted), when there is one. */
export function findExtension(
  certificate: Certificate,
  oid: string,
): CertificateExtension | undefined {
  return certificate.extensions.find((extension) => extension.oid === oid)
}

/**
 * The key identifier that certificates and CRLs below this one must name (RFC 5280 section 4.2.1.1): the one that it
 * states, made by whatever method, else the one of its key.
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

/** SHA-256 over the DER, lower-case hex. */
export function fingerprint(der: Buffer): string {
  return createHash('sha256').update(der).digest('hex')
}
