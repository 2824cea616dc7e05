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

/** How many listed credentials of one service live; read from an index by identity, service and end. */
export async function countServiceCredentials(
  { reads }: Database,
  { identityId, serviceId }: { readonly identityId: string; readonly serviceId: string },
  activeAt: Date,
): Promise<number> {
  const { count } = await reads
    .selectFrom('credentials')
    .leftJoin('revocations', 'revocations.serial', 'credentials.end_entity_serial')
    .select(({ fn }) => fn.countAll<number>().as('count'))
    .where('identity_id', '=', storedText(identityId))
    .where('service_id', '=', storedText(serviceId))
    .where((where) =>
      where.or([where('not_after', 'is', null), where('not_after', '>', activeAt.getTime())]),
    )
    .where('revocations.serial', 'is', null)
    .where('credentials.revoked_at', 'is', null)
    .where('forgotten_at', 'is', null)
    .executeTakeFirstOrThrow()
  return count
}
