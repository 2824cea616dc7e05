/**
 * What happens to delegations over time: the lines of their ledgers, the notices before their ends, and the ends that
 * are due.
 */
import type { ExpressionBuilder } from 'kysely'
import {
  type Delegation,
  type DelegationCensus,
  type DelegationEvent,
  type forecastDays,
  type LedgerEntry,
} from '../../domain/delegations/records.ts'
import { checkedLimit } from '../credentials.ts'
import {
  entryStatements,
  selectDelegations,
  toDelegation,
  toDelegationEvent,
  writeEntry,
} from './rows.ts'
import { storedText } from '../stored-text.ts'
import type { Database, Tables } from '../schema/tables.ts'

/** Writes the line of a ledger in a transaction of its own. */
export async function addEvent(
  { writes, transact }: Database,
  id: string,
  entry: LedgerEntry,
): Promise<void> {
  await transact(entryStatements(writes, id, entry))
}

/** Notes that a delegation was used. */
export async function markUsed(
  { writes, transact }: Database,
  id: string,
  entry: LedgerEntry,
): Promise<void> {
  const used = writes
    .updateTable('delegations')
    .set({ last_used_at: entry.event.at.getTime() })
    .where('id', '=', storedText(id))
  await transact([used.compile(), ...entryStatements(writes, id, entry)])
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

/** Delegations that one round of the watch looks at; the rest come in the next. */
const AT_ONCE = 100

/** Active delegations that are older than they may be, or were left unused past their forecast end. */
export async function overdueDelegations(
  { reads }: Database,
  { madeBefore, endedBefore }: { readonly madeBefore: Date; readonly endedBefore: Date },
): Promise<readonly Delegation[]> {
  const rows = await selectDelegations(reads)
    .where('delegations.state', '=', 'active')
    .where((where) =>
      where.or([
        where('delegations.created_at', '<', madeBefore.getTime()),
        where('delegations.renews_until', '<', endedBefore.getTime()),
      ]),
    )
    .orderBy('delegations.renews_until')
    .limit(AT_ONCE)
    .execute()
  return rows.map(toDelegation)
}

/** Active delegations that end soon and of whose end nobody has been told. */
export async function delegationsDueForNotice(
  { reads }: Database,
  { now, before }: { readonly now: Date; readonly before: Date },
): Promise<readonly Delegation[]> {
  const rows = await selectDelegations(reads)
    .where('delegations.state', '=', 'active')
    .where('delegations.renews_until', '>', now.getTime())
    .where('delegations.renews_until', '<=', before.getTime())
    .where((where) => noticeIsDue(where, now))
    .orderBy('delegations.renews_until')
    .limit(AT_ONCE)
    .execute()
  return rows.map(toDelegation)
}

/** The notice of this end was not given, and no other process is about to give it. */
function noticeIsDue(where: ExpressionBuilder<Tables, 'delegations'>, now: Date) {
  return where.and([
    where.or([
      where('delegations.notice_given_for', 'is', null),
      where('delegations.notice_given_for', '!=', where.ref('delegations.renews_until')),
    ]),
    where.or([
      where('delegations.notice_claimed_until', 'is', null),
      where('delegations.notice_claimed_until', '<=', now.getTime()),
    ]),
  ])
}

/** True for the one process that may give the notice of this end now. */
export async function claimNotice(
  { writes }: Database,
  { id, renewsUntil }: Delegation,
  { now, until }: { readonly now: Date; readonly until: Date },
): Promise<boolean> {
  const claimed = await writes
    .updateTable('delegations')
    .set({ notice_claimed_until: until.getTime() })
    .where('id', '=', storedText(id))
    .where('state', '=', 'active')
    .where('renews_until', '=', renewsUntil.getTime())
    .where((where) => noticeIsDue(where, now))
    .returning('id')
    .execute()
  return claimed.length > 0
}

/** Notes that the notice of this end was given. */
export async function noticeGiven(
  { writes }: Database,
  { id, renewsUntil }: Delegation,
  entry: LedgerEntry,
): Promise<void> {
  await writes.transaction().execute(async (transaction) => {
    await transaction
      .updateTable('delegations')
      .set({ notice_given_for: renewsUntil.getTime(), notice_claimed_until: null })
      .where('id', '=', storedText(id))
      .execute()
    await writeEntry(transaction, id, entry)
  })
}

const DAY_MS = 86_400_000

/** How many delegations there are in each state, and the first end that is still to come. */
export async function delegationCensus({ reads }: Database, now: Date): Promise<DelegationCensus> {
  const rows = await reads
    .selectFrom('delegations')
    .select(['state', ({ fn }) => fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute()
  const countOf = (state: string): number => rows.find((row) => row.state === state)?.count ?? 0
  const ends = await reads
    .selectFrom('delegations')
    .select(({ fn }) => {
      const within = (days: (typeof forecastDays)[number]) =>
        fn.countAll<number>().filterWhere('renews_until', '<=', now.getTime() + days * DAY_MS)
      return [
        fn.min('renews_until').as('first'),
        within(1).as('day'),
        within(3).as('threeDays'),
        within(7).as('week'),
        within(30).as('month'),
      ]
    })
    .where('state', '=', 'active')
    .where('renews_until', '>', now.getTime())
    .executeTakeFirstOrThrow()
  return {
    counts: { active: countOf('active'), ended: countOf('ended'), revoked: countOf('revoked') },
    ending: { 1: ends.day, 3: ends.threeDays, 7: ends.week, 30: ends.month },
    firstEnd: (ends.first as number | null) === null ? undefined : new Date(ends.first),
  }
}
