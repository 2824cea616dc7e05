/** RFC 3820 proxy certificates: an EEC's key signs a short-lived key that may act for the EEC. */
import { type Asn1Node, encode, encodedSequence } from './asn1.ts'
import { decode, elementsOf, namedBitsOf } from './asn1-read.ts'
import {
  type Certificate,
  findExtension,
  isAuthorityCertificate,
  issuerKeyId,
  type Validity,
} from './certificate.ts'
import {
  checkFurtherExtensions,
  checkWithOpenSsl,
  type EncodedTemplate,
  signEncoded,
} from './sign-certificate.ts'
import { CaError, type CaErrorReason } from './errors.ts'
import {
  authorityKeyIdentifier,
  extensionOids,
  extensionsField,
  type KeyUsage,
  keyUsage,
  keyUsageBits,
  proxyCertInfo,
  type ProxyType,
  sameExtendedKeyUsage,
  subjectKeyIdentifier,
} from './extensions.ts'
import type { Signer } from './key.ts'
import type { PublicKey } from './public-key.ts'
import { type FurtherExtension, furtherExtensionNodes } from './further-extensions.ts'
import { commonNameRdn } from './name.ts'
import { checkSerial, serialDecimal } from './serial.ts'
import { isNested } from './validity.ts'

/** An EEC and the key that signs proxies under it. */
export interface EndEntity {
  readonly certificate: Certificate
  readonly signer: Signer
}

export interface ProxyRequest {
  readonly type: ProxyType
  /** How many further proxies may follow this one; undefined: no limit. */
  readonly pathLength: number | undefined
  readonly publicKey: PublicKey
  readonly validity: Validity
  readonly serial: Buffer
  /** Extensions in addition to those of the profile; undefined: none. */
  readonly extensions?: readonly FurtherExtension[] | undefined
}

/**
 * Issues a proxy under an EEC and returns its DER. Its subject is the EEC's with one CN more, the decimal serial
 * number.
 *
 * @throws {CaError} `bad_lifetime`, `bad_request`, `self_check_failed`
 * @see RFC 3820 section 3
 * @example
 * const validity = nestedValidity(now, 12 * 3600, endEntity.certificate.validity)
 * const serial = serialFrom(randomBytes, PROXY_SERIAL_BYTES)
 * const request = { type: 'limited', pathLength: 0, publicKey, validity, serial }
 * const proxy = readCertificate(await issueProxy(endEntity, request))
 * proxy.subject.length // => endEntity.certificate.subject.length + 1
 */
export async function issueProxy(endEntity: EndEntity, request: ProxyRequest): Promise<Buffer> {
  const { certificate, signer } = endEntity
  const prepared = prepare(endEntity)
  checkSerial(request.serial)
  if (!isNested(request.validity, certificate.validity)) {
    throw new CaError('bad_lifetime', 'the validity of the proxy must be within that of its EEC', {
      field: 'validity',
      reason: 'not_nested',
    })
  }
  if (request.publicKey.keyId.equals(signer.publicKey.keyId)) {
    throw new CaError('bad_request', 'a proxy must not use the key of its EEC', {
      field: 'publicKey',
      reason: 'duplicate',
    })
  }
  const template = {
    serial: request.serial,
    // RFC 3820 section 3.1 and 3.4: issuer is the EEC's subject byte for byte, subject the same with one CN appended.
    issuer: prepared.subject,
    subject: encodedSequence([...prepared.rdns, commonNameRdn(serialDecimal(request.serial))]),
    validity: request.validity,
    publicKey: request.publicKey,
  }
  const { extensions: further = [] } = request
  if (further.length > 0) return signExtended(template, { endEntity, request, further })
  const { extensions, seen } = extensionsFor(endEntity, prepared, request)
  const der = await signEncoded({ ...template, extensions }, signer)
  const form = `${request.publicKey.kind} ${request.serial.length}`
  if (!seen.has(form)) {
    checkWithOpenSsl(der, template)
    seen.add(form)
  }
  return der
}

/** What all proxies of one EEC share. It is made once, because a stored EEC signs thousands of proxies. */
interface Prepared {
  /** Subject of the EEC, DER. */
  readonly subject: Buffer
  /** The RDNs of that subject, DER. */
  readonly rdns: readonly Buffer[]
  /** By kind of proxy and key. */
  readonly extensions: Map<string, PreparedExtensions>
}

interface PreparedExtensions {
  /** `[3] EXPLICIT Extensions`, DER. */
  readonly extensions: Buffer
  /** Forms of proxies with these extensions that OpenSSL has read. */
  readonly seen: Set<string>
}

const preparations = new WeakMap<EndEntity, Prepared>()

