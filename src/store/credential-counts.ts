/** Numbers of credentials, for the limits of services. */
import type { Database } from './schema/tables.ts'
import { originalText, storedText } from './stored-text.ts'

/** How many listed credentials live, by service. */
export async function countCredentials(
  database: Database,
  identityId: string,
  activeAt: Date,
): Promise<ReadonlyMap<string, number>> {
  const counts = new Map<string, number>()
  for (const { service_id: id, live } of await countLive(database, { identityId }, activeAt)) {
    const serviceId = originalText(id)
    counts.set(serviceId, (counts.get(serviceId) ?? 0) + live)
  }
  return counts
}

/** How many listed credentials of one service live. */
export async function countServiceCredentials(
  database: Database,
  key: { readonly identityId: string; readonly serviceId: string },
  activeAt: Date,
): Promise<number> {
  const rows = await countLive(database, key, activeAt)
  return rows.reduce((sum, { live }) => sum + live, 0)
}

/**
 * Counts by service and EEC. Read from an index that has all that it needs, and with a service only its live part: the
 * two conditions on the end are two ranges of it. Revocations are looked up once for each EEC.
 */
async function countLive(
  { reads }: Database,
  { identityId, serviceId }: { readonly identityId: string; readonly serviceId?: string },
  activeAt: Date,
): Promise<readonly { readonly service_id: string; readonly live: number }[]> {
  const own = reads
    .selectFrom('credentials')
    .select(({ fn }) => ['service_id', 'end_entity_serial', fn.countAll<number>().as('live')])
    .where('identity_id', '=', storedText(identityId))
    .$if(serviceId !== undefined, (query) =>
      query.where('service_id', '=', storedText(serviceId ?? '')),
    )
    .where('revoked_at', 'is', null)
    .where('forgotten_at', 'is', null)
    .groupBy(['service_id', 'end_entity_serial'])
  return reads
    .selectFrom(
      own
        .where('not_after', '>', activeAt.getTime())
        .unionAll(own.where('not_after', 'is', null))
        .as('counted'),
    )
    .leftJoin('revocations', 'revocations.serial', 'counted.end_entity_serial')
    .select(['service_id', 'live'])
    .where('revocations.serial', 'is', null)
    .execute()
}
