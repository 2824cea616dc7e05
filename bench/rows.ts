/**
 * Fills the records as a year of use does: credentials with their proxies and audit lines, of many identities, under
 * EECs that have ended, whose keys the service has removed. SQL makes the rows inside the database.
 */
import { DatabaseSync } from 'node:sqlite'
import { setImmediate as nextTurn } from 'node:timers/promises'
import pg from 'pg'
import type { StoreKind } from './options.ts'

const CREDENTIALS_PER_EEC = 20
const EECS_PER_IDENTITY = 5
const DAY_MS = 86_400_000

/** What the two databases say differently. */
interface Dialect {
  /** 32 random hexadecimal digits, others for each row. */
  readonly randomHex: string
  /** A table `series` with a column `n` from 1 to `count`. */
  readonly series: (count: number) => string
  /** A random integer from 0 to 999. */
  readonly randomThousand: string
}

const dialects: Readonly<Record<StoreKind, Dialect>> = {
  sqlite: {
    randomHex: 'lower(hex(randomblob(16)))',
    series: (count) =>
      `(with recursive s(n) as (select 1 union all select n + 1 from s where n < ${count}) select n from s) series`,
    randomThousand: 'abs(random() % 1000)',
  },
  postgres: {
    randomHex: "replace(gen_random_uuid()::text, '-', '')",
    series: (count) => `generate_series(1, ${count}) series(n)`,
    randomThousand: 'floor(random() * 1000)::int',
  },
}

export interface RowOptions {
  /** Credentials; as many proxies and audit lines. */
  readonly count: number
  /** Issuer of the identities. */
  readonly issuer: string
  /** End of the year, in milliseconds since the epoch. */
  readonly now: number
}

/** Returns the statements that make the rows, for a schema that exists. */
export function rowStatements(kind: StoreKind, options: RowOptions): readonly string[] {
  const eecs = Math.ceil(options.count / CREDENTIALS_PER_EEC)
  const identities = Math.ceil(eecs / EECS_PER_IDENTITY)
  return [
    ...identityStatements(dialects[kind], { ...options, identities }),
    ...eecStatements(dialects[kind], { ...options, identities, eecs }),
    ...credentialStatements(dialects[kind], options),
    ...['fill_identities', 'fill_eecs', 'fill_credentials'].map((table) => `drop table ${table}`),
  ]
}

function identityStatements(
  { randomHex, series }: Dialect,
  { issuer, now, identities }: RowOptions & { readonly identities: number },
): readonly string[] {
  const subject = "'/C=EU/O=INDIGO/OU=TTS/CN=' || id || '@iam'"
  return [
    'create temporary table fill_identities (n integer primary key, id text not null)',
    `insert into fill_identities select n, ${uuid('h')} from (select n, ${randomHex} as h from ${series(identities)}) r`,
    `insert into identities (id, issuer, sub, subject, comparable, created_at, groups)
       select id, '${issuer}', id, ${subject}, lower(${subject}), ${now - 365 * DAY_MS}, '{"cms":20000}' from fill_identities`,
  ]
}

/** EECs that began one after another, the last one twelve days ago: each lasts eleven days. */
function eecStatements(
  { randomHex, series }: Dialect,
  { now, identities, eecs }: RowOptions & { readonly identities: number; readonly eecs: number },
): readonly string[] {
  const begin = now - 365 * DAY_MS
  const step = Math.floor((353 * DAY_MS) / eecs)
  return [
    `create temporary table fill_eecs (n integer primary key, serial text not null, identity_id text not null,
       subject text not null, starts bigint not null)`,
    `insert into fill_eecs
       select series.n, ${randomHex}, i.id, '/C=EU/O=INDIGO/OU=TTS/CN=' || i.id || '@iam',
         cast(${begin} as bigint) + cast(series.n as bigint) * ${step}
       from ${series(eecs)} join fill_identities i on i.n = series.n % ${identities} + 1`,
    `insert into certificates (serial, kind, subject, issuer_serial, not_before, not_after, fingerprint, key_kind,
         identity_id, credential_id, position)
       select serial, 'eec', subject, null, starts, starts + ${11 * DAY_MS},
         serial || serial, 'rsa-2048', identity_id, null, 0 from fill_eecs`,
  ]
}

