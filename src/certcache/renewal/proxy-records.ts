/**
 * The stored proxies: read from the state and from their files at the start, written into the state after each renewal.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { checkStoredProxy } from './check-proxy.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { HeldProxy } from '../proxy-engine.ts'
import { type StateContent, readState, writeState } from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

const MAX_FILE_BYTES = 256 * 1024

export interface ProxyRecordsParts {
  readonly store: StateStore
  readonly log: Log
  readonly now: () => Date
  /** The managed proxies; they change with the settings. */
  readonly proxies: () => readonly ManagedProxy[]
}

/** The record `proxies` of the state, and what of it could not be written yet. */
export interface ProxyRecords {
  /** Whether a proxy in memory is newer than the state. */
  readonly isUnsaved: boolean
  markUnsaved(): void
  /**
   * Gives each proxy its stored version when the state has changed.
   *
   * @param isNew whether another certcache wrote the state just now
   * @throws {TtsError} what the store throws
   */
  readState(isNew: boolean): Promise<void>
  /** Gives each proxy the version in its own file where that is newer. */
  readFiles(): Promise<void>
  /** Writes all valid proxies into the state. @throws {TtsError} what the store throws */
  write(lock: StateLock): Promise<void>
}

export function createProxyRecords({ store, log, now, proxies }: ProxyRecordsParts): ProxyRecords {
  let isUnsaved = false
  let readVersion: string | undefined
  return {
    get isUnsaved() {
      return isUnsaved
    },
    markUnsaved: () => {
      isUnsaved = true
    },
    readState: async (isNew) => {
      const version = await store.version('proxies')
      if (version === readVersion) return
      const record = await readState(store, 'proxies')
      readVersion = version
      log.debug({ event: 'state.read' }, 'read the proxies from the state')
      adoptFromState(record, proxies(), { now: now(), isNew })
    },
    readFiles: async () => {
      for (const proxy of proxies()) if (await adoptFromFile(proxy, now())) isUnsaved = true
    },
    write: async (lock) => {
      await writeProxies(lock, proxies())
      isUnsaved = false
    },
  }
}

/**
 * Gives each proxy its version in the state, if that is valid. The state always counts as newer: times of two
 * machines, or of a clock that was set back, cannot be compared.
 */
function adoptFromState(
  record: StateContent<'proxies'> | undefined,
  proxies: readonly ManagedProxy[],
  { now, isNew }: { readonly now: Date; readonly isNew: boolean },
): void {
  for (const proxy of proxies) {
    const stored = record?.proxies[proxy.name]
    if (stored === undefined) continue
    const held = checkOrIgnore(stored.pem, proxy, { now, obtainedAt: stored.obtained_at })
    if (held !== undefined) proxy.adopt(held, { requestKey: stored.asked, isNew })
  }
}

/**
 * Gives a proxy the version in its own file, if the state has none or an older one of the same identity. The state
 * may be lost, its database may be down, or it could not be written when the file could.
 *
 * @returns whether the state is known to have an older version
 */
async function adoptFromFile(proxy: ManagedProxy, now: Date): Promise<boolean> {
  const held = proxy.current()
  const output = proxy.settings.outputs?.find(({ format }) => format === 'pem')
  const text = output && (await readOwnFile(output.path))
  // The file does not say what was requested, but a proxy without attributes cannot be what the settings ask for.
  const voms = proxy.settings.voms !== undefined
  const inFile = text && checkOrIgnore(text, proxy, { now, obtainedAt: undefined, voms })
  if (!inFile) return false
  if (held !== undefined) {
    // Certificates end at whole seconds. Of two with the same end, either is good enough.
    const isAsGood = inFile.identity === held.identity && inFile.notAfter >= held.notAfter
    if (!isAsGood || inFile.pem.equals(held.pem)) return false
  }
  // It is assumed to match the settings.
  proxy.adopt(inFile, { requestKey: proxy.requestKey, isNew: false })
  // Without a proxy in memory the state may have been unreadable. It must be read before it is overwritten.
  return held !== undefined
}

async function writeProxies(lock: StateLock, proxies: readonly ManagedProxy[]): Promise<void> {
  const entries = proxies.flatMap((proxy) => {
    const held = proxy.current()
    if (held === undefined) return []
    const { obtainedAt, pem } = held
    const stored = { pem: pem.toString('latin1'), obtained_at: obtainedAt, asked: proxy.requestKey }
    return [[proxy.name, stored] as const]
  })
  await writeState(lock, 'proxies', { proxies: Object.fromEntries(entries) })
}

function checkOrIgnore(
  text: string,
  proxy: ManagedProxy,
  expected: { readonly now: Date; readonly obtainedAt: Date | undefined; readonly voms?: boolean },
): HeldProxy | undefined {
  try {
    const { name, settings } = proxy
    return checkStoredProxy(text, { name, type: settings.type, ...expected })
  } catch (error) {
    if (error instanceof TtsError) return undefined
    throw error
  }
}

/** Reads a regular file that belongs to us or to root and that others cannot access; undefined for any other. */
async function readOwnFile(path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const file = await open(path, flags).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const stats = await file.stat()
    const isOurs = stats.uid === process.getuid?.() || stats.uid === 0
    if (!stats.isFile() || !isOurs || (stats.mode & 0o007) !== 0 || stats.size > MAX_FILE_BYTES)
      return undefined
    return (await file.readFile()).toString('latin1')
  } catch {
    return undefined
  } finally {
    await file.close()
  }
}
