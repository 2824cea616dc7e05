/** Reads all rows of the records in one snapshot, and writes them into an empty database of either kind. */
import { DatabaseSync } from 'node:sqlite'
import { CompiledQuery, Migrator, sql, type Transaction } from 'kysely'
import { TtsError } from '../base/errors.ts'
import type { StoreSettings } from '../config/store-schema.ts'
import type { AuthorityKind } from '../domain/installation.ts'
import { openDatabase } from './open-database.ts'
import { createServers } from './postgres/servers.ts'
import { storeError } from './store-error.ts'
import { schemaMigrations } from './schema/migrations.ts'
import type { Database, DatabaseKind, Tables } from './schema/tables.ts'

/** A value of a row, as both databases return it. */
export type ColumnValue = string | number | null | Uint8Array

/** A row of a table. */
export interface BackupRow {
  readonly table: string
  readonly values: Readonly<Record<string, ColumnValue>>
}

/**
 * The tables that are backed up, in an order that satisfies the foreign keys. Left out are logins and answers that wait
 * to be picked up, which are short-lived, and the heartbeat. A new table belongs here, or in the test's list.
 */
export const BACKED_UP_TABLES = [
  'identities',
  'certificates',
  'end_entity_keys',
  'credentials',
  'revocations',
  'audit',
  'crls',
  'crl_parts',
  'delegations',
  'delegation_events',
  'used_proofs',
  'installation_keys',
  'bans',
  'banned_identities',
  'token_keys',
  'known_groups',
  'archived_counts',
] as const
/** Tables whose numbers the database makes. */
export const NUMBERED_TABLES: ReadonlySet<string> = new Set(['audit', 'delegation_events'])
const ROWS_A_FETCH = 500
const MAX_PARAMETERS = 5000

/** A consistent view of the database. */
export interface Snapshot {
  /** Name of the newest schema change. */
  readonly schema: string
  /** The kinds of CA that the rows belong to. */
  readonly authorities: readonly AuthorityKind[]
  readonly rows: AsyncIterable<BackupRow>
  close(): Promise<void>
}

/**
 * Opens a snapshot. The service may go on working.
 *
 * @param settings `path` is absolute
 * @throws {TtsError} `store_unavailable`; `configuration`, check `no_records` (the service was never started) or
 *   `schema_version` (another version made the tables)
 */
export async function openSnapshot(settings: StoreSettings): Promise<Snapshot> {
  try {
    return settings.url === undefined
      ? sqliteSnapshot(settings.path)
      : await postgresSnapshot({
          url: settings.url,
          timeoutMs: Math.round(settings.timeout_seconds * 1000),
        })
  } catch (error) {
    throw storeError(error)
  }
}

const NEWEST_SCHEMA = 'select name from kysely_migration order by name desc limit 1'
const CURRENT_AUTHORITIES = `select kind from installation_keys where state = 'current' and kind in ('x509-ca', 'ssh-ca')`

function sqliteSnapshot(path: string): Snapshot {
  const database = new DatabaseSync(path, { readOnly: true, timeout: 5000 })
  try {
    database.exec('begin')
    return snapshotOf(database)
  } catch (error) {
    database.close()
    throw error
  }
}

function snapshotOf(database: DatabaseSync): Snapshot {
  const schema = currentSchema(database.prepare(NEWEST_SCHEMA).get()?.['name'], 'sqlite')
  const authorities = database.prepare(CURRENT_AUTHORITIES).all()
  async function* rows(): AsyncGenerator<BackupRow> {
    for (const table of BACKED_UP_TABLES)
      for (const values of database.prepare(`select * from ${table}`).iterate())
        yield { table, values: values as BackupRow['values'] }
  }
  return {
    schema,
    authorities: authorities.map(({ kind }) => kind as AuthorityKind),
    rows: rows(),
    close: async () => database.close(),
  }
}

