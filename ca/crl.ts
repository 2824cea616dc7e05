/** Certificate revocation lists (RFC 5280 section 5): v2, numbered, with reasons. */
import {
  bitString,
  encode,
  encodedSequence,
  explicit,
  sequence,
  sequenceParts,
  smallInteger,
  Tag,
  time,
} from './asn1.ts'
import {
  bitStringBytes,
  childrenOf,
  contentOf,
  decode,
  elementsOf,
  oidOf,
  smallIntegerOf,
  timeOf,
} from './asn1-read.ts'
import type { Authority } from './authority.ts'
import { type CertificateExtension, issuerKeyId, readExtensionList } from './certificate.ts'
import { type CrlEntry, encodeCrlEntries, readCrlEntries } from './crl-entries.ts'
import { CaError, malformed, tooLarge } from './errors.ts'
import { authorityKeyIdentifier, crlNumber, extensionOids } from './extensions.ts'
import { algorithmNode, signVerified } from './key.ts'
import { type DistinguishedName, readName } from './name.ts'

export { type CrlEntry, encodeCrlEntries, revocationReasons } from './crl-entries.ts'

export interface CrlRequest {
  readonly number: number
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly entries: readonly CrlEntry[]
  /**
   * Further entries, encoded by `encodeCrlEntries`, any number in one buffer; for lists that are too long to be
   * encoded each time.
   */
  readonly encodedEntries?: readonly Buffer[]
}

/** Largest CRL to make or read: 600,000 entries of the longest kind (20 octets of serial number, with a reason). */
export const MAX_CRL_BYTES = 32 * 1024 * 1024
/** Space for algorithm and signature after the list: a signature of RSA-8192 has 1,024 octets. */
const MAX_SIGNATURE_BYTES = 2048

/**
 * Makes and signs a CRL and returns its DER, at most 32 MiB.
 *
 * @throws {CaError} `bad_lifetime`, `bad_request`, `too_large`, `self_check_failed`
 * @see RFC 5280 section 5
 * @example
 * const entries = [{ serial: '4a01', revokedAt: now, reason: 'keyCompromise' }]
 * const nextUpdate = new Date(now.getTime() + 86_400_000)
 * const crl = readCrl(await createCrl(authority, { number: 7, thisUpdate: now, nextUpdate, entries }))
 * crl.number // => 7
 * crl.revoked.has('4a01') // => true
 */
export async function createCrl(authority: Authority, request: CrlRequest): Promise<Buffer> {
  const { signer, certificate } = authority
  if (!(request.thisUpdate < request.nextUpdate))
    throw new CaError('bad_lifetime', 'nextUpdate of a CRL must be after its thisUpdate', {
      field: 'nextUpdate',
      reason: 'bad_value',
    })
  const algorithm = algorithmNode(signer.algorithm)
  const extensions = sequence(
    authorityKeyIdentifier(issuerKeyId(certificate, signer.publicKey)),
    crlNumber(request.number),
  )
  const entries = encodeCrlEntries(request.entries).concat(request.encodedEntries ?? [])
  // Assembled from bytes: nodes for hundreds of thousands of entries would be far larger than the list.
  const tbs = encodedSequence([
    encode(smallInteger(1)),
    encode(algorithm),
    encode(certificate.subjectNode),
    encode(time(request.thisUpdate)),
    encode(time(request.nextUpdate)),
    // RFC 5280 section 5.1.2.6: an empty list is left out.
    ...(entries.some(({ length }) => length > 0) ? sequenceParts(entries) : []),
    encode(explicit(0, extensions)),
  ])
  if (tbs.length > MAX_CRL_BYTES - MAX_SIGNATURE_BYTES) {
    throw tooLarge('CRL', 'bytes', {
      actual: tbs.length,
      limit: MAX_CRL_BYTES - MAX_SIGNATURE_BYTES,
    })
  }
  const signature = await signVerified(signer, tbs)
  if (signature === undefined) {
    throw new CaError('self_check_failed', 'the signature of the new CRL does not verify', {
      field: 'signature',
      reason: 'not_verified',
    })
  }
  return encodedSequence([tbs, encode(algorithm), encode(bitString(signature))])
}

/**
 * Makes the CRL of another CA with the number, times and entries of an existing one, and returns its DER. For a CA
 * whose key is rolled over: relying parties need a CRL under each of its keys. Serial numbers must be unique over both.
 *
 * @throws {CaError} `malformed`, `too_large`; `bad_request` when the CRL has no number or no nextUpdate;
 *   `self_check_failed`
 * @see RFC 5280 section 5
 * @example
 * const times = { thisUpdate: now, nextUpdate: new Date(now.getTime() + 86_400_000) }
 * const entries = [{ serial: '4a01', revokedAt: now, reason: 'keyCompromise' }]
 * const crl = await createCrl(authority, { number: 7, ...times, entries })
 * readCrl(await signCrlAgain(authority, crl)).revoked.has('4a01') // => true
 */
export async function signCrlAgain(authority: Authority, crl: Buffer): Promise<Buffer> {
  const { outline, entriesDer } = readParts(crl)
  const { number, thisUpdate, nextUpdate } = outline
  if (number === undefined || nextUpdate === undefined)
    throw new CaError('bad_request', 'the CRL must have a number and a nextUpdate', {
      field: 'CRL',
      reason: 'missing',
    })
  const encodedEntries = entriesDer === undefined ? [] : [contentOfSequence(entriesDer)]
  return createCrl(authority, { number, thisUpdate, nextUpdate, entries: [], encodedEntries })
}

