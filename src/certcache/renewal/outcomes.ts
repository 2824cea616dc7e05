/**
 * The results of the newest attempts, stored in the state: for `certcache status` when no certcache runs, and for a
 * `certcache refresh` that waits for the running one.
 */
import type { Log } from '../../base/log.ts'
import { type StateContent, readState, writeState } from '../state/state-records.ts'
import type { StateLock, StateStore } from '../state/state-store.ts'

export type Outcomes = StateContent<'outcome'>
/** The result of one proxy. */
export type Outcome = Outcomes['proxies'][string]

/** A repeated failure is written again only after this time. */
const REPEAT_MS = 600_000

/**
 * Reads and writes the outcomes. `write` skips unchanged outcomes. It never rejects, because it must not hide the
 * failure that it records.
 */
export function createOutcomes(store: StateStore, log: Log) {
  let written: Outcomes | undefined
  return {
    write: async (
      lock: StateLock,
      proxies: Iterable<{ readonly name: string; outcome(): Outcome }>,
      answered: string | undefined,
    ): Promise<void> => {
      const entries = [...proxies].map((proxy) => [proxy.name, proxy.outcome()] as const)
      const outcomes = { proxies: Object.fromEntries(entries), answered }
      if (written !== undefined && isSame(written, outcomes)) return
      try {
        await writeState(lock, 'outcome', outcomes)
        written = outcomes
      } catch (error) {
        log.debug(
          { event: 'outcome.unwritten', err: error },
          'could not write the outcomes into the state',
        )
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
  const [oldError, newError] = [before?.last_error, now?.last_error]
  const passedMs = (newError?.at.getTime() ?? 0) - (oldError?.at.getTime() ?? 0)
  return (
    oldError?.message === newError?.message &&
    Math.abs(passedMs) < REPEAT_MS &&
    JSON.stringify(before?.outputs) === JSON.stringify(now?.outputs)
  )
}
