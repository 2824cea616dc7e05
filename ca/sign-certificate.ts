/** Signs certificates and reads them back before they are returned. */
import { X509Certificate } from 'node:crypto'
import {
  type Asn1Node,
  bitString,
  encode,
  encodedSequence,
  explicit,
  integer,
  sequence,
  smallInteger,
  time,
} from './asn1.ts'
import { elementsOf } from './asn1-read.ts'
import { readCertificate, type Validity, wholeSeconds } from './certificate.ts'
import { CaError, type CaErrorReason } from './errors.ts'
import { extensionsField } from './extensions.ts'
import { type FurtherExtension, furtherExtensionNodes } from './further-extensions.ts'
import {
  algorithmNode,
  hashOf,
  type SignatureAlgorithm,
  type Signer,
  verifySignatureHere,
} from './key.ts'
import type { PublicKey } from './public-key.ts'
import { checkSerial } from './serial.ts'

/** The content of a certificate without its signature. */
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

/** The same with its names and extensions in DER, where they are the same in many certificates. */
export interface EncodedTemplate extends Pick<
  CertificateTemplate,
  'serial' | 'validity' | 'publicKey'
> {
  readonly issuer: Buffer
  readonly subject: Buffer
  /** `[3] EXPLICIT Extensions`. */
  readonly extensions: Buffer
}

/**
 * Signs a template and reads the result back with OpenSSL before it is returned.
 *
 * @throws {CaError} `self_check_failed`, `bad_request` (invalid serial number)
 */
export async function signCertificate(
  template: CertificateTemplate,
  signer: Signer,
): Promise<Buffer> {
  checkSerial(template.serial)
  const { extensions, furtherExtensions = [] } = template
  const encoded = {
    ...template,
    issuer: encode(template.issuer),
    subject: encode(template.subject),
    extensions: encode(
      extensionsField([...extensions, ...furtherExtensionNodes(furtherExtensions)]),
    ),
  }
  const der = await signEncoded(encoded, signer)
  checkWithOpenSsl(der, template)
  if (furtherExtensions.length > 0)
    checkFurtherExtensions(der, extensions.length, furtherExtensions)
  return der
}

/**
 * Signs a template whose parts are DER already, and reads the result back: every field must be that of the template
 * byte for byte, and the signature must verify. That OpenSSL can read such a certificate must have been seen with one
 * like it (`checkWithOpenSsl`), because it is not looked at again.
 *
 * @throws {CaError} `self_check_failed`, `bad_request` (invalid serial number)
 */
export async function signEncoded(template: EncodedTemplate, signer: Signer): Promise<Buffer> {
  checkSerial(template.serial)
  const { algorithm } = signer
  const fields = fieldsOf(template, algorithm)
  const tbs = encodedSequence(fields)
  const signature = await signer.sign(tbs)
  const der = encodedSequence([tbs, algorithmDer(algorithm), encode(bitString(signature))])
  checkReadBack(der, fields, signer)
  return der
}

const VERSION_3 = encode(explicit(0, smallInteger(2)))
const algorithms = new Map<SignatureAlgorithm, Buffer>()

function algorithmDer(algorithm: SignatureAlgorithm): Buffer {
  const known = algorithms.get(algorithm)
  if (known) return known
  const made = encode(algorithmNode(algorithm))
  algorithms.set(algorithm, made)
  return made
}

/** The fields of a TBSCertificate (RFC 5280 section 4.1), in DER. */
function fieldsOf(template: EncodedTemplate, algorithm: SignatureAlgorithm): readonly Buffer[] {
  const { serial, issuer, subject, validity, publicKey, extensions } = template
  return [
    VERSION_3,
    encode(integer(serial)),
    algorithmDer(algorithm),
    issuer,
    encode(sequence(time(validity.notBefore), time(validity.notAfter))),
    subject,
    publicKey.info,
    extensions,
  ]
}

/**
 * Detects a fault in putting the certificate together or in its signature: a flipped bit in an RSA computation can
 * reveal the private key (Boneh, DeMillo and Lipton, 1997).
 */
function checkReadBack(der: Buffer, fields: readonly Buffer[], signer: Signer): void {
  const [tbs, algorithm, signature, ...rest] = readBack(der)
  if (tbs === undefined || algorithm === undefined || signature === undefined || rest.length > 0)
    throw wrong('certificate', 'mismatch', 'its parts differ')
  const read = readBack(tbs)
  if (read.length !== fields.length || !fields.every((field, at) => read[at]?.equals(field)))
    throw wrong('certificate', 'mismatch', 'its bytes differ')
  if (!algorithm.equals(algorithmDer(signer.algorithm)))
    throw wrong('certificate', 'mismatch', 'its signature algorithm differs')
  const signed = { data: tbs, signature: bitsOf(signature) }
  if (!verifySignatureHere(hashOf(signer.algorithm), signed, signer.publicKey.key))
    throw wrong('signature', 'not_verified', 'the signature does not verify')
}

function readBack(der: Buffer): readonly Buffer[] {
  try {
    return elementsOf(der, 'new certificate')
  } catch (cause) {
    throw unreadable(cause)
  }
}

/** The content of a BIT STRING in DER that has no unused bits. */
function bitsOf(der: Buffer): Buffer {
  const length = der[1] ?? 0
  return der.subarray(2 + (length < 0x80 ? 0 : length & 0x7f) + 1)
}

function wrong(field: string, reason: CaErrorReason, problem: string): CaError {
  return new CaError('self_check_failed', `the new certificate is wrong: ${problem}`, {
    field,
    reason,
  })
}

function unreadable(cause: unknown): CaError {
  return new CaError('self_check_failed', 'the new certificate cannot be read', {
    field: 'certificate',
    reason: 'bad_encoding',
    cause,
  })
}

/**
 * Checks that the further extensions follow those of the profile. node:crypto does not expose extensions, so our own
 * parser reads them back.
 *
 * @throws {CaError} `self_check_failed`
 */
export function checkFurtherExtensions(
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
  if (!same) throw wrong('extensions', 'mismatch', 'its extensions differ')
}

/**
 * Lets a second implementation read a certificate, to detect a fault in the encoder.
 *
 * @throws {CaError} `self_check_failed`
 */
export function checkWithOpenSsl(
  der: Buffer,
  template: Pick<CertificateTemplate, 'serial' | 'validity' | 'publicKey'>,
): void {
  const { serial, validity, publicKey } = template
  let read: Pick<X509Certificate, 'serialNumber' | 'validTo' | 'raw' | 'publicKey'>
  try {
    read = new X509Certificate(der)
  } catch (cause) {
    throw unreadable(cause)
  }
  if (read.serialNumber.toLowerCase() !== withoutZeros(serial))
    throw wrong('serial', 'mismatch', 'the serial number differs')
  if (Date.parse(read.validTo) !== wholeSeconds(validity.notAfter).getTime())
    throw wrong('validity.notAfter', 'mismatch', 'the end of its validity differs')
  if (!read.publicKey.equals(publicKey.key))
    throw wrong('publicKey', 'mismatch', 'the public key differs')
  if (!read.raw.equals(der)) throw wrong('certificate', 'mismatch', 'its bytes differ')
}

/** A serial number as OpenSSL prints it, in lower case: whole octets, no leading zero octets. */
function withoutZeros(serial: Buffer): string {
  return serial.toString('hex').replace(/^(00)+(?=..)/, '')
}
