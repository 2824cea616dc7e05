/**
 * Attribute certificates of VOMS (RFC 5755 with the profile of GFD.182): the attribute authority (AA) of a virtual
 * organisation signs which groups and roles the holder of an EEC has.
 */
import {
  type Asn1Node,
  bitString,
  booleanTrue,
  characterString,
  encode,
  explicit,
  implicitConstructed,
  implicitPrimitive,
  integer,
  nullValue,
  octetString,
  oid,
  preEncoded,
  sequence,
  set,
  smallInteger,
  Tag,
} from '../asn1.ts'
import { type Certificate, issuerKeyId, type Validity } from '../certificate.ts'
import { CaError, type CaErrorReason } from '../errors.ts'
import { authorityKeyIdentifier } from '../extensions.ts'
import type { FurtherExtension } from '../further-extensions.ts'
import { algorithmNode, type Signer, signVerified } from '../key.ts'
import { checkSerial } from '../serial.ts'
import { isNested } from '../validity.ts'
import { type Fqan, formatLongFqan, voNamePattern } from './fqan.ts'
import { vomsOids } from './oids.ts'

/** The certificate of an attribute authority, and the key that signs attribute certificates. */
export interface AttributeAuthority {
  readonly certificate: Certificate
  readonly signer: Signer
}

/** Where the VOMS server of a virtual organisation is; relying parties find its `.lsc` file by the host name. */
export interface VomsServer {
  readonly vo: string
  readonly host: string
  readonly port: number
}

export interface AttributeRequest {
  /** The EEC of the holder; the attributes hold for all proxies below it. */
  readonly holder: Certificate
  readonly server: VomsServer
  /** Of the VO, at least one. The first one is the primary FQAN, by which most services map. */
  readonly fqans: readonly Fqan[]
  readonly validity: Validity
  readonly serial: Buffer
  /** URIs of the only hosts that may use the attributes; undefined or empty: all. */
  readonly targets?: readonly string[]
}

/** Octets of the serial number of an attribute certificate: RFC 5755 section 4.2.5 allows 20, VOMS writes 16. */
export const ATTRIBUTES_SERIAL_BYTES = 16
/** Most FQANs of one attribute certificate. Beyond, proxies become too large for TLS messages of some services. */
export const MAX_FQANS = 100
/** Most targets of one attribute certificate. */
export const MAX_TARGETS = 16

/**
 * Issues an attribute certificate and returns its DER.
 *
 * @throws {CaError} `bad_request`, `bad_lifetime` (not within the validity of the authority's certificate and of the
 *   EEC), `self_check_failed`
 * @see RFC 5755 section 4.1, and GFD.182 section 3
 * @example
 * const request = { holder: endEntity.certificate, fqans: [parseFqan('/cms')], validity, serial }
 * const server = { vo: 'cms', host: 'voms.example.org', port: 15000 }
 * const der = await issueAttributeCertificate(attributeAuthority, { ...request, server })
 * readAttributeCertificate(der).fqans // => ['/cms/Role=NULL/Capability=NULL']
 */
export async function issueAttributeCertificate(
  authority: AttributeAuthority,
  request: AttributeRequest,
): Promise<Buffer> {
  checkRequest(authority, request)
  const algorithm = algorithmNode(authority.signer.algorithm)
  const information = encode(
    sequence(
      smallInteger(1),
      holderNode(request.holder),
      implicitConstructed(0, [directoryNames(authority.certificate.subjectNode)]),
      algorithm,
      integer(request.serial),
      sequence(
        generalizedTime(request.validity.notBefore),
        generalizedTime(request.validity.notAfter),
      ),
      sequence(sequence(oid(vomsOids.fqans), set(fqansNode(request)))),
      sequence(...extensionNodes(authority, request)),
    ),
  )
  const signature = await signVerified(authority.signer, information)
  if (signature === undefined)
    throw new CaError('self_check_failed', 'the signature of the attributes does not verify', {
      field: 'signature',
      reason: 'not_verified',
    })
  return encode(sequence(preEncoded(information), algorithm, bitString(signature)))
}

/**
 * The extension of a proxy that carries attribute certificates (DER), at most one for each VO.
 *
 * @see RFC 5755 section 4.1, and GFD.182 section 3
 * @example
 * attributesExtension([attributes]).oid // => '1.3.6.1.4.1.8005.100.100.5'
 */
export function attributesExtension(certificates: readonly Buffer[]): FurtherExtension {
  const list = sequence(sequence(...certificates.map((der) => preEncoded(der))))
  return { oid: vomsOids.attributeCertificates, critical: false, value: encode(list) }
}

