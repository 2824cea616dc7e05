/**
 * Renewal by possession: the holder of a valid proxy that this service issued gets a successor, if the operator
 * allows it. Because claims cannot be checked again, a successor has no more rights than its predecessor, and the
 * life of the whole chain is limited.
 */
import type { Authority } from '../../../ca/authority.ts'
import type { OtherAuthority } from '../revocation/trust-anchors.ts'
import { type Certificate, fingerprint, readCertificate } from '../../../ca/certificate.ts'
import { certificateFacts } from '../../../ca/certificate-facts.ts'
import { validateChain } from '../../../ca/chain.ts'
import { MAX_CHAIN_LENGTH } from '../../../ca/chain-link.ts'
import { CaError } from '../../../ca/errors.ts'
import type { ProxyType } from '../../../ca/extensions.ts'
import type { IssuingContext } from '../../../plugins/plugin.ts'
import { X509_PROXY } from '../../../plugins/x509-proxy/index.ts'
import { formatFqan } from '../../../ca/voms/fqan.ts'
import { TtsError } from '../../base/errors.ts'
import { DAY_MS } from '../delegations/forecast.ts'
import { requireSignedNow, type PossessionRequest } from './possession-proof.ts'
import type { CredentialView, Identity } from '../records.ts'
import type { Store } from '../store.ts'
import type { Service } from '../issuing/service.ts'
import { presentedAttributes, type PresentedAttributes } from '../voms/presented.ts'

/** A presented proxy with its proof of possession, not yet verified. */
export interface PresentedProxy {
  /** The proxy, followed by the certificates above it; DER. */
  readonly certificates: readonly Buffer[]
  /** `tls`: the client authenticated the TLS handshake with the key of the first certificate. */
  readonly proof: 'tls' | PossessionRequest
}

/** A verified proxy. It limits what its successor may be. */
export interface Predecessor {
  readonly credentialId: string
  readonly serviceId: string
  readonly identity: Identity
  readonly clientId: string | undefined
  readonly delegationId: string | undefined
  readonly type: ProxyType
  readonly pathLength: number | undefined
  readonly attributes: PresentedAttributes
  /** When the first proxy of the chain was issued, for a token. */
  readonly firstIssuedAt: Date
  /** Latest end of any successor. */
  readonly lastMoment: Date
}

export interface PossessionVerifier {
  /**
   * Verifies a presented proxy.
   *
   * @throws {TtsError} `invalid_token` (not a valid proxy of this service, or the proof of possession fails)
   * @throws {TtsError} `access_denied` (the proxy may not have a successor); `store_unavailable`
   * @see RFC 3820 section 4
   */
  verify(presented: PresentedProxy): Promise<Predecessor>
}

export interface PossessionDependencies {
  readonly store: Store
  readonly authority: Authority
  /** CAs before and after a roll-over of the key. */
  readonly others: readonly Pick<OtherAuthority, 'authority'>[]
  readonly now: () => Date
  /** How many days after the token the last successor must end. */
  readonly maximumDays: number
}

/**
 * Creates the verifier. Its cheap checks come first: a foreign certificate costs one database query and no signature
 * check.
 */
export function createPossessionVerifier(dependencies: PossessionDependencies): PossessionVerifier {
  return {
    async verify({ certificates, proof }) {
      if (certificates.length > MAX_CHAIN_LENGTH)
        throw refused('proxy_chain', 'the chain is too long')
      const [leaf, ...above] = certificates
      const proxy = readProxy(dependencies, leaf)
      const credential = await requireIssuedHere(dependencies, proxy)
      await requireDelegation(dependencies, credential)
      requireValidChain(dependencies, proxy, above)
      if (proof !== 'tls') await requireSignedNow(dependencies, proxy, proof)
      return predecessorOf(dependencies, proxy, credential)
    },
  }
}

/** Reads the first certificate: a proxy whose validity period, not yet verified, includes now. */
function readProxy({ now }: PossessionDependencies, der: Buffer | undefined): Certificate {
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
  { authority, others: more, now }: PossessionDependencies,
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
  { store }: PossessionDependencies,
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
  { store }: PossessionDependencies,
  { delegationId }: CredentialView,
): Promise<void> {
  if (delegationId === undefined) return
  const delegation = await store.delegations.find(delegationId)
  if (delegation?.state === 'active') return
  throw denied('delegation', 'the delegation that this proxy comes from has ended')
}

