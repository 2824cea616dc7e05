/** Certificate revocation lists (RFC 5280 section 5): v2, numbered, with reasons. */
import {
  type Asn1Node,
  bitString,
  bitStringBytes,
  childrenOf,
  contentOf,
  decode,
  encode,
  enumerated,
  explicit,
  hasTag,
  integer,
  oidHexOf,
  sequence,
  smallInteger,
  smallIntegerOf,
  Tag,
  time,
  timeOf,
} from './asn1.ts'
import type { Authority } from './authority.ts'
import { type CertificateExtension, issuerKeyId, readExtensionList } from './certificate.ts'
import { CaError } from './errors.ts'
import { authorityKeyIdentifier, crlNumber, extensionHex, reasonCode } from './extensions.ts'
import { algorithmNode, verifySignature } from './key.ts'
import { type DistinguishedName, readName } from './name.ts'

/** Reasons by name (RFC 5280 section 5.3.1); `unspecified` is said by leaving the entry out. */
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

export interface CrlRequest {
  readonly number: number
  readonly thisUpdate: Date
  readonly nextUpdate: Date
  readonly entries: readonly CrlEntry[]
}

/** Largest CRL that is read: about 200,000 entries. */
export const MAX_CRL_BYTES = 8 * 1024 * 1024

/**
 * Makes and signs a CRL and answers its DER.
 *
 * @throws {CaError} `bad_lifetime`, `bad_request`, `self_check_failed`
 */
export async function createCrl(authority: Authority, request: CrlRequest): Promise<Buffer> {
  const { signer, certificate } = authority
  if (!(request.thisUpdate < request.nextUpdate))
    throw new CaError('bad_lifetime', 'nextUpdate of the CRL is not after its thisUpdate')
  const algorithm = algorithmNode(signer.algorithm)
  const extensions = sequence(
    authorityKeyIdentifier(issuerKeyId(certificate, signer.publicKey)),
    crlNumber(request.number),
  )
  const tbs = sequence(
    smallInteger(1),
    algorithm,
    certificate.subjectNode,
    time(request.thisUpdate),
    time(request.nextUpdate),
    // RFC 5280 section 5.1.2.6: an empty list is left out.
    request.entries.length > 0 ? sequence(...request.entries.map(entryNode)) : undefined,
    explicit(0, extensions),
  )
  const signed = encode(tbs)
  const signature = await signer.sign(signed)
  const hash = signer.algorithm === 'ecdsa-with-SHA384' ? 'sha384' : 'sha256'
  if (!(await verifySignature(hash, { data: signed, signature }, signer.publicKey.key))) {
    throw new CaError('self_check_failed', 'the CRL that was made does not verify')
  }
  return encode(sequence(tbs, algorithm, bitString(signature)))
}

function entryNode({ serial, revokedAt, reason }: CrlEntry): Asn1Node {
  // Buffer.from would read other text as nothing: serial number 0 would be revoked and the meant one not.
  if (!/^([0-9a-f]{2}){1,21}$/i.test(serial))
    throw new CaError('bad_request', 'a serial number to revoke is not given as hex octets')
  const code = revocationReasons[reason]
  const extensions = code === 0 ? undefined : sequence(reasonCode(enumerated(code)))
  return sequence(integer(Buffer.from(serial, 'hex')), time(revokedAt), extensions)
}

/** A CRL that was read. */
export interface Crl {
  readonly issuer: DistinguishedName
  readonly thisUpdate: Date
  readonly nextUpdate: Date | undefined
  /** Undefined also when it is over 2^47: RFC 5280 section 5.2.3 allows other CAs 20 octets. */
  readonly number: number | undefined
  /** Revoked serial numbers (content octets as hex) and since when. */
  readonly revoked: ReadonlyMap<string, Date>
  /** Identifiers (hex) of all critical extensions, of the list and of its entries. */
  readonly criticalExtensions: readonly string[]
  readonly tbs: Buffer
  /** Content octets of the signature algorithm's identifier, lower-case hex. */
  readonly signatureAlgorithm: string
  readonly signature: Buffer
}

/**
 * Reads a CRL in DER. Checks its structure, not its signature.
 *
 * @throws {CaError} `too_large`, `malformed`
 */
export function readCrl(der: Buffer): Crl {
  const [tbsNode, algorithm, signature] = childrenOf(
    decode(der, 'CRL', MAX_CRL_BYTES),
    'CRL',
    Tag.sequence,
  )
  const fields = [...childrenOf(tbsNode, 'TBSCertList', Tag.sequence)]
  if (tbsNode === undefined) throw new CaError('malformed', 'CRL: empty')
  if (hasTag(fields[0], Tag.integer)) fields.shift()
  const [innerAlgorithm, issuer, thisUpdate, ...rest] = fields
  if (!algorithm || !innerAlgorithm || !encode(algorithm).equals(encode(innerAlgorithm))) {
    // RFC 5280 section 5.1.1.2: both must be the same, else the signed one is not the one that is used.
    throw new CaError('malformed', 'CRL: the two signature algorithms differ')
  }
  const isTime = hasTag(rest[0], Tag.utcTime) || hasTag(rest[0], Tag.generalizedTime)
  const nextUpdate = isTime ? timeOf(rest.shift(), 'nextUpdate') : undefined
  const entries = hasTag(rest[0], Tag.sequence)
    ? childrenOf(rest.shift(), 'revokedCertificates')
    : []
  const extensions =
    rest[0] === undefined ? [] : readExtensionList(childrenOf(rest[0], 'CRL extensions')[0])
  const numberValue = extensions.find(({ oid }) => oid === extensionHex.crlNumber)?.value
  return {
    issuer: readName(issuer, 'CRL issuer'),
    thisUpdate: timeOf(thisUpdate, 'thisUpdate'),
    nextUpdate,
    number: numberValue && readNumber(numberValue),
    revoked: new Map(entries.map(readEntry)),
    criticalExtensions: [...extensions, ...entries.flatMap(entryExtensions)]
      .filter(({ critical }) => critical)
      .map(({ oid }) => oid),
    tbs: encode(tbsNode),
    signatureAlgorithm: oidHexOf(
      childrenOf(algorithm, 'CRL algorithm', Tag.sequence)[0],
      'CRL algorithm',
    ),
    signature: bitStringBytes(signature, 'CRL signature'),
  }
}

function readNumber(value: Buffer): number | undefined {
  const node = decode(value, 'CRL number')
  const { length } = contentOf(node, 'CRL number', Tag.integer)
  return length > 6 ? undefined : smallIntegerOf(node, 'CRL number')
}

function entryExtensions(node: Asn1Node): readonly CertificateExtension[] {
  const [, , extensions] = childrenOf(node, 'CRL entry', Tag.sequence)
  return extensions === undefined ? [] : readExtensionList(extensions)
}

function readEntry(node: Asn1Node): [string, Date] {
  const [serial, revokedAt] = childrenOf(node, 'CRL entry', Tag.sequence)
  return [
    contentOf(serial, 'CRL entry', Tag.integer).toString('hex'),
    timeOf(revokedAt, 'revocation date'),
  ]
}
