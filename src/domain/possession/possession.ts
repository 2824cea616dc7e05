/**
 * Renewal by possession: who holds a proxy of ours that is still valid may have its successor, when the operator allows it.
 * Claims cannot be asked again; so a successor has no more rights than its predecessor, and the whole chain a bounded life.
 */
import type { Authority } from '../../../ca/authority.ts'
import { type Certificate, fingerprint, readCertificate } from '../../../ca/certificate.ts'
import { certificateFacts } from '../../../ca/certificate-facts.ts'
import { validateChain } from '../../../ca/chain.ts'
import { MAX_CHAIN_LENGTH } from '../../../ca/chain-link.ts'
import { CaError } from '../../../ca/errors.ts'
import type { ProxyType } from '../../../ca/extensions.ts'
import type { IssuingContext } from '../../../plugins/plugin.ts'
import { x509Proxy } from '../../../plugins/x509-proxy/index.ts'
import { TtsError } from '../../base/errors.ts'
import { DAY_MS } from '../delegations/forecast.ts'
import { requireSignedNow, type PossessionRequest } from './possession-proof.ts'
import type { CredentialView, Identity } from '../records.ts'
import type { Store } from '../store.ts'
import type { Service } from '../issuing/service.ts'

/** A proxy that somebody shows, and how they show that its key is theirs. Unchecked. */
export interface PresentedProxy {
  /** The proxy first, then what stands above it; DER. */
  readonly certificates: readonly Buffer[]
  /** `tls`: the TLS handshake was made with the key of the first certificate. */
  readonly shownBy: 'tls' | PossessionRequest
}

/** The proxy that was shown, checked: all that its successor may be follows from it. */
export interface Predecessor {
  readonly credentialId: string
  readonly serviceId: string
  readonly identity: Identity
  readonly clientId: string | undefined
  readonly delegationId: string | undefined
  readonly type: ProxyType
  readonly pathLength: number | undefined
  /** When the first of these proxies was issued, for a token. */
  readonly firstIssuedAt: Date
  /** No successor lives longer. */
  readonly lastMoment: Date
}

export interface PossessionVerifier {
  /**
   * @throws {TtsError} `invalid_token` for what is no proxy of ours, or not shown to be the caller's; `access_denied` when it
   * gets no successor
   */
  verify(presented: PresentedProxy): Promise<Predecessor>
}

export interface PossessionDependencies {
  readonly store: Store
  readonly authority: Authority
  readonly now: () => Date
  /** How long after the token proxies may live, all successors included. */
  readonly maximumDays: number
}

/** Cheap checks first: whoever shows no proxy of ours costs one look into the records, and no signature. */
export function createPossessionVerifier(dependencies: PossessionDependencies): PossessionVerifier {
  return {
    async verify({ certificates, shownBy }) {
      if (certificates.length > MAX_CHAIN_LENGTH)
        throw refused('proxy_chain', 'the chain is too long')
      const [leaf, ...above] = certificates
      const proxy = readProxy(dependencies, leaf)
      const credential = await requireOnRecord(dependencies, proxy)
      await requireDelegation(dependencies, credential)
      requireValidChain(dependencies, proxy, above)
      if (shownBy !== 'tls') await requireSignedNow(dependencies, proxy, shownBy)
      return predecessorOf(dependencies, proxy, credential)
    },
  }
}

/** The first certificate that was shown, a proxy within its life by its own words. */
function readProxy({ now }: PossessionDependencies, der: Buffer | undefined): Certificate {
  if (der === undefined) throw refused('proxy_chain', 'no certificate was shown')
  const proxy = read(der)
  if (certificateFacts(proxy).proxyCertInfo === undefined)
    throw refused('proxy_chain', 'the certificate is no proxy')
  const { notBefore, notAfter } = proxy.validity
  if (now() < notBefore || now() > notAfter)
    throw refused('proxy_chain', 'the proxy is not valid: it has expired, or has not begun')
  return proxy
}

