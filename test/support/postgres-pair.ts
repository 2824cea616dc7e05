/** A primary with a standby, as two servers on loopback: replication, kill, promotion. */
import { type ChildProcess, execFile, spawn, type SpawnOptions } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { freePort } from './free-port.ts'
import {
  ask,
  findBinDirectory,
  stopServer,
  unprivilegedAccount,
  waitUntilReady,
} from './postgres.ts'

/** One of the two servers. */
export interface PairedServer {
  readonly port: number
  /** Connection string to this server alone. */
  url(database: string): string
  kill(): Promise<void>
  /** Starts it again, by default as it was. */
  start(as?: { readonly standby: boolean }): Promise<void>
  /** Suspends the process or lets it go on: a machine that answers nothing. */
  signal(name: 'SIGSTOP' | 'SIGCONT'): void
}

export interface PostgresPair {
  readonly first: PairedServer
  readonly second: PairedServer
  /** Makes an empty database on the first server, and waits until the second one has it, too. */
  createDatabase(name: string): Promise<void>
  /** Connection string with both servers. */
  url(database: string): string
  /** `pg_ctl promote` on the second server; returns when it accepts writes. */
  promote(): Promise<void>
  stop(): Promise<void>
}

const run = promisify(execFile)

export interface PairOptions {
  /** Where its directory is made. Default `/tmp`. */
  readonly parent?: string
  /** `listen_addresses` of both. Default `127.0.0.1`. */
  readonly addresses?: string
}

interface Place {
  readonly bin: string
  readonly directory: string
  readonly addresses: string
  /** How its programs are started. */
  readonly options: SpawnOptions & { readonly uid?: number; readonly gid?: number }
}

interface StartOptions {
  readonly standby?: boolean
  readonly synchronous?: boolean
}

async function newServer({ bin, directory, addresses, options }: Place, name: string) {
  const data = join(directory, name)
  const port = await freePort()
  let server: ChildProcess | undefined
  let usual: StartOptions = {}
  const url = (database: string): string => `postgres://tts@127.0.0.1:${port}/${database}`
  return {
    data,
    port,
    url,
    async start(as: StartOptions = usual): Promise<void> {
      usual = as
      const { standby = false, synchronous = false } = as
      if (standby) writeFileSync(join(data, 'standby.signal'), '')
      const settings = {
        unix_socket_directories: '',
        listen_addresses: addresses,
        port,
        ...(synchronous && { synchronous_standby_names: '*' }),
      }
      const words = Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`])
      server = spawn(join(bin, 'postgres'), ['-D', data, ...words], options)
      await waitUntilReady(server, url('postgres'))
    },
    async kill(): Promise<void> {
      if (server === undefined || server.exitCode !== null || server.signalCode !== null) return
      const ended = once(server, 'exit')
      server.kill('SIGKILL')
      await ended
    },
    killNow: () => void server?.kill('SIGKILL'),
    signal: (signal: 'SIGSTOP' | 'SIGCONT') => void server?.kill(signal),
    stop: async () => server && stopServer(server),
  }
}

function newPlace({ parent = '/tmp', addresses = '127.0.0.1' }: PairOptions): Place {
  const bin = findBinDirectory()
  if (bin === undefined) throw new Error('Debian package postgresql is not installed')
  const account = unprivilegedAccount()
  const directory = mkdtempSync(join(parent, 'tts-pair-'))
  if (account !== undefined) chownSync(directory, account.uid, account.gid)
  return { bin, directory, addresses, options: { cwd: directory, ...account, stdio: 'ignore' } }
}

/** Starts both. The first one acknowledges a commit only when the second one has it on disk. */
export async function startPostgresPair(choices: PairOptions = {}): Promise<PostgresPair> {
  const place = newPlace(choices)
  const { directory, options } = place
  const [first, second] = [await newServer(place, 'first'), await newServer(place, 'second')]
  const program = async (name: string, words: string): Promise<void> => {
    await run(join(place.bin, name), words.split(' '), options)
  }
  // Nothing stays behind when the test process ends early.
  const killBoth = (): void => [first, second].forEach(({ killNow }) => killNow())
  process.once('exit', killBoth)
  const stop = async (): Promise<void> => {
    process.removeListener('exit', killBoth)
    await Promise.all([first.stop(), second.stop()])
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    const locale = '--encoding=UTF8 --locale=C.UTF-8'
    await program('initdb', `-D ${first.data} --auth=trust --username=tts ${locale} --no-sync`)
    await first.start()
    const from = `-h 127.0.0.1 -p ${first.port} -U tts`
    await program('pg_basebackup', `-D ${second.data} ${from} -R -X stream -c fast --no-sync`)
    await second.start()
    await first.stop()
    await first.start({ synchronous: true })
  } catch (error) {
    await stop()
    throw error
  }
  const both = `127.0.0.1:${first.port},127.0.0.1:${second.port}`
  return {
    first,
    second,
    async createDatabase(name) {
      await ask(first.url('postgres'), `create database ${name}`)
      await waitForDatabase(second.url(name))
    },
    url: (database) => `postgres://tts@${both}/${database}?target_session_attrs=read-write`,
    promote: async () => program('pg_ctl', `promote -w -t 20 -D ${second.data}`),
    stop,
  }
}

async function waitForDatabase(url: string): Promise<void> {
  const end = performance.now() + 20_000
  for (;;) {
    try {
      await ask(url, 'select 1')
      return
    } catch (error) {
      if (performance.now() > end) throw error
    }
  }
}
