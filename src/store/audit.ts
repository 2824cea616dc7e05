/** Reads the audit trail. */
import type { AuditFilter, NumberedAuditRecord } from '../domain/records.ts'
import { TtsError } from '../base/errors.ts'
import { checkedLimit } from './credentials.ts'
import type { Database } from './schema/tables.ts'
import { toAudit } from './schema/rows.ts'
import { storedText } from './stored-text.ts'

/**
 * Returns lines of the audit trail, newest first.
 *
 * @throws {TtsError} `invalid_request` (`after` is not the number of a line)
 */
export async function listAudit(
  { reads }: Database,
  filter: AuditFilter,
): Promise<readonly NumberedAuditRecord[]> {
  const { outcome, event, issuer, sub, address, serviceId, since, until, after } = filter
  const place = after === undefined ? undefined : await findLine({ reads }, after)
  const { clientId, subject } = filter
  const rows = await reads
    .selectFrom('audit')
    .selectAll()
    .$if(outcome !== undefined, (query) => query.where('outcome', '=', outcome ?? ''))
    .$if(event !== undefined, (query) => query.where('event', '=', storedText(event ?? '')))
    .$if(issuer !== undefined, (query) => query.where('issuer', '=', storedText(issuer ?? '')))
    .$if(sub !== undefined, (query) => query.where('sub', '=', storedText(sub ?? '')))
    .$if(address !== undefined, (query) => query.where('address', '=', storedText(address ?? '')))
    .$if(serviceId !== undefined, (query) =>
      query.where('service_id', '=', storedText(serviceId ?? '')),
    )
    .$if(since !== undefined, (query) => query.where('at', '>=', since?.getTime() ?? 0))
    .$if(until !== undefined, (query) => query.where('at', '<', until?.getTime() ?? 0))
    .$if(place !== undefined, (query) =>
      query.where((where) =>
        where(where.refTuple('at', 'id'), '<', where.tuple(place?.at ?? 0, place?.id ?? 0)),
      ),
    )
    .$if(subject !== undefined, (query) =>
      query.where((where) =>
        where.exists(
          where
            .selectFrom('identities')
            .select('identities.id')
            .where('subject', '=', storedText(subject ?? ''))
            .whereRef('identities.issuer', '=', 'audit.issuer')
            .whereRef('identities.sub', '=', 'audit.sub'),
        ),
      ),
    )
    .$if(clientId !== undefined, (query) =>
      query.where('credential_id', 'in', (credentials) =>
        credentials
          .selectFrom('credentials')
          .select('credentials.id')
          .where('client_id', '=', storedText(clientId ?? '')),
      ),
    )
    .orderBy('at', 'desc')
    .orderBy('id', 'desc')
    .limit(checkedLimit(filter.limit))
    .execute()
  return rows.map((row) => ({ ...toAudit(row), number: row.id }))
}

async function findLine(
  { reads }: Pick<Database, 'reads'>,
  id: number,
): Promise<{ readonly at: number; readonly id: number }> {
  const row = await reads
    .selectFrom('audit')
    .select(['at', 'id'])
    .where('id', '=', id)
    .executeTakeFirst()
  if (row !== undefined) return row
  throw new TtsError('invalid_request', 'after names no line of the audit trail', {
    check: 'after',
  })
}
