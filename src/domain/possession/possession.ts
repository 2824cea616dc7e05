/**
 * Renewal by possession: the holder of a valid proxy that this service issued gets a successor, if the operator
 * allows it. Because claims cannot be checked again, a successor has no more rights than its predecessor, and the
 * life of the whole chain is limited.
 */
import { certificateFacts } from '../../../ca/certificate-facts.ts'
import type { ProxyType } from '../../../ca/extensions.ts'
import type { IssuingContext } from '../../../plugins/plugin.ts'
import { X509_PROXY } from '../../../plugins/x509-proxy/index.ts'
import { formatFqan } from '../../../ca/voms/fqan.ts'
import { TtsError } from '../../base/errors.ts'
import { DAY_MS } from '../delegations/forecast.ts'
import {
  type VerifiedProxy,
  type PresentedProxy,
  type ProxyVerifierDependencies,
  verifyPresentedProxy,
} from './presented-proxy.ts'
import type { Identity } from '../records.ts'
import type { Service } from '../issuing/service.ts'
import { presentedAttributes, type PresentedAttributes } from '../voms/presented.ts'

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

export interface PossessionDependencies extends ProxyVerifierDependencies {
  /** How many days after the token the last successor must end. */
  readonly maximumDays: number
}

/** Creates the verifier. */
export function createPossessionVerifier(dependencies: PossessionDependencies): PossessionVerifier {
  return {
    verify: async (presented) =>
      predecessorOf(dependencies, await verifyPresentedProxy(dependencies, presented)),
  }
}

function predecessorOf(
  { now, maximumDays }: PossessionDependencies,
  { proxy, credential }: VerifiedProxy,
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
    attributes: presentedAttributes([proxy]),
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
