/** Why a database does not work, in words for the operator, and what to do. No message of a library is repeated. */
import { fileErrorReason } from '../base/system-error.ts'

/** The settings to name in the advice, which differ between the programs. */
export interface DatabaseSettingNames {
  /** Setting with the connection string of PostgreSQL. */
  readonly url: string
  /** Setting with the path of an SQLite file, if the program can use one. */
  readonly path?: string
}

/**
 * Returns the cause and what to do, as full sentences; undefined if the cause is not known.
 *
 * @see PostgreSQL documentation, appendix A: error codes
 */
export function explainDatabaseFault(
  error: unknown,
  names: DatabaseSettingNames,
): string | undefined {
  if (!(error instanceof Error)) return undefined
  const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
  return (
    explainPooler(error.message, code) ??
    postgresFaults(names.url)[code] ??
    networkFaults(names.url)[code] ??
    explainTls(code, names.url) ??
    explainSqlite(error, names.path ?? 'the path of the database') ??
    explainDriver(error.message, names.url)
  )
}

const postgresFaults = (url: string): Readonly<Record<string, string | undefined>> => ({
  '28P01': `PostgreSQL refuses the password. Check user and password in ${url}.`,
  '28000': `PostgreSQL does not let this user log in from here. Check the user in ${url}, that the role exists, and pg_hba.conf on the server.`,
  '3D000': `PostgreSQL has no database of this name. Check the name at the end of ${url}, or create the database: createdb NAME.`,
  '42501':
    'The user of the database may not create or change tables. Make it the owner of the database, or run: GRANT CREATE, USAGE ON SCHEMA public TO user.',
  '25006': `The database is read-only: it is probably a standby. Let ${url} lead to the primary, for example with a name that follows it.`,
  '53300':
    'PostgreSQL has no connection left. Raise max_connections on the server, or lower store.pool_size.',
  '53100': 'The disk of the database server is full. Free space on it.',
  '53200': 'The database server is out of memory.',
  '57P01': 'The database server was shut down. It is used again when it runs.',
  '57P02': 'The database server crashed. It is used again when it runs.',
  '57P03': 'The database server is starting or stopping. Wait until it accepts connections.',
  '57014': 'The database did not answer within store.timeout_seconds. Check its load and locks.',
})

const networkFaults = (url: string): Readonly<Record<string, string | undefined>> => ({
  ENOTFOUND: `The host name of the database does not exist. Check the host in ${url} and the DNS of this machine.`,
  EAI_AGAIN: 'The DNS of this machine does not answer, so the host of the database is unknown.',
  ECONNREFUSED: `Nothing listens at the address of the database. Check that PostgreSQL runs, and host and port in ${url}.`,
  ECONNRESET:
    'The connection to the database was closed. Check that PostgreSQL runs, and whether it expects TLS.',
  ETIMEDOUT: `The database does not answer. Check host and port in ${url}, and firewalls.`,
  EHOSTUNREACH: `There is no route to the database. Check the host in ${url} and the network.`,
  ENETUNREACH: `There is no route to the database. Check the host in ${url} and the network.`,
  ENOENT: `There is no socket of PostgreSQL in the directory that ${url} names. Check that PostgreSQL runs, and this directory.`,
})

const UNTRUSTED =
  /^(DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_GET_ISSUER_CERT\w*|UNABLE_TO_VERIFY_LEAF_SIGNATURE)$/

function explainTls(code: string, url: string): string | undefined {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return `The certificate of the database is for another host. Check the host name in ${url}.`
  if (code === 'CERT_HAS_EXPIRED')
    return 'The certificate of the database has expired. Renew the TLS certificate of the database.'
  return UNTRUSTED.test(code)
    ? `The certificate of the database is not trusted. Name its CA in tls.ca_file, or with sslrootcert=FILE in ${url}.`
    : undefined
}

/** PgBouncer uses one code for many faults. */
function explainPooler(message: string, code: string): string | undefined {
  if (code !== '08P01') return undefined
  if (/unsupported startup parameter/.test(message))
    return 'The pooler refuses a parameter of the connection. Set ignore_startup_parameters = application_name in PgBouncer.'
  if (/no such database|database .* does not exist/.test(message))
    return 'There is no database of this name. Create it (createdb NAME), or add it to the section [databases] of PgBouncer.'
  if (/no such user|password authentication failed|SASL|role .* does not exist/.test(message))
    return 'The pooler refuses this user or its password. Check its auth_file.'
  return /statement pooling/.test(message)
    ? 'The pooler pools statements, but must pool sessions. Set pool_mode = session in PgBouncer.'
    : undefined
}

/** @see https://www.sqlite.org/rescode.html */
function explainSqlite(error: Error, path: string): string | undefined {
  if (!('errcode' in error) || typeof error.errcode !== 'number') return undefined
  const faults: Readonly<Record<number, string>> = {
    5: 'Another process holds the lock of the database. Check that only one service uses it, and no backup holds it.',
    8: `The database cannot be written: its file, its directory or its file system is read-only. Check the owner of ${path}.`,
    10: 'The disk of the database has errors. Look into the log of the kernel.',
    11: 'The file of the database is damaged. Restore it from the backup.',
    13: 'The disk is full. Free space on it.',
    14: `The file of the database cannot be opened. Check ${path}, and that this user may write its directory.`,
    26: `The file is not an SQLite database. Check ${path}.`,
  }
  return faults[error.errcode & 0xff]
}

function explainDriver(message: string, url: string): string | undefined {
  if (/timeout expired|connection timeout|Query read timeout|no answer within/.test(message))
    return `The database did not answer in time. Check host and port in ${url}, and the load of the server.`
  if (/password must be a (non-empty )?string/.test(message))
    return `PostgreSQL wants a password. Add it to ${url}.`
  if (/does not support SSL/.test(message))
    return `The database server does not offer TLS. Switch TLS on there, or remove sslmode from ${url} if the network is safe.`
  return /Connection terminated unexpectedly/.test(message)
    ? 'The database closed the connection. Look into its log.'
    : undefined
}

/** Says what is wrong with a connection string that the driver could not read, and repeats nothing of it. */
export function explainConnectionString(error: unknown): string {
  const { path } = (error ?? {}) as NodeJS.ErrnoException
  // A file of sslrootcert, sslcert or sslkey.
  if (typeof path === 'string') return `${path} cannot be read: ${fileErrorReason(error)}`
  return 'must be a connection string, postgres://USER:PASSWORD@HOST:PORT/DATABASE'
}

/** A list of hosts is understood by libpq, but not by the driver; only the store of the service reads it. */
export function severalHosts(url: string): string | undefined {
  const [, authority = ''] = /^postgres(?:ql)?:\/\/(?:[^@/?#]*@)?([^/?#]*)/.exec(url) ?? []
  const [, parameter = ''] = /[?&]host=([^&#]*)/.exec(url) ?? []
  return `${authority}${decodeURIComponent(parameter)}`.includes(',')
    ? 'must name one host; for several, use a name or a proxy that leads to the primary'
    : undefined
}
