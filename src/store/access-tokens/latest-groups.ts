/** The groups in the newest verified token of each identity. */
import type { LatestGroupRecords } from '../../domain/access-tokens/records.ts'
import { originalText, storedText } from '../stored-text.ts'
import type { Ask, Database } from '../schema/tables.ts'

/** The part of the store that keeps them. */
export function latestGroupRecords({ writes }: Database, ask: Ask): LatestGroupRecords {
  return {
    remember: (identityId, { groups, seenAt }) =>
      ask(async () => {
        const latest = {
          seen_at: seenAt.getTime(),
          groups: storedText(JSON.stringify(groups)),
        }
        await writes
          .insertInto('latest_groups')
          .values({ identity_id: storedText(identityId), ...latest })
          .onConflict((conflict) =>
            conflict
              .column('identity_id')
              .doUpdateSet(latest)
              .where('latest_groups.seen_at', '<=', latest.seen_at),
          )
          .execute()
      }),
    // On the writing connection: SQLite's reader may still see the groups before the newest token.
    find: (identityId) =>
      ask(async () => {
        const row = await writes
          .selectFrom('latest_groups')
          .selectAll()
          .where('identity_id', '=', storedText(identityId))
          .executeTakeFirst()
        if (row === undefined) return undefined
        const groups = JSON.parse(originalText(row.groups)) as readonly string[]
        return { groups, seenAt: new Date(row.seen_at) }
      }),
  }
}
