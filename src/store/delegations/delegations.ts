import { sql, type Kysely, type SelectQueryBuilder } from 'kysely'
import type {
  Delegation,
  DelegationCensus,
  DelegationEnd,
  DelegationFilter,
  LedgerEntry,
  NewDelegation,
} from '../../domain/delegations/records.ts'
import { TtsError } from '../../base/errors.ts'
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import { checkedLimit } from '../credentials.ts'
import { refreshTokenColumns, heldOf } from './refresh-tokens.ts'
import { writeEntry } from './ledger.ts'
import { delegationRow, type SelectedDelegation, toDelegation } from './rows.ts'
import type { MasterKeys } from '../encryption/master-keys.ts'
import { storedText } from '../stored-text.ts'
import type { Database, DelegationRow, Tables } from '../schema/tables.ts'

/** Records a delegation, unless its identity has as many as it may. */
export async function createDelegation(
  { writes, kind }: Database,
  masterKeys: MasterKeys,
  made: {
    readonly delegation: NewDelegation
    readonly entry: LedgerEntry
    readonly maximum: number
  },
): Promise<void> {
  const { delegation, entry, maximum } = made
  await writes.transaction().execute(async (transaction) => {
    // Else two at once would both count one less. Foreign keys of others to this row do not wait for it.
    await transaction
      .selectFrom('identities')
      .select('id')
      .where('id', '=', storedText(delegation.identityId))
      .$if(kind === 'postgresql', (query) => query.forNoKeyUpdate())
      .execute()
    const { count } = await transaction
      .selectFrom('delegations')
      .select(({ fn }) => fn.countAll<number>().as('count'))
      .where('identity_id', '=', storedText(delegation.identityId))
      .where('state', '=', 'active')
      .executeTakeFirstOrThrow()
    if (count >= maximum) throw tooMany(maximum)
    const owner = { id: delegation.id, identityId: delegation.identityId }
    await transaction
      .insertInto('delegations')
      .values({
        ...delegationRow(delegation),
        ...refreshTokenColumns(masterKeys, owner, delegation.held),
      })
      .execute()
    await writeEntry(transaction, delegation.id, entry)
  })
}

function tooMany(maximum: number): TtsError {
  return new TtsError(
    'conflict',
    `you have ${maximum} active delegations, as many as you may: revoke one that is not needed (GET and DELETE /v1/delegations)`,
    { check: 'delegations_per_identity', remedy: 'delegations.maximum_per_identity' },
  )
}

/** One delegation; with `identityId` only if it is that identity's. */
export async function findDelegation(
  database: Database,
  id: string,
  identityId: string | undefined,
): Promise<Delegation | undefined> {
  let query = selectDelegations(database.reads).where('delegations.id', '=', storedText(id))
  if (identityId !== undefined)
    query = query.where('delegations.identity_id', '=', storedText(identityId))
  const row = await query.executeTakeFirst()
  return row && toDelegation(row)
}

/**
 * Delegations, newest first.
 *
 * @throws TtsError `invalid_request` when `limit` is no positive integer or `after` names no delegation.
 */
export async function listDelegations(
  { reads }: Database,
  filter: DelegationFilter,
): Promise<readonly Delegation[]> {
  let query = selectDelegations(reads).limit(checkedLimit(filter.limit))
  if (filter.identityId !== undefined)
    query = query.where('delegations.identity_id', '=', storedText(filter.identityId))
  if (filter.state !== undefined) query = query.where('delegations.state', '=', filter.state)
  if (filter.after !== undefined) {
    const place = await findPlace(reads, filter.after)
    query = query.where((where) =>
      where(
        where.refTuple('delegations.created_at', 'delegations.id'),
        '<',
        where.tuple(place.created_at, place.id),
      ),
    )
  }
  const rows = await query
    .orderBy('delegations.created_at', 'desc')
    .orderBy('delegations.id', 'desc')
    .execute()
  return rows.map(toDelegation)
}

/** Ends a delegation that is active; answers what was held. */
export async function endDelegation(
  { writes, kind }: Database,
  masterKeys: MasterKeys,
  { id, end }: { readonly id: string; readonly end: DelegationEnd },
): Promise<{ readonly held: HeldRefreshToken | undefined } | undefined> {
  return await writes.transaction().execute(async (transaction) => {
    const row = await transaction
      .selectFrom('delegations')
      .select(['id', 'identity_id', 'sealed_custody', 'master_key_id'])
      .where('id', '=', storedText(id))
      .where('state', '=', 'active')
      .$if(kind === 'postgresql', (query) => query.forUpdate())
      .executeTakeFirst()
    if (row === undefined) return undefined
    const held = readable(masterKeys, row, end)
    if (end.onlyIfCurrent !== undefined && held?.current !== end.onlyIfCurrent) return undefined
    await transaction
      .updateTable('delegations')
      .set({
        state: end.state,
        ended_at: end.at.getTime(),
        end_reason: storedText(end.reason),
        sealed_custody: null,
        master_key_id: null,
      })
      .where('id', '=', row.id)
      .execute()
    await writeEntry(transaction, id, end.entry)
    return { held }
  })
}

/** A token that cannot be decrypted must not keep its delegation from being revoked. */
function readable(
  masterKeys: MasterKeys,
  row: Pick<DelegationRow, 'id' | 'identity_id' | 'sealed_custody' | 'master_key_id'>,
  end: DelegationEnd,
): HeldRefreshToken | undefined {
  try {
    return heldOf(masterKeys, row)
  } catch (error) {
    if (end.state === 'revoked' && error instanceof TtsError) return undefined
    throw error
  }
}

/** How many delegations there are in each state, and the first end that is still to come. */
export async function delegationCensus({ reads }: Database, now: Date): Promise<DelegationCensus> {
  const rows = await reads
    .selectFrom('delegations')
    .select(['state', ({ fn }) => fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute()
  const countOf = (state: string): number => rows.find((row) => row.state === state)?.count ?? 0
  const { first } = await reads
    .selectFrom('delegations')
    .select(({ fn }) => fn.min('renews_until').as('first'))
    .where('state', '=', 'active')
    .where('renews_until', '>', now.getTime())
    .executeTakeFirstOrThrow()
  return {
    counts: { active: countOf('active'), ended: countOf('ended'), revoked: countOf('revoked') },
    firstEnd: (first as number | null) === null ? undefined : new Date(first),
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

async function findPlace(
  reads: Kysely<Tables>,
  id: string,
): Promise<Pick<DelegationRow, 'created_at' | 'id'>> {
  const row = await reads
    .selectFrom('delegations')
    .select(['created_at', 'id'])
    .where('id', '=', storedText(id))
    .executeTakeFirst()
  if (row !== undefined) return row
  throw new TtsError('invalid_request', 'after names no delegation', { check: 'after' })
}
