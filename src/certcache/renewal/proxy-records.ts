/** All proxies that are kept: taken from the state and from their files at the start, and written into the state. */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import { checkHeldProxy } from './check-proxy.ts'
import type { ManagedProxy } from './managed-proxy.ts'
import type { HeldProxy } from '../proxy-engine.ts'
import { type StateContent, readState, writeState } from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

const MAX_FILE_BYTES = 256 * 1024

/**
 * Gives each proxy what the state holds of it, when that is sound. Whoever renews decides what is newest: times of two
 * machines, or of a clock that was set back, do not compare.
 *
 * @param isNew whether these came from another certcache just now
 */
export function takeFromState(
  record: StateContent<'proxies'> | undefined,
  proxies: readonly ManagedProxy[],
  { now, isNew }: { readonly now: Date; readonly isNew: boolean },
): void {
  for (const proxy of proxies) {
    const kept = record?.proxies[proxy.name]
    if (kept === undefined) continue
    const found = soundOrNothing(kept.pem, proxy, { now, obtainedAt: kept.obtained_at })
    if (found !== undefined) proxy.take(found, { asked: kept.asked, isNew })
  }
}

/**
 * Gives a proxy what its own file holds, where the state has nothing, or an older one of the same identity: it may be lost,
 * could not be written when the file could, or its database is away.
 *
 * @returns whether the state is known to have an older one
 */
export async function takeFromFile(proxy: ManagedProxy, now: Date): Promise<boolean> {
  const held = proxy.current()
  const output = proxy.settings.outputs?.find(({ format }) => format === 'pem')
  const text = output && (await readOwnFile(output.path))
  const found = text && soundOrNothing(text, proxy, { now, obtainedAt: undefined })
  if (!found) return false
  if (held !== undefined) {
    // The ends of certificates are whole seconds: of two that end together either is as good.
    const isAsGood = found.identity === held.identity && found.notAfter >= held.notAfter
    if (!isAsGood || found.pem.equals(held.pem)) return false
  }
  // What was asked for is not known: it is taken for right.
  proxy.take(found, { asked: proxy.asked, isNew: false })
  // A state with nothing may be one that could not be read: what it really has is looked at first.
  return held !== undefined
}

/**
 * Writes all proxies that are valid into the state.
 *
 * @throws {TtsError} what the store throws
 */
export async function writeProxies(
  lock: StateLock,
  proxies: readonly ManagedProxy[],
): Promise<void> {
  const entries = proxies.flatMap((proxy) => {
    const held = proxy.current()
    if (held === undefined) return []
    const { obtainedAt, pem } = held
    const kept = { pem: pem.toString('latin1'), obtained_at: obtainedAt, asked: proxy.asked }
    return [[proxy.name, kept] as const]
  })
  await writeState(lock, 'proxies', { proxies: Object.fromEntries(entries) })
}

/** Sees to it that the state is read once for each change of it. */
export function createProxiesWatch(store: StateStore, log: Log) {
  let seen: string | undefined
  return async (): Promise<StateContent<'proxies'> | undefined> => {
    const version = await store.version('proxies')
    if (version === seen) return undefined
    const record = await readState(store, 'proxies')
    seen = version
    log.debug({ event: 'state.read' }, 'proxies were read from the state')
    return record
  }
}

function soundOrNothing(
  text: string,
  proxy: ManagedProxy,
  { now, obtainedAt }: { readonly now: Date; readonly obtainedAt: Date | undefined },
): HeldProxy | undefined {
  try {
    const { name, settings } = proxy
    return checkHeldProxy(text, { name, type: settings.type, now, obtainedAt })
  } catch (error) {
    if (error instanceof TtsError) return undefined
    throw error
  }
}

/** A file that we, or root, could have written; undefined for anything else. */
async function readOwnFile(path: string): Promise<string | undefined> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK
  const file = await open(path, flags).catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const found = await file.stat()
    const ours = found.uid === process.getuid?.() || found.uid === 0
    if (!found.isFile() || !ours || (found.mode & 0o007) !== 0 || found.size > MAX_FILE_BYTES)
      return undefined
    return (await file.readFile()).toString('latin1')
  } catch {
    return undefined
  } finally {
    await file.close()
  }
}
