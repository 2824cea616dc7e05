/**
 * Encodes and reads the entries of CRLs (RFC 5280 section 5.1.2.6) without a node for each part, because a list may
 * have hundreds of thousands of entries.
 */
import { encode, encodedSequence, enumerated, integer, sequence, Tag, time } from './asn1.ts'
import { decode, elementsOf, timeOf } from './asn1-read.ts'
import { type CertificateExtension, readExtensionList } from './certificate.ts'
import { CaError, malformed } from './errors.ts'
import { reasonCode } from './extensions.ts'

/** Reasons by name (RFC 5280 section 5.3.1); `unspecified` is written by leaving the extension out. */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
  privilegeWithdrawn: 9,
} as const
export type RevocationReason = keyof typeof revocationReasons

export interface CrlEntry {
  /** Content octets of the serial number, hex. */
  readonly serial: string
  readonly revokedAt: Date
  readonly reason: RevocationReason
}

/** Number of times and extensions that are cached while a list is encoded or read. */
const MAX_CACHED = 10_000

/**
 * The DER of each entry, for `encodedEntries` of `createCrl`.
 *
 * @throws {CaError} `bad_request`, `bad_lifetime`
 * @see RFC 5280 section 5.1.2.6
 * @example
 * const [entry] = encodeCrlEntries([{ serial: '4a01', revokedAt: now, reason: 'unspecified' }])
 * entry.subarray(2, 6).toString('hex') // => '02024a01'
 */
export function encodeCrlEntries(entries: readonly CrlEntry[]): Buffer[] {
  const timeDer = cached((at: number) => encode(time(new Date(at))))
  const reasonDer = cached((code: number) => encode(sequence(reasonCode(enumerated(code)))))
  return entries.map(({ serial, revokedAt, reason }) => {
    // Buffer.from ignores other text, so serial number 0 would be revoked instead of the right one.
    if (!/^([0-9a-f]{2}){1,21}$/i.test(serial))
      throw new CaError('bad_request', 'a serial number to revoke must be 1 to 21 octets in hex', {
        field: 'entries.serial',
        reason: 'bad_encoding',
      })
    const code = revocationReasons[reason]
    return encodedSequence([
      encode(integer(Buffer.from(serial, 'hex'))),
      timeDer(revokedAt.getTime()),
      ...(code === 0 ? [] : [reasonDer(code)]),
    ])
  })
}

/** The contents of the entries of a CRL. */
export interface CrlEntries {
  /** Revocation dates by serial number (content octets as hex). */
  readonly revoked: ReadonlyMap<string, Date>
  /** Object identifiers (dotted) of their critical extensions. */
  readonly criticalExtensions: readonly string[]
}

/**
 * Reads `revokedCertificates`.
 *
 * @throws {CaError} `malformed`
 */
export function readCrlEntries(der: Buffer): CrlEntries {
  const revoked = new Map<string, Date>()
  const criticalExtensions: string[] = []
  const timeFrom = cached((bytes: string) =>
    timeOf(decode(Buffer.from(bytes, 'latin1'), 'revocation date'), 'revocation date'),
  )
  const extensionsFrom = cached((bytes: string) => criticalOf(Buffer.from(bytes, 'latin1')))
  for (const entry of elementsOf(der, 'revokedCertificates')) {
    const [serial, revokedAt, extensions, ...rest] = elementsOf(entry, 'CRL entry')
    if (serial === undefined || revokedAt === undefined || rest.length > 0)
      throw malformed('CRL entry', 'it must be a serial number, a date and extensions')
    revoked.set(serialOf(serial), timeFrom(revokedAt.toString('latin1')))
    for (const oid of extensions === undefined ? [] : extensionsFrom(extensions.toString('latin1')))
      criticalExtensions.push(oid)
  }
  return { revoked, criticalExtensions }
}

function serialOf(der: Buffer): string {
  const [tag, length = 0, first = 0, second = 0] = der
  // X.690 section 8.3.2: nine leading bits are never the same.
  const isPadded = length > 1 && (first === 0 ? second < 0x80 : first === 0xff && second >= 0x80)
  if (tag !== Tag.integer || length === 0 || length >= 0x80 || isPadded)
    throw malformed('CRL entry', 'its serial number is not an INTEGER')
  return der.toString('hex', 2)
}

function criticalOf(der: Buffer): readonly string[] {
  const extensions: readonly CertificateExtension[] = readExtensionList(
    decode(der, 'CRL entry extensions'),
  )
  return extensions.filter(({ critical }) => critical).map(({ oid }) => oid)
}

/** Adds a bounded cache to a function: most entries share times and reasons. */
function cached<Key, Value>(make: (key: Key) => Value): (key: Key) => Value {
  const made = new Map<Key, Value>()
  return (key) => {
    const known = made.get(key)
    if (known !== undefined) return known
    const value = make(key)
    if (made.size < MAX_CACHED) made.set(key, value)
    return value
  }
}
