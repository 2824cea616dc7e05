/** Delegations for the store's tests. */
import { randomBytes, randomUUID } from 'node:crypto'
import type {
  DelegationEventName,
  LedgerEntry,
  NewDelegation,
} from '../../src/domain/delegations/records.ts'
import type { Identity } from '../../src/domain/records.ts'
import type { Store } from '../../src/domain/store.ts'
import type { HeldRefreshToken } from '../../src/grants/refresh-token.ts'
import { auditLine, DAY_MS, NOW, origin } from './support.ts'

/** A refresh token that is like no other. */
export function heldToken(overrides: Partial<HeldRefreshToken> = {}): HeldRefreshToken {
  return {
    current: `refresh-${randomBytes(12).toString('hex')}`,
    previous: undefined,
    grantedAt: NOW,
    renewedAt: NOW,
    rotates: undefined,
    attemptBegunAt: undefined,
    ...overrides,
  }
}

export function ledgerEntry(
  event: DelegationEventName,
  overrides: Partial<LedgerEntry['event']> = {},
): LedgerEntry {
  return {
    event: { at: NOW, event, outcome: 'allowed', origin, detail: undefined, ...overrides },
    audit: auditLine({ event: `delegation.${event}` }),
  }
}

export function newDelegation(
  identity: Identity,
  overrides: Partial<NewDelegation> = {},
): NewDelegation {
  return {
    id: randomUUID(),
    identityId: identity.id,
    providerId: 'iam',
    label: 'cluster 7',
    secretHash: randomBytes(32).toString('hex'),
    clientId: 'demo-cli',
    createdAt: NOW,
    renewsUntil: new Date(NOW.getTime() + 30 * DAY_MS),
    origin,
    held: heldToken(),
    ...overrides,
  }
}

/** Records a new delegation; answers it. */
export async function makeDelegation(
  store: Store,
  identity: Identity,
  overrides: Partial<NewDelegation> = {},
): Promise<NewDelegation> {
  const made = newDelegation(identity, overrides)
  await store.delegations.create(made, ledgerEntry('made'), 100)
  return made
}
