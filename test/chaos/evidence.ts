/** What was seen from outside during a run: the invariants are judged by this alone. */

/** The replicas share CA and records; the single service on SQLite has its own. */
export type Installation = 'replicas' | 'single'

export interface SeenCertificate {
  readonly serial: string
  /** RFC 4514. */
  readonly subject: string
  readonly issuer: string
  /** Milliseconds since the epoch, as all times here. */
  readonly notBefore: number
  readonly notAfter: number
}

/** A credential that a client received complete. */
export interface Grant {
  readonly installation: Installation
  /** How it was asked for. */
  readonly way: string
  /** The `sub` that asked. */
  readonly sub: string
  /** When the request was sent. */
  readonly begunAt: number
  /** Id of the credential, where the answer has it. */
  readonly id: string | undefined
  /** Proxy first, then its EEC; or an EEC alone. */
  readonly certificates: readonly SeenCertificate[]
  /** The longest lifetime that the request allows. */
  readonly lifetimeSeconds: number
  /** Whether the key that came with it, or that of the CSR, belongs to the first certificate. */
  readonly keyFits: boolean
}

/** From when to when an identity must not get anything; acknowledged before `from`. */
export interface Refusal {
  readonly installation: Installation
  readonly sub: string
  readonly why: string
  readonly from: number
  readonly until: number
}

/** An EEC whose revocation was acknowledged. */
export interface Revoked {
  readonly installation: Installation
  readonly serial: string
  readonly at: number
}

/** Who holds a refresh token, and whether the provider took it at the end. */
export interface Holder {
  readonly name: string
  readonly accepted: boolean
  /** Ended by the provider itself, or by us. */
  readonly endedOnPurpose: boolean
  readonly detail: string
}

export interface SeenFile {
  readonly path: string
  readonly mode: number
  /** What is wrong with its content. */
  readonly problem: string | undefined
}

/** Between the names of faults that were there together. */
export const TOGETHER = ' + '

/** Fault, healed; then the time until everything served again, without help. */
export interface Recovery {
  readonly fault: string
  /** Undefined: not within the limit. */
  readonly milliseconds: number | undefined
  readonly lastProblem: string
}

/** What one installation has on record. */
export interface RecordedRows {
  readonly credentials: ReadonlySet<string>
  readonly certificates: ReadonlySet<string>
  readonly audited: ReadonlySet<string>
}

export type PerInstallation<Value> = Readonly<Record<Installation, Value>>

/** Notes of the clients while the load runs. */
export interface Evidence {
  readonly grants: Grant[]
  /** Good answers to tokens that must be refused: always wrong. */
  readonly acceptedBadTokens: string[]
  readonly refusals: Refusal[]
  readonly revoked: Revoked[]
  readonly files: SeenFile[]
  /** Answers by status, and connections that broke. */
  readonly answers: Map<string, number>
  /** Tokens and secrets that clients and provider have, for the search in the logs. */
  readonly secrets: Set<string>
}

export const newEvidence = (): Evidence => ({
  grants: [],
  acceptedBadTokens: [],
  refusals: [],
  revoked: [],
  files: [],
  answers: new Map(),
  secrets: new Set(),
})

/** Adds one to the number of answers of a kind. */
export function countAnswer({ answers }: Evidence, kind: string): void {
  answers.set(kind, (answers.get(kind) ?? 0) + 1)
}
