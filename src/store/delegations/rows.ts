import type { Insertable, Selectable } from 'kysely'
import type {
  Delegation,
  DelegationEvent,
  DelegationEventName,
  DelegationState,
  NewDelegation,
} from '../../domain/delegations/records.ts'
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import { originColumns, toIdentity, toOrigin } from '../schema/rows.ts'
import { originalOptional, originalText, storedOptional, storedText } from '../stored-text.ts'
import type { DelegationEventRow, DelegationRow, IdentityRow } from '../schema/tables.ts'

/** A delegation's columns but those of its refresh token, with those of its identity. */
export type SelectedDelegation = Omit<DelegationRow, 'sealed_custody' | 'master_key_id'> &
  Omit<IdentityRow, 'id' | 'created_at'> & { readonly identity_created_at: number }

/** The row for a delegation; its refresh token comes on top. */
export function delegationRow(
  delegation: NewDelegation,
): Omit<DelegationRow, 'sealed_custody' | 'master_key_id'> {
  return {
    id: storedText(delegation.id),
    identity_id: storedText(delegation.identityId),
    provider_id: storedText(delegation.providerId),
    label: storedOptional(delegation.label),
    state: 'active',
    secret_hash: storedText(delegation.secretHash),
    client_id: storedOptional(delegation.clientId),
    created_at: delegation.createdAt.getTime(),
    last_used_at: null,
    renews_until: delegation.renewsUntil.getTime(),
    rotates: rotatesColumn(delegation.held),
    ended_at: null,
    end_reason: null,
    ...originColumns(delegation.origin),
    notice_given_for: null,
    notice_claimed_until: null,
  }
}

/** The delegation that a row stands for. */
export function toDelegation(row: SelectedDelegation): Delegation {
  return {
    id: originalText(row.id),
    identity: toIdentity({ ...row, id: row.identity_id, created_at: row.identity_created_at }),
    providerId: originalText(row.provider_id),
    label: originalOptional(row.label),
    state: row.state as DelegationState,
    secretHash: originalText(row.secret_hash),
    clientId: originalOptional(row.client_id),
    createdAt: new Date(row.created_at),
    lastUsedAt: optionalDate(row.last_used_at),
    renewsUntil: new Date(row.renews_until),
    rotates: row.rotates === null ? undefined : row.rotates === 1,
    endedAt: optionalDate(row.ended_at),
    endReason: originalOptional(row.end_reason),
    origin: toOrigin(row),
  }
}

/** The row for a line of a ledger. */
export function delegationEventRow(
  delegationId: string,
  event: DelegationEvent,
): Insertable<DelegationEventRow> {
  return {
    delegation_id: storedText(delegationId),
    at: event.at.getTime(),
    event: event.event,
    outcome: event.outcome,
    ...originColumns(event.origin),
    detail: storedOptional(event.detail),
  }
}

/** The line of a ledger that a row stands for. */
export function toDelegationEvent(row: Selectable<DelegationEventRow>): DelegationEvent {
  return {
    at: new Date(row.at),
    event: row.event as DelegationEventName,
    outcome: row.outcome as DelegationEvent['outcome'],
    origin: toOrigin(row),
    detail: originalOptional(row.detail),
  }
}

/** The column for what is known of a provider's rotation. */
export function rotatesColumn({ rotates }: Pick<HeldRefreshToken, 'rotates'>): number | null {
  return rotates === undefined ? null : Number(rotates)
}

function optionalDate(milliseconds: number | null): Date | undefined {
  return milliseconds === null ? undefined : new Date(milliseconds)
}
