/** What access tokens need in the records; `src/store` implements their storage. */

import type { AuditRecord } from '../records.ts'

/** A key that signs access tokens. */
export interface TokenKey {
  /** Thumbprint of its public key (RFC 7638). */
  readonly id: string
  readonly createdAt: Date
  /** PKCS#8, DER. */
  readonly privateKeyDer: Buffer
}

/** The keys that sign access tokens, or did; private keys are encrypted at rest. */
export interface TokenKeyRecords {
  /** All keys, oldest first. */
  list(): Promise<readonly TokenKey[]>
  add(key: TokenKey): Promise<void>
  remove(ids: readonly string[]): Promise<void>
  /** Removes all keys and adds one, with an audit line. */
  replaceAll(key: TokenKey, audit: AuditRecord): Promise<void>
}
