/** Logs refused requests at a limited rate, so that a client that retries in a loop does not fill the disk. */
import type { Log } from '../../base/log.ts'
import type { Refusal } from './access.ts'

const WINDOW_MS = 60_000
const LINES_PER_WINDOW = 20

/** Logs at most 20 refusals a minute. The first line of the next minute says how many were not logged. */
export function createRefusalLog(
  log: Log,
  now: () => Date,
): (refusal: Refusal, request: { readonly path: string; readonly address: string }) => void {
  let windowEndsMs = 0
  let lines = 0
  let unlogged = 0
  return ({ reason, status, message }, { path, address }) => {
    const nowMs = now().getTime()
    // The second condition covers a clock that was set back.
    if (nowMs >= windowEndsMs || nowMs < windowEndsMs - WINDOW_MS) {
      windowEndsMs = nowMs + WINDOW_MS
      lines = 0
    }
    lines += 1
    if (lines > LINES_PER_WINDOW) {
      unlogged += 1
      return
    }
    const more = unlogged === 0 ? {} : { unlogged }
    unlogged = 0
    log.warn({ event: 'request.refused', reason, status, path, address, ...more }, message)
  }
}
