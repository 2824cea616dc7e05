/** The part of the store that keeps delegations. */
import type { Kysely } from 'kysely'
import type {
  Delegation,
  DelegationEnd,
  DelegationFilter,
  DelegationRecords,
  LedgerEntry,
  LockedRefreshToken,
  NewDelegation,
} from '../../domain/delegations/records.ts'
import { TtsError } from '../../base/errors.ts'
import type { HeldRefreshToken } from '../../grants/refresh-token.ts'
import { checkedLimit, placeAfter } from '../credentials.ts'
import type { MasterKeys } from '../encryption/master-keys.ts'
import {
  delegationRow,
  entryStatements,
  heldOf,
  type RefreshTokenOwner,
  tokenOwnerOf,
  refreshTokenColumns,
  rotatesColumn,
  selectDelegations,
  toDelegation,
  writeEntry,
} from './rows.ts'
import { storeError } from '../store-error.ts'
import { storedText } from '../stored-text.ts'
import type { Ask, Database, DelegationRow, Tables } from '../schema/tables.ts'
import {
  addEvent,
  claimNotice,
  delegationCensus,
  delegationsDueForNotice,
  listEvents,
  markUsed,
  noticeGiven,
  overdueDelegations,
} from './events.ts'

/** The part of the store that keeps delegations. */
export function delegationRecords(
  database: Database,
  masterKeys: MasterKeys,
  ask: Ask,
): DelegationRecords {
  return {
    create: (delegation, entry, maximum) =>
      ask(() => createDelegation(database, masterKeys, { delegation, entry, maximum })),
    find: (id, identityId) => ask(() => findDelegation(database, id, identityId)),
    list: (filter) => ask(() => listDelegations(database, filter)),
    events: (id, limit) => ask(() => listEvents(database, id, limit)),
    addEvent: (id, entry) => ask(() => addEvent(database, id, entry)),
    used: (id, entry) => ask(() => markUsed(database, id, entry)),
    end: (id, end) => ask(() => endDelegation(database, masterKeys, { id, end })),
    withRefreshToken: async (id, work, waitMs) => {
      const locked = lockedRefreshToken(database, masterKeys, id)
      // Not one question with a deadline: the work waits for the provider. Each question in it has its own.
      return database.refreshLocks
        .run(
          `delegation ${id}`,
          () =>
            work({
              load: () => ask(() => locked.load()),
              save: (held, about) => ask(() => locked.save(held, about)),
            }),
          waitMs,
        )
        .catch((error: unknown) => {
          throw storeError(error)
        })
    },
    census: (now) => ask(() => delegationCensus(database, now)),
    overdue: (bounds) => ask(() => overdueDelegations(database, bounds)),
    dueForNotice: (now, before) => ask(() => delegationsDueForNotice(database, { now, before })),
    claimNotice: (delegation, claim) => ask(() => claimNotice(database, delegation, claim)),
    noticeGiven: (delegation, entry) => ask(() => noticeGiven(database, delegation, entry)),
  }
}

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
    {
      check: 'delegations_per_identity',
      remedy: 'Raise delegations.maximum_per_identity if identities may have more delegations.',
    },
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
  if (filter.ends !== undefined)
    query = query
      .where('delegations.state', '=', 'active')
      .where('delegations.renews_until', '>', filter.ends.after.getTime())
      .where('delegations.renews_until', '<=', filter.ends.until.getTime())
  if (filter.after !== undefined) {
    const { at, id } = await placeAfter(filter.after, (id) => findPlace(reads, id))
    query = query.where((where) =>
      where(
        where.refTuple('delegations.created_at', 'delegations.id'),
        '<',
        where.tuple(at, storedText(id)),
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

async function findPlace(reads: Kysely<Tables>, id: string): Promise<number> {
  const row = await reads
    .selectFrom('delegations')
    .select('created_at')
    .where('id', '=', storedText(id))
    .executeTakeFirst()
  if (row !== undefined) return row.created_at
  throw new TtsError('invalid_request', 'after names no delegation', { check: 'after' })
}

/** Reads and replaces the refresh token of one delegation; the caller holds its lock. */
export function lockedRefreshToken(
  database: Database,
  masterKeys: MasterKeys,
  id: string,
): LockedRefreshToken {
  const active = database.writes
    .selectFrom('delegations')
    .select(['id', 'identity_id', 'sealed_custody', 'master_key_id'])
    .where('id', '=', storedText(id))
    .where('state', '=', 'active')
  /** It never changes. */
  let owner: RefreshTokenOwner | undefined
  return {
    load: async () => {
      // On the writing connection: SQLite's reader may still look at the state before.
      const row = await active.executeTakeFirst()
      owner = row && tokenOwnerOf(row)
      return row && heldOf(masterKeys, row)
    },
    save: async (held, about) => {
      const row = owner === undefined ? await active.executeTakeFirst() : undefined
      owner ??= row && tokenOwnerOf(row)
      return (
        owner !== undefined && saveRefreshToken(database, masterKeys, { owner, held, ...about })
      )
    },
  }
}

interface RefreshTokenToSave {
  readonly owner: RefreshTokenOwner
  readonly held: HeldRefreshToken
  readonly renewsUntil: Date
  readonly entry?: LedgerEntry
}

/** Returns false, and writes nothing, if the delegation is not active any more. */
async function saveRefreshToken(
  { writes, transact }: Database,
  masterKeys: MasterKeys,
  { owner, held, renewsUntil, entry }: RefreshTokenToSave,
): Promise<boolean> {
  const id = storedText(owner.id)
  const save = writes
    .updateTable('delegations')
    .set({
      ...refreshTokenColumns(masterKeys, owner, held),
      renews_until: renewsUntil.getTime(),
      rotates: rotatesColumn(held),
    })
    .where('id', '=', id)
    .where('state', '=', 'active')
  // After the update, which locks an active row: nobody can end it between.
  const active = writes
    .selectFrom('delegations')
    .select('id')
    .where('id', '=', id)
    .where('state', '=', 'active')
  const ended = writes
    .selectNoFrom((select) => select.lit(1).as('ended'))
    .where((where) => where.not(where.exists(active)))
  const entries = entry === undefined ? [] : entryStatements(writes, owner.id, entry)
  const found = await transact([save.compile(), ...entries], ended.compile())
  return found.length === 0
}
