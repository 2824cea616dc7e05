/** The groups in the newest verified token of each identity. */
import type { LatestGroupRecords } from '../../domain/access-tokens/records.ts'
import { originalText, storedText } from '../stored-text.ts'
import type { Ask, Database } from '../schema/tables.ts'

/** The part of the store that keeps them. */
export function latestGroupRecords({ writes }: Database, ask: Ask): LatestGroupRecords {
  return {
    remember: (identityId, { groups, statedAt }) =>
      ask(async () => {
        const latest = {
          stated_at: statedAt.getTime(),
          groups: storedText(JSON.stringify(groups)),
        }
        await writes
          .insertInto('latest_groups')
          .values({ identity_id: storedText(identityId), ...latest })
          .onConflict((conflict) =>
            conflict
              .column('identity_id')
              .doUpdateSet(latest)
              .where('latest_groups.stated_at', '<=', latest.stated_at),
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
        return { groups, statedAt: new Date(row.stated_at) }
      }),
  }
}
