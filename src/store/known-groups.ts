/** The groups in the newest token of each identity. */
import type { KnownGroups, KnownGroupsRecords } from '../domain/voms/records.ts'
import type { Ask, Database } from './schema/tables.ts'
import { originalText, storedText } from './stored-text.ts'

/** The part of the store that keeps groups. */
export function knownGroupsRecords(database: Database, ask: Ask): KnownGroupsRecords {
  return {
    remember: (identityId, known) => ask(() => remember(database, identityId, known)),
    find: (identityId) => ask(() => find(database, identityId)),
  }
}

async function remember(
  { writes }: Database,
  identityId: string,
  { statedAt, groups }: KnownGroups,
): Promise<void> {
  const row = {
    stated_at: statedAt.getTime(),
    groups: storedText(JSON.stringify(groups)),
  }
  await writes
    .insertInto('known_groups')
    .values({ identity_id: storedText(identityId), ...row })
    .onConflict((conflict) =>
      conflict
        .column('identity_id')
        .doUpdateSet(row)
        .where('known_groups.stated_at', '<=', row.stated_at),
    )
    .execute()
}

async function find({ writes }: Database, identityId: string): Promise<KnownGroups | undefined> {
  // On the writing connection: SQLite's reader may still see the groups of the token before.
  const row = await writes
    .selectFrom('known_groups')
    .selectAll()
    .where('identity_id', '=', storedText(identityId))
    .executeTakeFirst()
  return (
    row && {
      statedAt: new Date(row.stated_at),
      groups: JSON.parse(originalText(row.groups)) as KnownGroups['groups'],
    }
  )
}
