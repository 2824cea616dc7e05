/**
 * How the newest attempts went, kept in the state: for `certcache status` when nothing runs that could be asked, and for a
 * `certcache refresh` that waits for another certcache.
 */
import type { Log } from '../../base/log.ts'
import { type StateContent, readState, writeState } from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

export type Outcomes = StateContent<'outcome'>
/** What is known of one proxy. */
export type Outcome = Outcomes['proxies'][string]

/** The same failure again is written at most this often. */
const REPEAT_MS = 600_000

/** Writes what has changed since it wrote the last time; never rejects: what is written here failed already. */
export function createOutcomes(store: StateStore, log: Log) {
  let written: Outcomes | undefined
  return {
    note: async (
      lock: StateLock,
      proxies: Iterable<{ readonly name: string; outcome(): Outcome }>,
      answered: string | undefined,
    ): Promise<void> => {
      const known = [...proxies].map((proxy) => [proxy.name, proxy.outcome()] as const)
      const outcomes = { proxies: Object.fromEntries(known), answered }
      if (written !== undefined && isSame(written, outcomes)) return
      try {
        await writeState(lock, 'outcome', outcomes)
        written = outcomes
      } catch (error) {
        log.debug({ event: 'outcome.unwritten', err: error }, 'how it went is not in the state')
      }
    },
    read: async (): Promise<Outcomes | undefined> => readState(store, 'outcome'),
  }
}

function isSame(before: Outcomes, now: Outcomes): boolean {
  const names = Object.keys(now.proxies)
  return (
    before.answered === now.answered &&
    names.length === Object.keys(before.proxies).length &&
    names.every((name) => isSameOutcome(before.proxies[name], now.proxies[name]))
  )
}

function isSameOutcome(before: Outcome | undefined, now: Outcome | undefined): boolean {
  const [old, fresh] = [before?.last_error, now?.last_error]
  const passedMs = (fresh?.at.getTime() ?? 0) - (old?.at.getTime() ?? 0)
  return (
    old?.message === fresh?.message &&
    Math.abs(passedMs) < REPEAT_MS &&
    JSON.stringify(before?.outputs) === JSON.stringify(now?.outputs)
  )
}
