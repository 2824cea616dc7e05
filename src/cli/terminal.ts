/** The environment of a command, passed in so that tests can replace it. */
import { existsSync } from 'node:fs'
import { resolve } from 'node:path'
import type { Logger } from 'pino'
import { type Environment, type LoadedConfiguration, loadConfiguration } from '../config/load.ts'
import type { Store } from '../domain/store.ts'
import { type Core, openCore, openRecords } from '../service/compose.ts'
import { noAuthorityYet } from '../service/installation.ts'
import { formatDuration } from '../base/duration.ts'
import { authorityExists } from '../files/authority-files.ts'
import { createLog } from '../base/log.ts'
import { useNetwork } from '../network/network.ts'
import { actAsOwnerOf, type Renunciation } from './act-as-owner.ts'

export interface Terminal {
  readonly environment: Environment
  readonly uid: number
  readonly now: () => Date
  /** Prints results, for users or (`--json`) for scripts; bytes for `--der`. */
  out(result: string | Uint8Array): void
  /** Prints messages to standard error. */
  note(text: string): void
  /** Sets the exit code of the program. */
  exitWith(code: number): void
}

/** Options of every operator command. */
export interface OperatorOptions {
  readonly config?: string
  readonly json?: boolean
}

/**
 * Reads the configuration for an operator command, and sets up proxy and trusted CAs of this process. From then on root
 * acts as the owner of the data directory, see act-as-owner.ts.
 */
export async function loadedConfigurationFor(
  terminal: Terminal,
  options: OperatorOptions,
  renunciation: Renunciation = 'for_good',
): Promise<LoadedConfiguration> {
  const loaded = await serviceConfiguration(terminal, options)
  actAsOwnerOf(loaded.dataDirectory, renunciation)
  return loaded
}

/** The same for the service itself, which stays the user that it is. */
export async function serviceConfiguration(
  terminal: Terminal,
  options: OperatorOptions,
): Promise<LoadedConfiguration> {
  const { environment } = terminal
  const loaded = await loadConfiguration(options.config, environment)
  useNetwork({
    environment,
    tls: loaded.configuration.tls,
    trustGridAuthorities: false,
    warn: (line) => terminal.note(`tts: warning: ${line}`),
  })
  return loaded
}

/** Returns a log for commands: it prints only warnings and errors, as text on standard error. */
export function quietLog(terminal: Terminal): Logger {
  return createLog({
    level: 'warn',
    name: 'tts',
    destination: { write: (line) => terminal.note(messageOf(line)) },
  })
}

function messageOf(line: string): string {
  const { level, msg, err } = JSON.parse(line) as {
    level: string
    msg: string
    err?: { message: string }
  }
  return `${level}: ${msg}${err ? ` (${err.message})` : ''}`
}

/** Opens CA and database for one command, and closes them after it. */
export async function withCore<T>(
  terminal: Terminal,
  options: OperatorOptions,
  work: (core: Core) => Promise<T>,
): Promise<T> {
  return withCoreOf(terminal, await loadedConfigurationFor(terminal, options), work)
}

/** The same for a configuration that is loaded already. */
export async function withCoreOf<T>(
  terminal: Terminal,
  loaded: LoadedConfiguration,
  work: (core: Core) => Promise<T>,
): Promise<T> {
  // A command with the wrong configuration must not create a database.
  if (!authorityExists(loaded.dataDirectory) && !databaseExists(loaded))
    throw noAuthorityYet(loaded)
  const core = await openCore(
    loaded,
    { log: quietLog(terminal), now: terminal.now },
    { makeAuthority: false },
  )
  try {
    return await work(core)
  } finally {
    await core.close()
  }
}

/** Opens the database alone, for commands that put things right between it and the CA. */
export async function withRecords<T>(
  loaded: LoadedConfiguration,
  now: () => Date,
  work: (store: Store) => Promise<T>,
): Promise<T> {
  const store = await openRecords(loaded, now)
  try {
    return await work(store)
  } finally {
    await store.close()
  }
}

/** Whether there may be a database: a configured PostgreSQL, or the SQLite file. */
export function databaseExists({ configuration, dataDirectory }: LoadedConfiguration): boolean {
  const { url, path } = configuration.store
  return url !== undefined || existsSync(resolve(dataDirectory, path))
}

/** Formats the time left: `3 days 4 hours left`, `12 minutes left`, `expired 2 hours ago`. */
export function timeLeft(until: Date, now: Date): string {
  const seconds = Math.round((until.getTime() - now.getTime()) / 1000)
  const words = formatDuration(Math.abs(seconds))
  return seconds >= 0 ? `${words} left` : `expired ${words} ago`
}

/** Formats lines of `label : value` with aligned labels. */
export function facts(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([label]) => label.length))
  return rows.map(([label, value]) => `${label.padEnd(width)} : ${value}\n`).join('')
}

/** Returns the path where grid tools look for a proxy. */
export function proxyPath(terminal: Terminal): string {
  return terminal.environment['X509_USER_PROXY'] || `/tmp/x509up_u${terminal.uid}`
}
