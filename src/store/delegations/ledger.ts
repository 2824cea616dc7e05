import type { Kysely } from 'kysely'
import type { DelegationEvent, LedgerEntry } from '../../domain/delegations/records.ts'
import { delegationEventRow, toDelegationEvent } from './rows.ts'
import { checkedLimit } from '../credentials.ts'
import { auditRow } from '../schema/rows.ts'
import { storedText } from '../stored-text.ts'
import type { Database, Tables } from '../schema/tables.ts'

/** Writes the line of a ledger and that of the audit trail, in the caller's transaction. */
export async function writeEntry(
  transaction: Kysely<Tables>,
  id: string,
  { event, audit }: LedgerEntry,
): Promise<void> {
  await transaction.insertInto('delegation_events').values(delegationEventRow(id, event)).execute()
  if (audit !== undefined) await transaction.insertInto('audit').values(auditRow(audit)).execute()
}

/** Writes the line of a ledger in a transaction of its own. */
export async function addEvent(
  { writes }: Database,
  id: string,
  entry: LedgerEntry,
): Promise<void> {
  await writes.transaction().execute(async (transaction) => writeEntry(transaction, id, entry))
}

/** Notes that a delegation was used. */
export async function markUsed(
  { writes }: Database,
  id: string,
  entry: LedgerEntry,
): Promise<void> {
  await writes.transaction().execute(async (transaction) => {
    await transaction
      .updateTable('delegations')
      .set({ last_used_at: entry.event.at.getTime() })
      .where('id', '=', storedText(id))
      .execute()
    await writeEntry(transaction, id, entry)
  })
}

/** The newest lines of a ledger, newest first. */
export async function listEvents(
  { reads }: Database,
  id: string,
  limit: number,
): Promise<readonly DelegationEvent[]> {
  const rows = await reads
    .selectFrom('delegation_events')
    .selectAll()
    .where('delegation_id', '=', storedText(id))
    .orderBy('at', 'desc')
    .orderBy('id', 'desc')
    .limit(checkedLimit(limit))
    .execute()
  return rows.map(toDelegationEvent)
}
