import type { Insertable, Transaction } from 'kysely'
import { TtsError } from '../../base/errors.ts'
import type { TransactionStep } from '../sqlite/sqlite-connection.ts'
import { isDataError, storeError } from '../store-error.ts'
import type {
  CertificateRow,
  CredentialRow,
  Database,
  EndEntityKeyRow,
  AuditRow,
  Tables,
} from '../schema/tables.ts'

/** The rows of one entry; all of them become durable or none. */
export interface RecordEntry {
  readonly certificates: readonly CertificateRow[]
  readonly endEntityKeys: readonly EndEntityKeyRow[]
  readonly credentials: readonly CredentialRow[]
  readonly audit: readonly Insertable<AuditRow>[]
}

/** SQLite takes 32,766 variables in a statement, PostgreSQL 65,535; our widest table has 19 columns. */
const ROWS_A_STATEMENT = 500

/**
 * Writes entries in one transaction. What is wrong with one entry is answered for that entry alone.
 *
 * @returns for each entry its error, or undefined when it is durable.
 * @throws whatever the database throws when it fails as a whole.
 */
export async function commitEntries(
  database: Database,
  entries: readonly RecordEntry[],
): Promise<readonly (TtsError | undefined)[]> {
  try {
    await insertEntries(database, entries)
    return entries.map(() => undefined)
  } catch (error) {
    if (error instanceof RevokedEndEntities)
      return await commitWithout(database, entries, error.serials)
    if (!isDataError(error)) throw error
    if (entries.length === 1) return [storeError(error)]
  }
  // Halving finds one bad entry among 256 in 16 transactions instead of 256.
  const middle = Math.ceil(entries.length / 2)
  const first = await commitEntries(database, entries.slice(0, middle))
  return [...first, ...(await commitEntries(database, entries.slice(middle)))]
}

/** Undoes the transaction; the entries under these EECs are then left out. */
class RevokedEndEntities extends Error {
  readonly serials: ReadonlySet<string>

  constructor(serials: readonly string[]) {
    super('revoked')
    this.serials = new Set(serials)
  }
}

async function insertEntries(database: Database, entries: readonly RecordEntry[]): Promise<void> {
  if (database.transact !== undefined) {
    const revoked = (await database.transact(transactionOf(entries))) as { serial: string }[]
    if (revoked.length > 0) throw new RevokedEndEntities(revoked.map((row) => row.serial))
    return
  }
  const credentials = entries.flatMap((entry) => entry.credentials)
  await database.writes.transaction().execute(async (transaction) => {
    await insertRows(
      transaction,
      'certificates',
      entries.flatMap((entry) => entry.certificates),
    )
    await insertRows(
      transaction,
      'end_entity_keys',
      entries.flatMap((entry) => entry.endEntityKeys),
    )
    await insertRows(transaction, 'credentials', credentials)
    await insertRows(
      transaction,
      'audit',
      entries.flatMap((entry) => entry.audit),
    )
    // After the insert: its foreign key holds the EEC's row against a revocation under way (which locks that row), so
    // either this sees the revocation or the revocation sees the credentials.
    await refuseRevoked(transaction, credentials)
  })
}

/** The same transaction as its steps, with the statements written out: making them anew for each batch costs more than the inserts. */
function transactionOf(entries: readonly RecordEntry[]): readonly TransactionStep[] {
  const credentials = entries.flatMap((entry) => entry.credentials)
  const serials = endEntitySerialsOf(credentials)
  return [
    ...insertStep(
      'certificates',
      entries.flatMap((entry) => entry.certificates),
    ),
    ...insertStep(
      'end_entity_keys',
      entries.flatMap((entry) => entry.endEntityKeys),
    ),
    ...insertStep('credentials', credentials),
    ...insertStep(
      'audit',
      entries.flatMap((entry) => entry.audit),
    ),
    {
      sql: 'select serial from revocations where serial = ?',
      rows: [...serials].map((serial) => [serial]),
      refuses: true,
    },
  ]
}

function insertStep(table: RecordTable, rows: readonly object[]): readonly TransactionStep[] {
  const [first] = rows
  if (first === undefined) return []
  const columns = Object.keys(first)
  const names = columns.map((column) => `"${column}"`).join(', ')
  const marks = columns.map(() => '?').join(', ')
  return [
    {
      sql: `insert into "${table}" (${names}) values (${marks})`,
      rows: rows.map((row) => columns.map((column) => (row as Record<string, unknown>)[column])),
    },
  ]
}

type RecordTable = 'certificates' | 'end_entity_keys' | 'credentials' | 'audit'

async function insertRows<Table extends RecordTable>(
  transaction: Transaction<Tables>,
  table: Table,
  rows: readonly Insertable<Tables[Table]>[],
): Promise<void> {
  for (let start = 0; start < rows.length; start += ROWS_A_STATEMENT) {
    await transaction
      .insertInto(table)
      .values(rows.slice(start, start + ROWS_A_STATEMENT))
      .execute()
  }
}

async function refuseRevoked(
  transaction: Transaction<Tables>,
  credentials: readonly CredentialRow[],
): Promise<void> {
  const serials = endEntitySerialsOf(credentials)
  if (serials.size === 0) return
  const revoked = await transaction
    .selectFrom('revocations')
    .select('serial')
    .where('serial', 'in', [...serials])
    .execute()
  if (revoked.length > 0) throw new RevokedEndEntities(revoked.map((row) => row.serial))
}

function endEntitySerialsOf(credentials: readonly CredentialRow[]): ReadonlySet<string> {
  const serials = credentials.map((credential) => credential.end_entity_serial)
  return new Set(serials.filter((serial) => serial !== null))
}

async function commitWithout(
  database: Database,
  entries: readonly RecordEntry[],
  revoked: ReadonlySet<string>,
): Promise<readonly (TtsError | undefined)[]> {
  const isRevoked = (entry: RecordEntry): boolean =>
    [...endEntitySerialsOf(entry.credentials)].some((serial) => revoked.has(serial))
  const live = entries.filter((entry) => !isRevoked(entry))
  const outcomes = live.length === 0 ? [] : await commitEntries(database, live)
  const outcomeOf = new Map(live.map((entry, index) => [entry, outcomes[index]]))
  return entries.map((entry) =>
    isRevoked(entry)
      ? new TtsError('conflict', 'The certificate that this would stand on has been revoked', {
          check: 'end_entity_revoked',
        })
      : outcomeOf.get(entry),
  )
}
