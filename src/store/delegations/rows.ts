/** Rows of delegations, of their refresh tokens (encrypted) and of their ledgers, to and from the domain's records. */
import {
  type CompiledQuery,
  type Insertable,
  type Kysely,
  type Selectable,
  type SelectQueryBuilder,
  sql,
} from 'kysely'
import type {
  Delegation,
  DelegationEvent,
  DelegationEventName,
  DelegationState,
  LedgerEntry,
  NewDelegation,
} from '../../domain/delegations/records.ts'
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import type { MasterKeys } from '../encryption/master-keys.ts'
import { seal, type SealedKey, type SealedPlace, unseal } from '../encryption/sealed-key.ts'
import { auditRow, originColumns, toIdentity, toOrigin } from '../schema/rows.ts'
import { originalOptional, originalText, storedOptional, storedText } from '../stored-text.ts'
import type { DelegationEventRow, DelegationRow, IdentityRow, Tables } from '../schema/tables.ts'

/** A delegation's columns but those of its refresh token, with those of its identity. */
export type SelectedDelegation = Omit<DelegationRow, 'sealed_custody' | 'master_key_id'> &
  Omit<IdentityRow, 'id' | 'created_at' | 'groups'> & { readonly identity_created_at: number }

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

/** Delegations with their identities, without their refresh tokens. */
export function selectDelegations(
  db: Kysely<Tables>,
): SelectQueryBuilder<Tables, 'delegations' | 'identities', SelectedDelegation> {
  return db
    .selectFrom('delegations')
    .innerJoin('identities', 'identities.id', 'delegations.identity_id')
    .select([
      'delegations.id',
      'delegations.identity_id',
      'delegations.provider_id',
      'delegations.label',
      'delegations.state',
      'delegations.secret_hash',
      'delegations.client_id',
      'delegations.created_at',
      'delegations.last_used_at',
      'delegations.renews_until',
      'delegations.rotates',
      'delegations.ended_at',
      'delegations.end_reason',
      'delegations.request_id',
      'delegations.address',
      'delegations.interface',
      'delegations.notice_given_for',
      'delegations.notice_claimed_until',
      'identities.issuer',
      'identities.sub',
      'identities.subject',
      'identities.comparable',
      sql<number>`identities.created_at`.as('identity_created_at'),
    ])
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

/** Writes the line of a ledger and that of the audit trail, in the caller's transaction. */
export async function writeEntry(
  transaction: Kysely<Tables>,
  id: string,
  entry: LedgerEntry,
): Promise<void> {
  for (const statement of entryStatements(transaction, id, entry))
    await transaction.executeQuery(statement)
}

/** The statements that write these two lines. */
export function entryStatements(
  database: Kysely<Tables>,
  id: string,
  { event, audit }: LedgerEntry,
): readonly CompiledQuery[] {
  const line = database.insertInto('delegation_events').values(delegationEventRow(id, event))
  const lines = audit === undefined ? [] : [database.insertInto('audit').values(auditRow(audit))]
  return [line.compile(), ...lines.map((each) => each.compile())]
}

/** Whose refresh token it is; bound to the ciphertext. */
export interface RefreshTokenOwner {
  readonly id: string
  readonly identityId: string
}

type SealedColumns = Pick<DelegationRow, 'sealed_custody' | 'master_key_id'>

/** The columns that hold a refresh token, encrypted. */
export function refreshTokenColumns(
  masterKeys: MasterKeys,
  owner: RefreshTokenOwner,
  held: HeldRefreshToken,
): SealedColumns {
  return sealedColumns(seal(masterKeys, placeOf(owner), Buffer.from(JSON.stringify(held))))
}

/**
 * The refresh token of a row; undefined when it holds none any more.
 *
 * @throws TtsError `internal` with check `master_key_unknown` or `held_key_tampered`.
 */
export function heldOf(
  masterKeys: MasterKeys,
  row: SealedColumns & Pick<DelegationRow, 'id' | 'identity_id'>,
): HeldRefreshToken | undefined {
  const { sealed_custody: sealed, master_key_id: masterKeyId } = row
  if (sealed === null || masterKeyId === null) return undefined
  const bytes = unseal(masterKeys, placeOf(tokenOwnerOf(row)), { masterKeyId, sealed })
  return JSON.parse(bytes.toString('utf8'), reviveDates) as HeldRefreshToken
}

/** The columns of a row, encrypted under the current master key. */
export function resealedColumns(
  masterKeys: MasterKeys,
  row: Pick<DelegationRow, 'id' | 'identity_id'>,
  sealed: SealedKey,
): SealedColumns {
  const place = placeOf(tokenOwnerOf(row))
  return sealedColumns(seal(masterKeys, place, unseal(masterKeys, place, sealed)))
}

/** Whose refresh token a row holds. */
export function tokenOwnerOf(row: Pick<DelegationRow, 'id' | 'identity_id'>): RefreshTokenOwner {
  return { id: originalText(row.id), identityId: originalText(row.identity_id) }
}

function sealedColumns({ masterKeyId, sealed }: SealedKey): SealedColumns {
  return { sealed_custody: sealed, master_key_id: masterKeyId }
}

function placeOf({ id, identityId }: RefreshTokenOwner): SealedPlace {
  return {
    associatedData: Buffer.from(`tts delegation v1\0${id}\0${identityId}`),
    name: `The refresh token of delegation ${id}`,
    remedy: 'Revoke the delegation.',
  }
}

/** `…At` are dates, and JSON has none. */
function reviveDates(key: string, value: unknown): unknown {
  return key.endsWith('At') && typeof value === 'string' ? new Date(value) : value
}

/** The column for what is known of a provider's rotation. */
export function rotatesColumn({ rotates }: Pick<HeldRefreshToken, 'rotates'>): number | null {
  return rotates === undefined ? null : Number(rotates)
}

function optionalDate(milliseconds: number | null): Date | undefined {
  return milliseconds === null ? undefined : new Date(milliseconds)
}
