/** Numbers of credentials, for the limits of services. */
import type { Database } from './schema/tables.ts'
import { originalText, storedText } from './stored-text.ts'

/** How many listed credentials live, by service. */
export async function countCredentials(
  { reads }: Database,
  identityId: string,
  activeAt: Date,
): Promise<ReadonlyMap<string, number>> {
  const rows = await reads
    .selectFrom('credentials')
    .leftJoin('revocations', 'revocations.serial', 'credentials.end_entity_serial')
    .select(({ fn }) => ['service_id', fn.countAll<number>().as('count')])
    .where('identity_id', '=', storedText(identityId))
    .where((where) =>
      where.or([where('not_after', 'is', null), where('not_after', '>', activeAt.getTime())]),
    )
    .where('revocations.serial', 'is', null)
    .where('credentials.revoked_at', 'is', null)
    .where('forgotten_at', 'is', null)
    .groupBy('service_id')
    .execute()
  return new Map(rows.map((row) => [originalText(row.service_id), row.count]))
}

/**
 * How many listed credentials of one service live. Read from an index that has all that it needs, and only its live
 * part: the two conditions on the end are two ranges of it. Revocations are looked up once for each EEC.
 */
export async function countServiceCredentials(
  { reads }: Database,
  { identityId, serviceId }: { readonly identityId: string; readonly serviceId: string },
  activeAt: Date,
): Promise<number> {
  const own = reads
    .selectFrom('credentials')
    .select(({ fn }) => ['end_entity_serial', fn.countAll<number>().as('live')])
    .where('identity_id', '=', storedText(identityId))
    .where('service_id', '=', storedText(serviceId))
    .where('revoked_at', 'is', null)
    .where('forgotten_at', 'is', null)
    .groupBy('end_entity_serial')
  const rows = await reads
    .selectFrom(
      own
        .where('not_after', '>', activeAt.getTime())
        .unionAll(own.where('not_after', 'is', null))
        .as('counted'),
    )
    .leftJoin('revocations', 'revocations.serial', 'counted.end_entity_serial')
    .select('live')
    .where('revocations.serial', 'is', null)
    .execute()
  return rows.reduce((sum, { live }) => sum + live, 0)
}