function prepare(endEntity: EndEntity): Prepared {
  const known = preparations.get(endEntity)
  if (known) return known
  checkEndEntity(endEntity)
  const subject = encode(endEntity.certificate.subjectNode)
  const prepared = {
    subject,
    rdns: elementsOf(subject, 'subject of the EEC'),
    extensions: new Map<string, PreparedExtensions>(),
  }
  preparations.set(endEntity, prepared)
  return prepared
}

function extensionsFor(
  endEntity: EndEntity,
  { extensions }: Prepared,
  request: ProxyRequest,
): PreparedExtensions {
  const family = request.publicKey.kind.startsWith('rsa') ? 'rsa' : 'ec'
  const key = `${family} ${request.type} ${request.pathLength ?? ''}`
  const known = extensions.get(key)
  if (known) return known
  const made = {
    extensions: encode(extensionsField(proxyExtensions(endEntity, request))),
    seen: new Set<string>(),
  }
  extensions.set(key, made)
  return made
}

/** Signs a proxy with extensions of its own, VOMS attributes for example. */
async function signExtended(
  template: Omit<EncodedTemplate, 'extensions'>,
  {
    endEntity,
    request,
    further,
  }: {
    readonly endEntity: EndEntity
    readonly request: ProxyRequest
    readonly further: readonly FurtherExtension[]
  },
): Promise<Buffer> {
  const profile = proxyExtensions(endEntity, request)
  const extensions = encode(extensionsField([...profile, ...furtherExtensionNodes(further)]))
  const der = await signEncoded({ ...template, extensions }, endEntity.signer)
  checkWithOpenSsl(der, template)
  checkFurtherExtensions(der, profile.length, further)
  return der
}

function checkEndEntity({ certificate, signer }: EndEntity): void {
  const fail = (message: string, reason: CaErrorReason): never => {
    throw new CaError('bad_request', message, { field: 'EEC', reason })
  }
  if (findExtension(certificate, extensionOids.proxyCertInfo))
    fail('proxies are issued under an EEC, not under a proxy', 'not_allowed')
  // RFC 3820 section 3.1.
  if (isAuthorityCertificate(certificate))
    fail('proxies are issued under an EEC, not under a CA', 'not_allowed')
  if (!encode(certificate.publicKeyInfo).equals(signer.publicKey.info))
    fail('the signing key is not that of the EEC', 'mismatch')
}

function proxyExtensions(
  { certificate, signer }: EndEntity,
  request: ProxyRequest,
): readonly Asn1Node[] {
  const extendedKeyUsage = findExtension(certificate, extensionOids.extKeyUsage)
  const keyId = issuerKeyId(certificate, signer.publicKey)
  return [
    keyUsage(proxyKeyUsage(certificate, request.publicKey)),
    // Not the first one: davix, and with it gfal2, does not see it there, and delegates an invalid proxy.
    proxyCertInfo(request.type, request.pathLength),
    // RFC 3820 section 3.7 and 3.8: the EEC's extKeyUsage may be kept but never extended.
    ...(extendedKeyUsage ? [sameExtendedKeyUsage(extendedKeyUsage.value)] : []),
    // Without it `openssl verify -x509_strict` refuses the proxy.
    authorityKeyIdentifier(keyId),
    // voms-proxy-init of VOMS 2.1 makes no proxy under one that has none. It is the key identifier of the EEC: XRootD
    // copies our authority key identifier into the proxies that it delegates, and OpenSSL compares the two. RFC 5280
    // section 4.2.1.2 leaves open how the value is made.
    subjectKeyIdentifier(keyId),
  ]
}

/**
 * Returns the EEC's key usages without those that a proxy must not have (RFC 3820 section 3.6) or its key cannot serve.
 */
function proxyKeyUsage(certificate: Certificate, publicKey: PublicKey): readonly KeyUsage[] {
  const extension = findExtension(certificate, extensionOids.keyUsage)
  const usages: readonly KeyUsage[] = publicKey.kind.startsWith('rsa')
    ? ['digitalSignature', 'keyEncipherment']
    : ['digitalSignature']
  if (!extension) return usages
  const bits = namedBitsOf(decode(extension.value, 'keyUsage'), 'keyUsage')
  // RFC 3820 section 3.6: with keyUsage, an EEC signs proxies by this bit.
  if (!bits.includes(keyUsageBits.digitalSignature)) {
    throw new CaError('bad_request', 'the keyUsage of the EEC lacks digitalSignature', {
      field: 'EEC',
      reason: 'not_allowed',
    })
  }
  return usages.filter((usage) => bits.includes(keyUsageBits[usage]))
}
