/** Makes the lines of a delegation's ledger and the matching lines of the audit trail. */
import type { TtsError } from '../../base/errors.ts'
import type { DelegationEventName, LedgerEntry } from './records.ts'
import type { Identity, Origin } from '../records.ts'

/** An event of a delegation. */
export interface Happening {
  readonly event: DelegationEventName
  readonly at: Date
  readonly origin: Origin
  readonly identity: Pick<Identity, 'issuer' | 'sub'>
  /** One sentence, without any secret. */
  readonly detail?: string
  readonly refusal?: TtsError
}

const MAX_DETAIL = 500

/** Events that the audit trail records under another name (`credential.issued`), or that are not decisions. */
const onlyInLedger: readonly DelegationEventName[] = ['rotated', 'used', 'notice']

/** Returns the ledger line of an event and, where it is a decision, its audit line. */
export function ledgerEntry(happening: Happening): LedgerEntry {
  const { event, at, origin, identity, refusal } = happening
  const outcome = event === 'refused' ? ('refused' as const) : ('allowed' as const)
  const detail = (happening.detail ?? refusal?.message)?.slice(0, MAX_DETAIL)
  return {
    event: { at, event, outcome, origin, detail },
    audit: onlyInLedger.includes(event)
      ? undefined
      : {
          at,
          event: `delegation.${event}`,
          outcome,
          origin,
          issuer: identity.issuer,
          sub: identity.sub,
          serviceId: undefined,
          credentialId: undefined,
          code: refusal?.code,
          check: refusal?.check,
          detail,
        },
  }
}
