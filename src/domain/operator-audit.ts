/** Audit records of what an operator does: about the installation or a user, not about one credential. */
import type { AuditRecord, Origin } from './records.ts'

/** The origin of everything that is done on the command line. */
export const cliOrigin: Origin = { requestId: 'cli', address: 'local', interface: 'cli' }

/** What differs between the records of operators. */
export interface OperatorAction {
  readonly at: Date
  readonly event: string
  readonly origin: Origin
  /** The user whom it is about. */
  readonly user?: Pick<AuditRecord, 'issuer' | 'sub'>
  readonly detail: string
}

/** Returns the record of an action that succeeded. */
export function operatorRecord({ at, event, origin, user, detail }: OperatorAction): AuditRecord {
  return {
    at,
    event,
    outcome: 'allowed',
    origin,
    issuer: user?.issuer,
    sub: user?.sub,
    serviceId: undefined,
    credentialId: undefined,
    code: undefined,
    check: undefined,
    detail,
  }
}
