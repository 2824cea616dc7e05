/** Attributes for somebody who has shown a certificate of this service: what a VOMS server does. */
import type { Fqan } from '../../../ca/voms/fqan.ts'
import { formatFqan } from '../../../ca/voms/fqan.ts'
import { readAttributeCertificate } from '../../../ca/voms/read-attributes.ts'
import type { VomsRequest } from '../../../plugins/plugin.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { Sampler } from '../../limits/sampler.ts'
import type { BanList } from '../bans/ban-list.ts'
import {
  type CertificateCaller,
  type CertificateCallerDependencies,
  identifyByCertificate,
} from '../certificate-caller.ts'
import type { IdentityLimiter } from '../issuing/identity-limiter.ts'
import type { IdentityShare } from '../issuing/identity-share.ts'
import { issueError } from '../issuing/issue-errors.ts'
import { sampleOf } from '../issuing/issue-audit.ts'
import type { AuditRecord, Identity, Origin } from '../records.ts'
import type { Store } from '../store.ts'
import type { Attributes } from './attributes.ts'
import { includes, presentedAttributes } from './presented.ts'

export interface ServeAttributesDependencies {
  readonly attributes: Attributes
  readonly certificates: CertificateCallerDependencies
  readonly bans: Pick<BanList, 'requireNotBanned'>
  readonly identityShare: IdentityShare
  readonly limiter: IdentityLimiter
  readonly sampleRefusal: Sampler
  readonly store: Pick<Store, 'recordAudit'>
  readonly now: () => Date
}

/** A request to a VOMS server. */
export interface ServedRequest extends VomsRequest {
  /** Undefined: as long as possible. */
  readonly lifetimeSeconds: number | undefined
  /** FQANs that come first. */
  readonly order: readonly Fqan[]
  readonly targets: readonly string[]
}

export interface ServedAttributes {
  /** The attribute certificate. */
  readonly der: Buffer
  readonly fqans: readonly Fqan[]
  /** The caller has more, which the attributes in the presented proxy do not allow. */
  readonly isSubset: boolean
  /** Seconds from now until the attributes end. */
  readonly lifetimeSeconds: number
}

/**
 * Decides on a request and makes the attribute certificate. Its audit line is durable when the promise is fulfilled.
 *
 * @param ders certificates of the TLS handshake
 * @throws {TtsError} as `identifyByCertificate` and `Attributes.decide`; `access_denied`, check `banned`;
 *   `limit_reached`, `store_unavailable`
 */
export async function serveAttributes(
  dependencies: ServeAttributesDependencies,
  ders: readonly Buffer[],
  request: { readonly read: () => ServedRequest; readonly origin: Origin; readonly log: Log },
): Promise<ServedAttributes> {
  const { now, bans, attributes } = dependencies
  const { origin, log } = request
  let caller: CertificateCaller | undefined
  let leave: (() => void) | undefined
  try {
    caller = await identifyByCertificate(dependencies.certificates, ders)
    const { identity, endEntity, proxies } = caller
    leave = dependencies.identityShare.enter(identity)
    await bans.requireNotBanned({ ...identity, claims: undefined }, identity.id)
    dependencies.limiter.check(identity)
    const asked = request.read()
    const presented = presentedAttributes(proxies)
    const granted = await attributes.decide({ identity, claims: undefined, presented }, asked)
    const fqans = inOrder(granted.fqans, asked.order)
    const { lifetimeSeconds, targets } = asked
    const within = (proxies[0] ?? endEntity).validity
    const certified = { endEntity, within, lifetimeSeconds, targets }
    const der = await attributes.certify({ ...granted, fqans }, certified)
    const { serial, validity } = readAttributeCertificate(der)
    const names = fqans.map(formatFqan).join(' ')
    await dependencies.store.recordAudit({
      ...auditLine(identity, origin, now()),
      detail: `serial ${serial}, ends ${validity.notAfter.toISOString()}: ${names}`.slice(0, 500),
    })
    const { subject } = identity
    log.info(
      { event: 'attributes.issued', subject, vo: asked.vo, serial, fqans: names },
      'issued VOMS attributes',
    )
    const secondsLeft = Math.round((validity.notAfter.getTime() - now().getTime()) / 1000)
    return { der, fqans, isSubset: granted.isSubset, lifetimeSeconds: secondsLeft }
  } catch (error) {
    const refusal = issueError(error)
    await recordRefusal(dependencies, { refusal, identity: caller?.identity, origin, log })
    throw refusal
  } finally {
    leave?.()
  }
}

/** The ordered ones first, as far as they are there; each once. */
function inOrder(fqans: readonly Fqan[], order: readonly Fqan[]): readonly Fqan[] {
  const first = order.filter((fqan) => includes(fqans, fqan))
  return [...new Map([...first, ...fqans].map((fqan) => [formatFqan(fqan), fqan])).values()]
}

interface Refused {
  readonly refusal: TtsError
  readonly identity: Identity | undefined
  readonly origin: Origin
  readonly log: Log
}

async function recordRefusal(
  dependencies: ServeAttributesDependencies,
  { refusal, identity, origin, log }: Refused,
): Promise<void> {
  const sample = sampleOf(dependencies, { address: origin.address, identity, refusal })
  if (sample === undefined) return
  const { code, check, message, remedy, cause } = refusal
  const fields = { event: 'attributes.refused', code, check, remedy, ...sample }
  const level = code === 'internal' ? 'error' : 'info'
  log[level]({ ...fields, ...(cause === undefined ? {} : { err: cause }) }, message)
  try {
    await dependencies.store.recordAudit({
      ...auditLine(identity, origin, dependencies.now()),
      event: 'attributes.refused',
      outcome: 'refused',
      code,
      check,
      detail: message.slice(0, 500),
    })
  } catch (error) {
    log.error({ event: 'audit.failed', err: error }, 'could not record a refusal')
  }
}

function auditLine(identity: Identity | undefined, origin: Origin, at: Date): AuditRecord {
  return {
    at,
    event: 'attributes.issued',
    outcome: 'allowed',
    origin,
    issuer: identity?.issuer,
    sub: identity?.sub,
    serviceId: undefined,
    credentialId: undefined,
    code: undefined,
    check: undefined,
    detail: undefined,
  }
}