function predecessorOf(
  { now, maximumDays }: PossessionDependencies,
  proxy: Certificate,
  credential: CredentialView,
): Predecessor {
  const { proxyCertInfo } = certificateFacts(proxy)
  const type = proxyCertInfo?.type
  if (type === undefined || type === 'other')
    throw refused('proxy_chain', 'the type of the proxy is not supported')
  const firstIssuedAt = credential.firstIssuedAt ?? credential.issuedAt
  const lastMoment = new Date(firstIssuedAt.getTime() + maximumDays * DAY_MS)
  if (lastMoment.getTime() - now().getTime() < LEAST_LIFE_MS) {
    throw denied(
      'possession_life',
      `proxies can be renewed by possession for ${maximumDays} days after the token, which have passed: start again with a new access token`,
      'Raise delegations.renewal_by_possession.maximum_days if renewal may last longer.',
    )
  }
  return {
    credentialId: credential.id,
    serviceId: credential.serviceId,
    identity: credential.identity,
    clientId: credential.clientId,
    delegationId: credential.delegationId,
    type,
    pathLength: proxyCertInfo?.pathLength,
    attributes: presentedAttributes([proxy], now()),
    firstIssuedAt,
    lastMoment,
  }
}

/** A shorter life is not issued. */
const LEAST_LIFE_MS = 60_000

/** Returns the parameters that a successor inherits unless the request sets them. */
export function inheritedParameters({
  type,
  pathLength,
  attributes,
}: Predecessor): Record<string, unknown> {
  const voms = [...attributes].map(([vo, fqans]) => `${vo}:${fqans.map(formatFqan).join(',')}`)
  return {
    proxy_type: type,
    ...(pathLength === undefined ? {} : { path_length: pathLength }),
    ...(voms.length === 0 ? {} : { voms }),
  }
}

/**
 * Limits an issuing context to the rights and the life of the predecessor.
 *
 * @throws {TtsError} `access_denied`, check `service` (not a proxy service); the context's `proxy` throws
 *   `access_denied`, check `proxy_type` or `path_length`
 */
export function withinPredecessor(
  context: IssuingContext,
  predecessor: Predecessor,
  { service, now }: { readonly service: Service; readonly now: () => Date },
): IssuingContext {
  if (service.plugin.id !== X509_PROXY)
    throw denied('service', 'only proxies can be renewed by possession')
  return {
    ...context,
    endEntity: () => Promise.reject(denied('service', 'only proxies can be renewed by possession')),
    sshCertificate: () =>
      Promise.reject(denied('service', 'only proxies can be renewed by possession')),
    proxy: (request) => {
      requireNoMoreRights(predecessor, request)
      const leftSeconds = Math.floor((predecessor.lastMoment.getTime() - now().getTime()) / 1000)
      const requestedSeconds =
        request.lifetimeSeconds ?? service.lifetimes?.defaultSeconds ?? leftSeconds
      return context.proxy({ ...request, lifetimeSeconds: Math.min(requestedSeconds, leftSeconds) })
    },
  }
}

function requireNoMoreRights(
  predecessor: Predecessor,
  request: { readonly type: ProxyType; readonly pathLength: number | undefined },
): void {
  // RFC 3820 section 3.8: only an impersonation proxy has all rights. Any other type must not become a different type.
  if (predecessor.type !== 'impersonation' && request.type !== predecessor.type) {
    throw denied('proxy_type', `proxy_type: must be ${predecessor.type}, the type of the proxy`)
  }
  const { pathLength: maximum } = predecessor
  if (maximum !== undefined && (request.pathLength === undefined || request.pathLength > maximum))
    throw denied('path_length', `path_length: must be at most that of the proxy, ${maximum}`)
}

/** Returns the error for a renewal by possession while that is disabled. */
export function renewalDisabled(): TtsError {
  return new TtsError('not_found', 'renewal by possession is not available at this service', {
    check: 'renewal_by_possession',
    remedy: 'Set delegations.renewal_by_possession.enabled to true.',
  })
}

function refused(check: string, message: string): TtsError {
  return new TtsError('invalid_token', message, { check })
}

function denied(check: string, message: string, remedy?: string): TtsError {
  return new TtsError('access_denied', message, {
    check,
    ...(remedy === undefined ? {} : { remedy }),
  })
}
