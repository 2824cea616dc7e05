/** Audit lines and log lines of credential requests. */
import type { TtsError } from '../../base/errors.ts'
import { addressKey } from '../../limits/address-key.ts'
import type { Log } from '../../base/log.ts'
import type { Sample, Sampler } from '../../limits/sampler.ts'
import type { Caller } from './callers.ts'
import type { IdentityKey } from './identity-share.ts'
import { issueError } from './issue-errors.ts'
import type { AuditRecord, Origin } from '../records.ts'
import type { Store } from '../store.ts'

/** The recorded part of a request. */
export interface RecordedRequest {
  readonly serviceId: string | undefined
  /** Event of a refusal. Default: `credential.refused`. */
  readonly event?: string
  readonly origin: Origin
  readonly log: Log
}

interface AuditDependencies {
  readonly store: Pick<Store, 'recordAudit'>
  /** Samples the refusals that an unverified client can cause without limit. */
  readonly sampleRefusal: Sampler
  readonly services: ReadonlyMap<string, unknown>
  readonly now: () => Date
}

/** Records a refusal that an interface made before it called `issue`, and returns its error. */
export async function recordEarlyRefusal(
  dependencies: AuditDependencies,
  request: RecordedRequest,
  error: unknown,
): Promise<TtsError> {
  const refusal = issueError(error)
  await recordRefusal(dependencies, { request, caller: undefined, refusal })
  return refusal
}

/** Returns the id of the requested service; for renewal by possession, that of the presented proxy. */
export function serviceIdOf(request: RecordedRequest, caller: RecordedCaller | undefined): string {
  return request.serviceId ?? caller?.serviceId ?? ''
}

/** The recorded part of a caller. */
type RecordedCaller = Pick<Caller, 'key' | 'serviceId'>

interface Refused {
  readonly request: RecordedRequest
  readonly caller: RecordedCaller | undefined
  readonly refusal: TtsError
}

/**
 * Writes a refusal to log and audit trail. Refusals that anybody can cause at will are sampled: otherwise one address
 * could write a gigabyte a day.
 */
export async function recordRefusal(
  dependencies: AuditDependencies,
  refused: Refused,
): Promise<void> {
  const { request, caller, refusal } = refused
  const { address } = request.origin
  const identity = caller?.key
  const sample = sampleOf(dependencies, { address, identity, refusal })
  if (sample === undefined) return
  const { suppressed } = sample
  const { event = 'credential.refused' } = request
  const fields = {
    event,
    service: serviceName(dependencies, serviceIdOf(request, caller)),
    code: refusal.code,
    check: refusal.check,
    ...(suppressed === 0 ? {} : { suppressed }),
  }
  const level = ['internal', 'plugin_failed'].includes(refusal.code) ? 'error' : 'info'
  const cause = refusal.cause === undefined ? {} : { err: refusal.cause }
  request.log[level]({ ...fields, ...cause, remedy: refusal.remedy }, refusal.message)
  const line = auditLine(refused, {
    event,
    outcome: 'refused',
    at: dependencies.now(),
    credentialId: undefined,
  })
  const more = suppressed === 0 ? '' : ` (and ${suppressed} similar ones before)`
  try {
    await dependencies.store.recordAudit({
      ...line,
      serviceId: fields.service,
      code: refusal.code,
      check: refusal.check,
      detail: `${refusal.message.slice(0, 450)}${more}`,
    })
  } catch (error) {
    // Not thrown: the caller must get the refusal, not a database error. The log has both.
    request.log.error({ event: 'audit.failed', err: error }, 'could not record a refusal')
  }
}

/** Returns whether to record a refusal: all of a verified caller, except that `limit_reached` is sampled. */
export function sampleOf(
  { sampleRefusal }: Pick<AuditDependencies, 'sampleRefusal'>,
  refused: {
    readonly address: string
    /** Undefined: the caller is not verified. */
    readonly identity: IdentityKey | undefined
    readonly refusal: TtsError
  },
): Sample | undefined {
  const { address, identity, refusal } = refused
  const kind = `${refusal.code} ${refusal.check}`
  if (identity === undefined) return sampleRefusal(`${addressKey(address)} ${kind}`)
  if (refusal.code !== 'limit_reached') return { suppressed: 0 }
  return sampleRefusal(`${JSON.stringify([identity.issuer, identity.sub])} ${kind}`)
}

/** Returns the id of an existing service only: any other text from the caller must not reach log and records. */
function serviceName({ services }: AuditDependencies, serviceId: string): string {
  return services.has(serviceId) ? serviceId : '(unknown)'
}

/** Returns an audit line for a request, without the fields of a refusal. */
export function auditLine(
  {
    request,
    caller,
  }: { readonly request: RecordedRequest; readonly caller: RecordedCaller | undefined },
  line: Pick<AuditRecord, 'event' | 'outcome' | 'at' | 'credentialId'>,
): AuditRecord {
  const identity = caller?.key
  return {
    ...line,
    origin: request.origin,
    issuer: identity?.issuer,
    sub: identity?.sub,
    serviceId: serviceIdOf(request, caller),
    code: undefined,
    check: undefined,
    detail: undefined,
  }
}
