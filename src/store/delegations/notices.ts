import type { Delegation, LedgerEntry } from '../../domain/delegations/records.ts'
import { writeEntry } from './ledger.ts'
import { toDelegation } from './rows.ts'
import { selectDelegations } from './delegations.ts'
import { storedText } from '../stored-text.ts'
import type { Database } from '../schema/tables.ts'

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
    .where((where) =>
      where.or([
        where('delegations.notice_given_for', 'is', null),
        where('delegations.notice_given_for', '!=', where.ref('delegations.renews_until')),
      ]),
    )
    .where((where) =>
      where.or([
        where('delegations.notice_claimed_until', 'is', null),
        where('delegations.notice_claimed_until', '<=', now.getTime()),
      ]),
    )
    .orderBy('delegations.renews_until')
    .limit(AT_ONCE)
    .execute()
  return rows.map(toDelegation)
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
    .where((where) =>
      where.or([
        where('notice_given_for', 'is', null),
        where('notice_given_for', '!=', renewsUntil.getTime()),
      ]),
    )
    .where((where) =>
      where.or([
        where('notice_claimed_until', 'is', null),
        where('notice_claimed_until', '<=', now.getTime()),
      ]),
    )
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