/** The octets behind tag and length (X.690 section 8.1.3). The structure was checked before. */
function contentOfSequence(der: Buffer): Buffer {
  const first = der[1] ?? 0
  return der.subarray(first < 0x80 ? 2 : 2 + (first & 0x7f))
}

/** The fields of a CRL without its entries. */
export interface CrlOutline {
  readonly issuer: DistinguishedName
  readonly thisUpdate: Date
  readonly nextUpdate: Date | undefined
  /** Undefined also above 2^47: RFC 5280 section 5.2.3 permits numbers of 20 octets, which other CAs may use. */
  readonly number: number | undefined
  readonly tbs: Buffer
  /** The signature algorithm's object identifier, dotted. */
  readonly signatureAlgorithm: string
  readonly signature: Buffer
}

/** A parsed CRL. */
export interface Crl extends CrlOutline {
  /** Revocation dates by serial number (content octets as hex). */
  readonly revoked: ReadonlyMap<string, Date>
  /** Those of the list itself. */
  readonly extensions: readonly CertificateExtension[]
  /** Object identifiers (dotted) of all critical extensions, of the list and of its entries. */
  readonly criticalExtensions: readonly string[]
}

/**
 * Reads a CRL in DER, at most 32 MiB. Checks its structure, not its signature.
 *
 * @throws {CaError} `too_large`, `malformed`
 * @see RFC 5280 section 5.1
 * @example
 * const nextUpdate = new Date(now.getTime() + 86_400_000)
 * const der = await createCrl(authority, { number: 1, thisUpdate: now, nextUpdate, entries: [] })
 * readCrl(der).revoked.size // => 0
 */
export function readCrl(der: Buffer): Crl {
  const { outline, entriesDer, extensions } = readParts(der)
  const critical = extensions.filter((extension) => extension.critical).map(({ oid }) => oid)
  const entries = entriesDer && readCrlEntries(entriesDer)
  return {
    ...outline,
    revoked: entries?.revoked ?? new Map(),
    criticalExtensions: critical.concat(entries?.criticalExtensions ?? []),
    extensions,
  }
}

/**
 * Reads a CRL without its entries, whose structure is not checked. The cost does not grow with their number.
 *
 * @throws {CaError} `too_large`, `malformed`
 */
export function readCrlOutline(der: Buffer): CrlOutline {
  return readParts(der).outline
}

interface CrlParts {
  readonly outline: CrlOutline
  readonly entriesDer: Buffer | undefined
  /** Those of the list itself. */
  readonly extensions: readonly CertificateExtension[]
}

function readParts(der: Buffer): CrlParts {
  if (der.length > MAX_CRL_BYTES)
    throw tooLarge('CRL', 'bytes', { actual: der.length, limit: MAX_CRL_BYTES })
  const [tbs, algorithmDer, signatureDer, ...behind] = elementsOf(der, 'CRL')
  if (tbs === undefined || signatureDer === undefined || behind.length > 0)
    throw malformed('CRL', 'it must be a list, an algorithm and a signature')
  const fields = elementsOf(tbs, 'TBSCertList')
  if (fields[0]?.[0] === Tag.integer) decode(fields.shift() ?? tbs, 'CRL version')
  const [innerAlgorithm, issuer, thisUpdate, ...rest] = fields
  if (!algorithmDer || !innerAlgorithm || !algorithmDer.equals(innerAlgorithm)) {
    // RFC 5280 section 5.1.1.2: both must be the same, otherwise the algorithm that is used would not be the signed
    // one.
    throw malformed('CRL', 'its two signature algorithms differ', { reason: 'mismatch' })
  }
  if (!issuer || !thisUpdate)
    throw malformed('CRL', 'issuer or thisUpdate is missing', { reason: 'missing' })
  const isTime = rest[0]?.[0] === Tag.utcTime || rest[0]?.[0] === Tag.generalizedTime
  const nextUpdate = isTime ? rest.shift() : undefined
  const entriesDer = rest[0]?.[0] === SEQUENCE_OCTET ? rest.shift() : undefined
  if (rest.length > 1) throw malformed('CRL', 'unexpected fields')
  const extensions =
    rest[0] === undefined
      ? []
      : readExtensionList(childrenOf(decode(rest[0], 'CRL extensions'), 'CRL extensions')[0])
  const numberValue = extensions.find(({ oid }) => oid === extensionOids.crlNumber)?.value
  const algorithm = childrenOf(decode(algorithmDer, 'CRL algorithm'), 'CRL algorithm', Tag.sequence)
  return {
    entriesDer,
    extensions,
    outline: {
      issuer: readName(decode(issuer, 'CRL issuer'), 'CRL issuer'),
      thisUpdate: timeOf(decode(thisUpdate, 'thisUpdate'), 'thisUpdate'),
      nextUpdate: nextUpdate && timeOf(decode(nextUpdate, 'nextUpdate'), 'nextUpdate'),
      number: numberValue && readNumber(numberValue),
      tbs,
      signatureAlgorithm: oidOf(algorithm[0], 'CRL algorithm'),
      signature: bitStringBytes(decode(signatureDer, 'CRL signature'), 'CRL signature'),
    },
  }
}

/** Tag octet of a SEQUENCE, constructed. */
const SEQUENCE_OCTET = 0x30

function readNumber(value: Buffer): number | undefined {
  const node = decode(value, 'CRL number')
  const { length } = contentOf(node, 'CRL number', Tag.integer)
  return length > 6 ? undefined : smallIntegerOf(node, 'CRL number')
}
