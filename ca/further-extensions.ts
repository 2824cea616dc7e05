/** Checks and encodes extensions in addition to those of the profile, for example VOMS attribute certificates. */
import { type Asn1Node, booleanTrue, octetString, oid, sequence } from './asn1.ts'
import { decode } from './asn1-read.ts'
import { CaError, type CaErrorDetails } from './errors.ts'
import { extensionOids } from './extensions.ts'
import { oidBytes, oidDotted } from './oid.ts'

/** An extension that the caller adds to an EEC or a proxy (RFC 5280 section 4.2). */
export interface FurtherExtension {
  /** Object identifier, dotted. */
  readonly oid: string
  /** Relying parties that do not know a critical extension refuse the certificate; Globus and OpenSSL know few. */
  readonly critical: boolean
  /** The content of extnValue: one DER value. */
  readonly value: Uint8Array
}

/** Maximum number of further extensions in one certificate. */
export const MAX_FURTHER_EXTENSIONS = 16
/** Maximum octets of their values in total; `readCertificate` accepts certificates of up to 64 KiB. */
export const MAX_FURTHER_EXTENSION_BYTES = 32 * 1024

/**
 * Arcs of extensions that define what a certificate may be used for. Only the profile writes them: id-ce (RFC 5280),
 * ProxyCertInfo (RFC 3820), the ProxyCertInfo of its drafts, which Globus still reads, and Netscape's.
 */
const profileArcs = [
  '2.5.29',
  extensionOids.proxyCertInfo,
  '1.3.6.1.4.1.3536.1.222',
  '2.16.840.1.113730.1',
]

/**
 * The further extensions as nodes.
 *
 * @throws {CaError} `bad_request` when there are too many, one is too large or not DER, an identifier is malformed,
 *   given twice or reserved for the profile
 */
export function furtherExtensionNodes(
  extensions: readonly FurtherExtension[],
): readonly Asn1Node[] {
  checkSizes(extensions)
  return extensions.map((extension, index) => {
    const { oid: dotted, critical, value } = extension
    checkOid(dotted, `extensions[${index}].oid`)
    if (extensions.findIndex((other) => other.oid === dotted) !== index) {
      throw refusal(`the extension ${dotted} is given twice`, {
        field: `extensions[${index}].oid`,
        reason: 'duplicate',
      })
    }
    checkValue(value, `extensions[${index}].value`)
    return sequence(oid(dotted), critical ? booleanTrue() : undefined, octetString(value))
  })
}

function checkSizes(extensions: readonly FurtherExtension[]): void {
  if (extensions.length > MAX_FURTHER_EXTENSIONS) {
    throw refusal(`there are ${extensions.length} extensions; at most ${MAX_FURTHER_EXTENSIONS}`, {
      field: 'extensions',
      reason: 'too_many',
      limit: MAX_FURTHER_EXTENSIONS,
      actual: extensions.length,
    })
  }
  const bytes = extensions.reduce((sum, { value }) => sum + value.length, 0)
  if (bytes > MAX_FURTHER_EXTENSION_BYTES) {
    throw refusal(`the extensions have ${bytes} bytes; at most ${MAX_FURTHER_EXTENSION_BYTES}`, {
      field: 'extensions',
      reason: 'too_large',
      limit: MAX_FURTHER_EXTENSION_BYTES,
      actual: bytes,
    })
  }
}

function checkOid(dotted: string, field: string): void {
  try {
    oidDotted(oidBytes(dotted))
  } catch (cause) {
    throw refusal('the identifier of an extension must be a dotted object identifier', {
      field,
      reason: 'bad_encoding',
      cause,
    })
  }
  if (profileArcs.some((arc) => dotted === arc || dotted.startsWith(`${arc}.`))) {
    throw refusal(`the extension ${dotted} is reserved for the profile`, {
      field,
      reason: 'not_allowed',
    })
  }
}

function checkValue(value: Uint8Array, field: string): void {
  try {
    decode(value, 'extension value')
  } catch (cause) {
    throw refusal('the value of an extension must be one canonical DER value', {
      field,
      reason: 'bad_encoding',
      cause,
    })
  }
}

function refusal(message: string, details: CaErrorDetails & { readonly cause?: unknown }): CaError {
  return new CaError('bad_request', message, details)
}
