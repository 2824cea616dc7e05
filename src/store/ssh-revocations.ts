import type { Database } from './schema/tables.ts'

/** How many SSH certificates were ever revoked. */
export async function countRevokedSsh({ reads }: Database): Promise<number> {
  const { count } = await reads
    .selectFrom('credentials')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('ssh_serial', 'is not', null)
    .where('revoked_at', 'is not', null)
    .executeTakeFirstOrThrow()
  return count
}

/** Rows at once: so many cross from the database's thread without holding up the event loop. */
const SERIALS_AT_ONCE = 10_000

/** Serial numbers of the revoked SSH certificates that have not ended, read in pages. */
export async function revokedSshSerials(
  { reads }: Database,
  now: Date,
): Promise<readonly bigint[]> {
  const serials: bigint[] = []
  let last = { not_after: now.getTime() + 1, id: '' }
  for (;;) {
    const rows = await reads
      .selectFrom('credentials')
      .select(['ssh_serial', 'not_after', 'id'])
      .where('ssh_serial', 'is not', null)
      .where('revoked_at', 'is not', null)
      .where((where) =>
        where(where.refTuple('not_after', 'id'), '>', where.tuple(last.not_after, last.id)),
      )
      .orderBy('not_after')
      .orderBy('id')
      .limit(SERIALS_AT_ONCE)
      .execute()
    for (const row of rows) serials.push(BigInt(row.ssh_serial ?? '0'))
    const end = rows.at(-1)
    if (end === undefined || rows.length < SERIALS_AT_ONCE) return serials
    last = { not_after: end.not_after ?? 0, id: end.id }
  }
}
