import { spawn, type ChildProcess } from 'node:child_process'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { freePort } from './free-port.ts'

/** A PostgreSQL cluster of the tests' own, on a Unix socket in a private directory. */
export interface PostgresCluster {
  /** Makes an empty database; answers its connection string. */
  createDatabase(): Promise<string>
  /** Port on localhost; undefined without TLS and passwords. */
  readonly port: number | undefined
  /** Directory of the Unix socket. */
  readonly directory: string
  /** Stops the server by its pid and removes its files. */
  stop(): Promise<void>
}

/** The Debian package whose programs are missing, or undefined when PostgreSQL can be run. */
export const missingPostgresPackage = findBinDirectory() === undefined ? 'postgresql' : undefined

export interface PostgresOptions {
  /** The server also listens on localhost, only with TLS. Files in PEM. Default: only the Unix socket. */
  readonly tls?: { readonly keyFile: string; readonly certFile: string }
  /** The server also listens on localhost, without TLS, where users need their passwords. Default: no. */
  readonly passwords?: boolean
}

/** Starts a throw-away cluster from Debian's package, with fsync on. */
export async function startPostgres({
  tls,
  passwords = false,
}: PostgresOptions = {}): Promise<PostgresCluster> {
  const bin = findBinDirectory()
  if (bin === undefined) throw new Error('Debian package postgresql is not installed')
  const account = unprivilegedAccount()
  // A short path: the name of a Unix socket has at most 107 bytes.
  const directory = mkdtempSync('/tmp/tts-pg-')
  if (account !== undefined) chownSync(directory, account.uid, account.gid)
  const options = { cwd: directory, ...account, stdio: 'ignore' as const }
  const data = join(directory, 'data')
  const flags = [
    '--auth=trust',
    '--username=tts',
    '--encoding=UTF8',
    '--locale=C.UTF-8',
    '--no-sync',
  ]
  execFileSync(join(bin, 'initdb'), ['-D', data, ...flags], options)
  const port = tls === undefined && !passwords ? undefined : await freePort()
  const settings = [
    '-c',
    `unix_socket_directories=${directory}`,
    ...(port === undefined
      ? ['-c', 'listen_addresses=']
      : ['-c', 'listen_addresses=localhost', '-p', String(port)]),
    ...(tls === undefined ? [] : ['-c', 'ssl=on']),
  ]
  if (passwords)
    writeFileSync(
      join(data, 'pg_hba.conf'),
      'local all all trust\nhost all all all scram-sha-256\n',
    )
  if (tls !== undefined) {
    for (const [from, name] of [
      [tls.keyFile, 'server.key'],
      [tls.certFile, 'server.crt'],
    ] as const) {
      const content = readFileSync(from)
      writeFileSync(join(data, name), content, { mode: 0o600 })
      if (account !== undefined) chownSync(join(data, name), account.uid, account.gid)
    }
    writeFileSync(join(data, 'pg_hba.conf'), 'local all all trust\nhostssl all all all trust\n')
  }
  const server = spawn(join(bin, 'postgres'), ['-D', data, ...settings], options)
  const killServer = (): void => void server.kill('SIGKILL')
  process.once('exit', killServer)
  const stop = async (): Promise<void> => {
    process.removeListener('exit', killServer)
    await stopServer(server)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await waitUntilReady(server, urlOf(directory, 'postgres', port))
  } catch (error) {
    await stop()
    throw error
  }
  let made = 0
  const createDatabase = async (): Promise<string> => {
    made += 1
    await ask(urlOf(directory, 'postgres', port), `create database tts_${made}`)
    return urlOf(directory, `tts_${made}`, port)
  }
  return { createDatabase, port, directory, stop }
}

/** Sends one statement over a connection of its own. */
export async function ask(url: string, sql: string, values: unknown[] = []): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 5000 })
  // Without a listener a server that goes away would end the test process.
  client.on('error', () => undefined)
  await client.connect()
  try {
    return (await client.query(sql, values)).rows
  } finally {
    await client.end()
  }
}

export function findBinDirectory(): string | undefined {
  const root = '/usr/lib/postgresql'
  if (!existsSync(root)) return undefined
  const versions = readdirSync(root).toSorted((a, b) => Number(b) - Number(a))
  return versions
    .map((version) => join(root, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'postgres')))
}

/** PostgreSQL and PgBouncer refuse to run as root: then they run as the package's user, or else as nobody. */
export function unprivilegedAccount(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  for (const name of ['postgres', 'nobody']) {
    try {
      const id = (flag: string): number =>
        Number(execFileSync('id', [flag, name], { stdio: 'pipe' }))
      return { uid: id('-u'), gid: id('-g') }
    } catch {
      // No such user: the next one.
    }
  }
  throw new Error('there is neither a user postgres nor nobody')
}

/** @param port part of the name of the socket; default 5432 */
function urlOf(directory: string, database: string, port?: number): string {
  const suffix = port === undefined ? '' : `&port=${port}`
  return `postgres:///${database}?host=${encodeURIComponent(directory)}&user=tts${suffix}`
}

export async function waitUntilReady(server: ChildProcess, url: string): Promise<void> {
  const end = performance.now() + 30_000
  for (;;) {
    try {
      await ask(url, 'select 1')
      return
    } catch (error) {
      if (server.exitCode !== null || performance.now() > end) throw error
    }
    await sleep(25)
  }
}

export async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = once(server, 'exit')
  // SIGINT is PostgreSQL's fast shutdown: it breaks connections off and does not wait for them.
  server.kill('SIGINT')
  await ended
}
