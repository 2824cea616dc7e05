/**
 * Verifies a proxy that its holder presents: that this service issued it, that it is valid now, and that the caller has
 * its key. What the holder may get for it is decided elsewhere.
 */
import type { Authority } from '../../../ca/authority.ts'
import type { OtherAuthority } from '../revocation/trust-anchors.ts'
import { type Certificate, fingerprint, readCertificate } from '../../../ca/certificate.ts'
import { certificateFacts } from '../../../ca/certificate-facts.ts'
import { validateChain } from '../../../ca/chain.ts'
import { MAX_CHAIN_LENGTH } from '../../../ca/chain-link.ts'
import { CaError } from '../../../ca/errors.ts'
import { TtsError } from '../../base/errors.ts'
import { requireSignedNow, type PossessionRequest } from './possession-proof.ts'
import type { CredentialView } from '../records.ts'
import type { Store } from '../store.ts'

/** A presented proxy with its proof of possession, not yet verified. */
export interface PresentedProxy {
  /** The proxy, followed by the certificates above it; DER. */
  readonly certificates: readonly Buffer[]
  /** `tls`: the client authenticated the TLS handshake with the key of the first certificate. */
  readonly proof: 'tls' | PossessionRequest
}

/** A verified proxy with its record. */
export interface VerifiedProxy {
  readonly proxy: Certificate
  readonly credential: CredentialView
}

export interface ProxyVerifierDependencies {
  readonly store: Store
  readonly authority: Authority
  /** CAs before and after a roll-over of the key. */
  readonly others: readonly Pick<OtherAuthority, 'authority'>[]
  readonly now: () => Date
}

/**
 * Verifies a presented proxy. The cheap checks come first: a foreign certificate costs one database query and no
 * signature check.
 *
 * @throws {TtsError} `invalid_token` (not a valid proxy of this service, or the proof of possession fails)
 * @throws {TtsError} `access_denied`, check `delegation` (the delegation that it comes from has ended);
 *   `store_unavailable`
 * @see RFC 3820 section 4
 */
export async function verifyPresentedProxy(
  dependencies: ProxyVerifierDependencies,
  { certificates, proof }: PresentedProxy,
): Promise<VerifiedProxy> {
  if (certificates.length > MAX_CHAIN_LENGTH) throw refused('proxy_chain', 'the chain is too long')
  const [leaf, ...above] = certificates
  const proxy = readProxy(dependencies, leaf)
  const credential = await requireIssuedHere(dependencies, proxy)
  await requireDelegation(dependencies, credential)
  requireValidChain(dependencies, proxy, above)
  if (proof !== 'tls') await requireSignedNow(dependencies, proxy, proof)
  return { proxy, credential }
}

/** Reads the first certificate: a proxy whose validity period, not yet verified, includes now. */
function readProxy({ now }: ProxyVerifierDependencies, der: Buffer | undefined): Certificate {
  if (der === undefined) throw refused('proxy_chain', 'no certificate was presented')
  const proxy = read(der)
  if (certificateFacts(proxy).proxyCertInfo === undefined)
    throw refused('proxy_chain', 'the certificate is not a proxy')
  const { notBefore, notAfter } = proxy.validity
  if (now() < notBefore || now() > notAfter)
    throw refused('proxy_chain', 'the proxy has expired or is not valid yet')
  return proxy
}

/**
 * Validates the chain up to our CA. Its length is limited to that of our own files, because each certificate costs a
 * signature check.
 */
function requireValidChain(
  { authority, others: more, now }: ProxyVerifierDependencies,
  proxy: Certificate,
  above: readonly Buffer[],
): void {
  const anchors = [authority, ...more.map((other) => other.authority)].flatMap(
    ({ certificate, chain }) => [certificate, ...chain],
  )
  const others = withoutDuplicates([proxy.der, ...above]).slice(1)
  if (others.length > authority.chain.length + 2)
    throw refused('proxy_chain', 'the chain is too long')
  const certificates = [proxy, ...others.map((der) => read(der))]
  const verdict = validateChain({ certificates, anchors, now: now(), allowProxies: true })
  const [problem] = verdict.problems
  if (problem !== undefined)
    throw refused('proxy_chain', `the proxy is not valid: ${problem.message}`)
}

/** On a resumed connection the proxy comes twice, in the handshake and in the body. */
function withoutDuplicates(ders: readonly Buffer[]): readonly Buffer[] {
  return ders.filter((der, index) => ders.findIndex((other) => other.equals(der)) === index)
}

function read(der: Buffer): Certificate {
  try {
    return readCertificate(der)
  } catch (error) {
    if (!(error instanceof CaError)) throw error
    throw refused('proxy_chain', 'a certificate cannot be read')
  }
}

/** Requires a proxy that this service issued, not one that its holder made below it. */
async function requireIssuedHere(
  { store }: ProxyVerifierDependencies,
  proxy: Certificate,
): Promise<CredentialView> {
  const credential = await store.findCredentialByCertificate(proxy.serial)
  const certificate = credential?.certificates.find(({ serial }) => serial === proxy.serial)
  if (
    credential === undefined ||
    certificate?.kind !== 'proxy' ||
    certificate.fingerprint !== fingerprint(proxy.der)
  )
    throw refused('proxy_record', 'the proxy was not issued by this service')
  if (credential.revokedAt !== undefined) throw refused('revoked', 'the proxy is revoked')
  return credential
}

/** Ending a delegation also ends renewal of the proxies that it issued. */
async function requireDelegation(
  { store }: ProxyVerifierDependencies,
  { delegationId }: CredentialView,
): Promise<void> {
  if (delegationId === undefined) return
  const delegation = await store.delegations.find(delegationId)
  if (delegation?.state === 'active') return
  throw denied('delegation', 'the delegation that this proxy comes from has ended')
}

function refused(check: string, message: string): TtsError {
  return new TtsError('invalid_token', message, { check })
}

function denied(check: string, message: string): TtsError {
  return new TtsError('access_denied', message, { check })
}