/** In the order of their time, as in real use; so most of the new places in indexes are side by side. */
function credentialStatements(
  { randomHex, series, randomThousand }: Dialect,
  { count, issuer }: RowOptions,
): readonly string[] {
  return [
    `create temporary table fill_credentials (n integer primary key, id text not null, request_id text not null,
       serial text not null, eec integer not null, delay bigint not null)`,
    `insert into fill_credentials
       select n, ${uuid('h')}, ${uuid('r')}, substr(s, 1, 18), (n - 1) / ${CREDENTIALS_PER_EEC} + 1, delay
       from (select n, ${randomHex} as h, ${randomHex} as r, ${randomHex} as s,
         cast(${randomThousand} as bigint) * 600000 as delay from ${series(count)}) r`,
    `insert into credentials (id, identity_id, service_id, end_entity_serial, issued_at, not_after, client_id,
         request_id, address, interface)
       select c.id, e.identity_id, 'proxy', e.serial, e.starts + c.delay, e.starts + c.delay + 43200000, 'demo-cli',
         c.request_id, '127.0.0.1', 'native' from fill_credentials c join fill_eecs e on e.n = c.eec order by c.n`,
    `insert into certificates (serial, kind, subject, issuer_serial, not_before, not_after, fingerprint, key_kind,
         identity_id, credential_id, position)
       select c.serial, 'proxy', e.subject || '/CN=' || c.n, e.serial, e.starts + c.delay - 300000,
         e.starts + c.delay + 43200000, replace(c.id || c.request_id, '-', ''), 'rsa-2048', e.identity_id, c.id, 0
       from fill_credentials c join fill_eecs e on e.n = c.eec order by c.n`,
    `insert into audit (at, event, outcome, request_id, address, interface, issuer, sub, service_id, credential_id)
       select e.starts + c.delay, 'credential.issued', 'allowed', c.request_id, '127.0.0.1', 'native', '${issuer}',
         e.identity_id, 'proxy', c.id from fill_credentials c join fill_eecs e on e.n = c.eec order by c.n`,
  ]
}

/** Gives 32 hexadecimal digits the form of a UUID. */
const uuid = (column: string): string =>
  [
    [1, 8],
    [9, 4],
    [13, 4],
    [17, 4],
    [21, 12],
  ]
    .map(([from, length]) => `substr(${column}, ${from}, ${length})`)
    .join(" || '-' || ")

const fastPragmas = [
  'journal_mode = memory',
  'synchronous = off',
  'temp_store = memory',
  'cache_size = -1000000',
]

/** Fills the file of a service that is stopped. */
export async function fillSqlite(path: string, options: RowOptions): Promise<void> {
  // The tests check that the rows refer to each other; here it would take a quarter of the time.
  const database = new DatabaseSync(path, { enableForeignKeyConstraints: false })
  try {
    // No journal on disk and no sync: if this fails, the run is over anyway.
    for (const pragma of fastPragmas) database.exec(`pragma ${pragma}`)
    database.exec('begin')
    for (const statement of rowStatements('sqlite', options)) {
      database.exec(statement)
      // So that a signal can end this process.
      await nextTurn()
    }
    database.exec('commit')
    database.exec('pragma journal_mode = wal')
  } finally {
    database.close()
  }
}

/** Fills the database of a service that is stopped, and lets PostgreSQL count, as autovacuum would. */
export async function fillPostgres(url: string, options: RowOptions): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of ['begin', ...rowStatements('postgres', options), 'commit'])
      await client.query(statement)
    for (const statement of ['vacuum analyze', 'checkpoint']) await client.query(statement)
  } finally {
    await client.end()
  }
}