async function postgresSnapshot(connection: {
  readonly url: string
  readonly timeoutMs: number
}): Promise<Snapshot> {
  const { client } = await createServers(connection).connect()
  try {
    await client.query('begin isolation level repeatable read read only')
    const { rows: newest } = await client.query<{ name: string }>(NEWEST_SCHEMA)
    const schema = currentSchema(newest[0]?.name, 'postgresql')
    const { rows: kinds } = await client.query<{ kind: AuthorityKind }>(CURRENT_AUTHORITIES)
    async function* rows(): AsyncGenerator<BackupRow> {
      for (const table of BACKED_UP_TABLES) {
        await client.query(`declare backup cursor for select * from ${table}`)
        for (;;) {
          const { rows: page } = await client.query<BackupRow['values']>(
            `fetch ${ROWS_A_FETCH} from backup`,
          )
          for (const values of page) yield { table, values }
          if (page.length === 0) break
        }
        await client.query('close backup')
      }
    }
    return {
      schema,
      authorities: kinds.map(({ kind }) => kind),
      rows: rows(),
      close: async () => client.end(),
    }
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
}

/** Refuses a database that has not the tables of this version. */
function currentSchema(name: unknown, kind: DatabaseKind): string {
  if (typeof name !== 'string')
    throw new TtsError('configuration', 'the database has no records yet', { check: 'no_records' })
  const known = Object.keys(schemaMigrations(kind)).toSorted()
  if (name === known.at(-1)) return name
  const [other, remedy] = known.includes(name)
    ? [
        'an earlier',
        'Make the backup with that version, or start `tts serve` of this one once, which brings the tables up to date.',
      ]
    : ['a newer', 'Make the backup with that version.']
  throw new TtsError(
    'configuration',
    `the database has the tables of ${other} version of this program (schema change ${name})`,
    { check: 'schema_version', remedy },
  )
}

/** What a database gets from a backup. */
export interface RestoredContent {
  /** Name of the newest schema change when the backup was made. */
  readonly schema: string
  readonly rows: AsyncIterable<BackupRow>
  /**
   * Writes what belongs to the rows, after all of them and before they are kept. Returns how to undo it, which is done
   * when the rows cannot be kept.
   */
  readonly besides: () => Promise<() => Promise<void>>
}

/**
 * Writes rows into an empty database, all of them or none, and brings its schema to this version.
 *
 * @param settings `path` is absolute
 * @throws {TtsError} `conflict`, check `not_empty`; `configuration`, check `schema_version` (a newer version made the
 *   backup); `store_unavailable`
 */
export async function restoreRows(
  settings: StoreSettings,
  content: RestoredContent,
): Promise<void> {
  const database = await openDatabase(settings)
  try {
    await migrateTo(database, content.schema)
    await restoreAll(database, content)
    await migrateTo(database, undefined)
  } catch (error) {
    throw storeError(error)
  } finally {
    await database.destroy()
  }
}

async function restoreAll(
  { kind, writes }: Database,
  { rows, besides }: RestoredContent,
): Promise<void> {
  let undo = async (): Promise<void> => undefined
  try {
    await writes.transaction().execute(async (transaction) => {
      await refuseFilled(transaction)
      await insertAll(transaction, kind, rows)
      undo = await besides()
    })
  } catch (error) {
    await undo()
    throw error
  }
}

async function migrateTo({ kind, writes }: Database, schema: string | undefined): Promise<void> {
  const migrations = schemaMigrations(kind)
  if (schema !== undefined && !(schema in migrations))
    throw new TtsError(
      'configuration',
      `a newer version of this program made the backup (it has the schema change ${schema})`,
      { check: 'schema_version', remedy: 'Restore it with that version, or a later one.' },
    )
  const migrator = new Migrator({
    db: writes,
    provider: { getMigrations: () => Promise.resolve(migrations) },
  })
  const { error } =
    schema === undefined ? await migrator.migrateToLatest() : await migrator.migrateTo(schema)
  if (error !== undefined) throw storeError(error)
}

async function refuseFilled(transaction: Transaction<Tables>): Promise<void> {
  for (const table of ['identities', 'audit', 'crls'] as const) {
    const row = await sql`select 1 from ${sql.table(table)} limit 1`.execute(transaction)
    if (row.rows.length > 0)
      throw new TtsError('conflict', 'the database is not empty; nothing was restored', {
        check: 'not_empty',
        remedy: 'Restore into a new, empty database: set store.path or store.url.',
      })
  }
}

async function insertAll(
  transaction: Transaction<Tables>,
  kind: DatabaseKind,
  rows: AsyncIterable<BackupRow>,
): Promise<void> {
  let table = ''
  let page: BackupRow['values'][] = []
  const flush = async (): Promise<void> => {
    if (page.length > 0) await insertPage(transaction, kind, { table, page })
    page = []
  }
  for await (const row of rows) {
    const columns = Object.keys(row.values).length
    if (row.table !== table || (page.length + 1) * columns > MAX_PARAMETERS) await flush()
    if (!BACKED_UP_TABLES.some((known) => known === row.table))
      throw new TtsError('configuration', `the backup has the unknown table ${row.table}`)
    table = row.table
    page.push(row.values)
  }
  await flush()
  if (kind === 'sqlite') return
  // The next line must not get a number that is used already.
  for (const numbered of NUMBERED_TABLES)
    await transaction.executeQuery(
      CompiledQuery.raw(
        `select setval(pg_get_serial_sequence('${numbered}', 'id'), (select coalesce(max(id), 0) + 1 from ${numbered}), false)`,
      ),
    )
}

async function insertPage(
  transaction: Transaction<Tables>,
  kind: DatabaseKind,
  { table, page }: { readonly table: string; readonly page: readonly BackupRow['values'][] },
): Promise<void> {
  const columns = Object.keys(page[0] ?? {})
  const names = columns.map((name) => `"${name.replaceAll('"', '""')}"`).join(', ')
  const isPostgres = kind === 'postgresql'
  const placeholders = page.map((_row, line) => {
    const marks = columns.map((_name, column) =>
      isPostgres ? `$${line * columns.length + column + 1}` : '?',
    )
    return `(${marks.join(', ')})`
  })
  const numbers = isPostgres && NUMBERED_TABLES.has(table) ? 'overriding system value ' : ''
  await transaction.executeQuery(
    CompiledQuery.raw(
      `insert into "${table}" (${names}) ${numbers}values ${placeholders.join(', ')}`,
      page.flatMap((values) => columns.map((name) => values[name] ?? null)),
    ),
  )
}
