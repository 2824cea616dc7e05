/** Signs certificates and reads them back before they are returned. */
import { X509Certificate } from 'node:crypto'
import {
  type Asn1Node,
  bitString,
  encode,
  explicit,
  integer,
  preEncoded,
  sequence,
  smallInteger,
  time,
} from './asn1.ts'
import { readCertificate, type Validity, wholeSeconds } from './certificate.ts'
import { CaError, type CaErrorReason } from './errors.ts'
import { extensionsField } from './extensions.ts'
import { type FurtherExtension, furtherExtensionNodes } from './further-extensions.ts'
import { algorithmNode, type Signer } from './key.ts'
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

/** node:crypto does not expose extensions, so the caller's are read back by our own parser. */
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
 * A second implementation reads the certificate back, to detect a fault in the encoder or in the signature (a flipped
 * bit in an RSA computation can reveal the private key).
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
