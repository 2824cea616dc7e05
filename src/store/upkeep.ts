import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Database } from './schema/tables.ts'

/** Rows that one statement removes, so that others get their turn between. */
const PRUNE_AT_ONCE = 1000

/** Removes the keys of EECs that ended, used proofs that are too old to be shown again, and old lines of all trails. */
export async function prune(database: Database, now: Date, auditBefore: Date): Promise<void> {
  const { writes } = database
  await writes.deleteFrom('end_entity_keys').where('not_after', '<=', now.getTime()).execute()
  await writes.deleteFrom('web_sessions').where('ends_at', '<=', now.getTime()).execute()
  await writes.deleteFrom('used_proofs').where('expires_at', '<=', now.getTime()).execute()
  await writes.deleteFrom('pickups').where('expires_at', '<=', now.getTime()).execute()
  await pruneTrail(database, 'audit', auditBefore)
  await pruneTrail(database, 'delegation_events', auditBefore)
  await writes
    .deleteFrom('delegations')
    .where('ended_at', '<', auditBefore.getTime())
    .where((where) =>
      where.not(
        where.exists(
          where
            .selectFrom('delegation_events')
            .select('delegation_events.id')
            .whereRef('delegation_events.delegation_id', '=', 'delegations.id'),
        ),
      ),
    )
    .execute()
}

async function pruneTrail(
  { writes }: Database,
  table: 'audit' | 'delegation_events',
  before: Date,
): Promise<void> {
  for (;;) {
    const { numDeletedRows } = await writes
      .deleteFrom(table)
      .where('id', 'in', (old) =>
        old
          .selectFrom(table)
          .select('id')
          .where('at', '<', before.getTime())
          .orderBy('at')
          .limit(PRUNE_AT_ONCE),
      )
      .executeTakeFirstOrThrow()
    if (numDeletedRows < PRUNE_AT_ONCE) return
    await nextTurn()
  }
}

/** Writes to the database: reading alone would not notice a full disk or a read-only replica. */
export async function beat({ writes }: Database, now: Date): Promise<void> {
  const at = now.getTime()
  await writes
    .insertInto('heartbeat')
    .values({ id: 1, at })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ at }))
    .execute()
}