function checkRequest(authority: AttributeAuthority, request: AttributeRequest): void {
  const { server, fqans, targets = [], validity } = request
  const fail = (field: string, message: string, reason: CaErrorReason): never => {
    throw new CaError('bad_request', message, { field, reason })
  }
  if (!voNamePattern.test(server.vo))
    fail('server.vo', 'the name of the VO must be letters, digits, dots, hyphens', 'bad_value')
  if (!/^[A-Za-z0-9.-]+$/.test(server.host))
    fail('server.host', 'the host of the VOMS server must be a DNS name', 'bad_value')
  if (fqans.length === 0) fail('fqans', 'there must be an FQAN', 'missing')
  if (fqans.length > MAX_FQANS)
    fail('fqans', `there must be at most ${MAX_FQANS} FQANs`, 'too_many')
  // Validators refuse the whole certificate for one FQAN of another VO.
  if (fqans.some(({ groups }) => groups[0] !== server.vo))
    fail('fqans', `every FQAN must begin with /${server.vo}`, 'mismatch')
  if (targets.length > MAX_TARGETS)
    fail('targets', `there must be at most ${MAX_TARGETS} targets`, 'too_many')
  if (!targets.every((target) => /^[\x21-\x7e]{1,255}$/.test(target)))
    fail('targets', 'a target must be a URI or a host name', 'bad_value')
  checkSerial(request.serial)
  if (
    !isNested(validity, authority.certificate.validity) ||
    !isNested(validity, request.holder.validity)
  )
    throw new CaError(
      'bad_lifetime',
      'the validity of the attributes must be within those of their authority and of the EEC',
      { field: 'validity', reason: 'not_nested' },
    )
}

/**
 * RFC 5755 section 4.2.2 names the EEC by its issuer and serial number. But VOMS servers have always written the EEC's
 * own subject in place of the issuer: Java and ARC accept nothing else, VOMS's C++ library accepts both.
 */
function holderNode({ subjectNode, serial }: Certificate): Asn1Node {
  const baseCertificateId = [directoryNames(subjectNode), integer(Buffer.from(serial, 'hex'))]
  return sequence(implicitConstructed(0, baseCertificateId))
}

/** GeneralNames with one directoryName. */
function directoryNames(name: Asn1Node): Asn1Node {
  return sequence(explicit(4, name))
}

/** RFC 5755 section 4.2.6: always GeneralizedTime. */
function generalizedTime(date: Date): Asn1Node {
  const digits = date.toISOString().replace(/[-:T]|\.\d+/g, '')
  return characterString(Tag.generalizedTime, Buffer.from(digits, 'latin1'))
}

/** IetfAttrSyntax (RFC 5755 section 4.4): the VO's server as policy authority, the FQANs as octet strings. */
function fqansNode({ server: { vo, host, port }, fqans }: AttributeRequest): Asn1Node {
  const policyAuthority = implicitPrimitive(6, Buffer.from(`${vo}://${host}:${port}`, 'latin1'))
  const values = fqans.map((fqan) => octetString(Buffer.from(formatLongFqan(fqan), 'latin1')))
  return sequence(implicitConstructed(0, [policyAuthority]), sequence(...values))
}

function extensionNodes(
  { certificate, signer }: AttributeAuthority,
  { targets = [] }: AttributeRequest,
): readonly Asn1Node[] {
  return [
    // Without the authority's certificate, relying parties need it in their vomsdir instead of the `.lsc` file. Only
    // this one: VOMS's and Java's readers of `.lsc` files disagree about those above it.
    extension(vomsOids.issuerCertificates, sequence(sequence(preEncoded(certificate.der)))),
    extension(vomsOids.noRevocation, nullValue()),
    authorityKeyIdentifier(issuerKeyId(certificate, signer.publicKey)),
    ...(targets.length > 0 ? [targetsExtension(targets)] : []),
  ]
}

function extension(dotted: string, value: Asn1Node, critical = false): Asn1Node {
  return sequence(oid(dotted), critical ? booleanTrue() : undefined, octetString(encode(value)))
}

/** RFC 5755 section 4.3.2, with one SEQUENCE more around each target, as VOMS writes and expects it. */
function targetsExtension(targets: readonly string[]): Asn1Node {
  const nodes = targets.map((target) =>
    sequence(explicit(0, implicitPrimitive(6, Buffer.from(target, 'latin1')))),
  )
  return extension(vomsOids.targets, sequence(sequence(...nodes)), true)
}