/** Our CA vouches for it. At most as many certificates as a file of ours has: each may cost a signature. */
function requireValidChain(
  { authority, now }: PossessionDependencies,
  proxy: Certificate,
  above: readonly Buffer[],
): void {
  const anchors = [authority.certificate, ...authority.chain]
  const others = withoutDoubles([proxy.der, ...above]).slice(1)
  if (others.length > anchors.length + 1) throw refused('proxy_chain', 'the chain is too long')
  const certificates = [proxy, ...others.map((der) => read(der))]
  const verdict = validateChain({ certificates, anchors, now: now(), allowProxies: true })
  const [problem] = verdict.problems
  if (problem !== undefined)
    throw refused('proxy_chain', `the proxy is not valid: ${problem.message}`)
}

/** On a resumed connection the proxy stands in both handshake and body. */
function withoutDoubles(ders: readonly Buffer[]): readonly Buffer[] {
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

/** The very proxy that we issued, and not one that was made below it. */
async function requireOnRecord(
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
    throw refused('proxy_record', 'the proxy is not one that this service issued')
  if (credential.revokedAt !== undefined) throw refused('revoked', 'the proxy is revoked')
  return credential
}

/** Who takes a delegation back means the proxies that it brought, too. */
async function requireDelegation(
  { store }: PossessionDependencies,
  { delegationId }: CredentialView,
): Promise<void> {
  if (delegationId === undefined) return
  const delegation = await store.delegations.find(delegationId)
  if (delegation?.state === 'active') return
  throw denied('delegation', 'the delegation that brought this proxy is over')
}

function predecessorOf(
  { now, maximumDays }: PossessionDependencies,
  proxy: Certificate,
  credential: CredentialView,
): Predecessor {
  const { proxyCertInfo } = certificateFacts(proxy)
  const type = proxyCertInfo?.type
  if (type === undefined || type === 'other')
    throw refused('proxy_chain', 'the kind of proxy is not known')
  const firstIssuedAt = credential.firstIssuedAt ?? credential.issuedAt
  const lastMoment = new Date(firstIssuedAt.getTime() + maximumDays * DAY_MS)
  if (lastMoment.getTime() - now().getTime() < LEAST_LIFE_MS) {
    throw denied(
      'possession_life',
      `proxies can be renewed by possession for ${maximumDays} days after the token; that is over: start again with a new access token`,
      'delegations.renewal_by_possession.maximum_days',
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
    firstIssuedAt,
    lastMoment,
  }
}

/** Shorter lives are given to nobody. */
const LEAST_LIFE_MS = 60_000

/** A successor is like its predecessor where the caller asks for nothing else. */
export function inheritedParameters({ type, pathLength }: Predecessor): Record<string, unknown> {
  return { proxy_type: type, ...(pathLength === undefined ? {} : { path_length: pathLength }) }
}

/** An issuing context that makes nothing with more rights or a longer life than the predecessor allows. */
export function withinPredecessor(
  context: IssuingContext,
  predecessor: Predecessor,
  { service, now }: { readonly service: Service; readonly now: () => Date },
): IssuingContext {
  if (service.plugin.id !== x509Proxy.id) throw denied('service', 'only proxies have successors')
  return {
    ...context,
    endEntity: () => Promise.reject(denied('service', 'only proxies have successors')),
    sshCertificate: () => Promise.reject(denied('service', 'only proxies have successors')),
    proxy: (request) => {
      requireNoMoreRights(predecessor, request)
      const leftSeconds = Math.floor((predecessor.lastMoment.getTime() - now().getTime()) / 1000)
      const wanted = request.lifetimeSeconds ?? service.lifetimes?.defaultSeconds ?? leftSeconds
      return context.proxy({ ...request, lifetimeSeconds: Math.min(wanted, leftSeconds) })
    },
  }
}

function requireNoMoreRights(
  predecessor: Predecessor,
  wanted: { readonly type: ProxyType; readonly pathLength: number | undefined },
): void {
  // RFC 3820 section 3.8: an impersonation proxy holds all rights; of what holds fewer, nothing else can come.
  if (predecessor.type !== 'impersonation' && wanted.type !== predecessor.type) {
    throw denied(
      'proxy_type',
      `the successor of a proxy of type ${predecessor.type} is of that type`,
    )
  }
  const { pathLength: had } = predecessor
  if (had !== undefined && (wanted.pathLength === undefined || wanted.pathLength > had))
    throw denied('path_length', `the successor's path length is at most that of the proxy, ${had}`)
}

/** The error of who asks for a successor where there are none. */
export function switchedOff(): TtsError {
  return new TtsError('not_found', 'this service renews no proxies by possession', {
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
