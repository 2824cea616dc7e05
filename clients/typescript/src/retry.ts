/** When to try again, and how long to wait before. */
import { TtsForeignAnswer, TtsProblem, TtsUnreachable } from './errors.ts'

/** Replaceable for tests. */
export interface Waiting {
  readonly nowMs: () => number
  readonly sleep: (ms: number) => Promise<void>
  /** From 0 to 1. */
  readonly random: () => number
}

export const realWaiting: Waiting = {
  nowMs: () => performance.now(),
  sleep: (ms) => new Promise((resolve) => void setTimeout(resolve, ms)),
  random: Math.random,
}

const MAX_PAUSE_SECONDS = 30

/** What a request may cost. */
export interface RetryRules {
  /** Time limit for all attempts and the waiting between them, in seconds. 0: one attempt. */
  readonly deadlineSeconds: number
  /** False: not tried again unless the service has said that it did nothing. */
  readonly isRepeatable: boolean
}

/**
 * Runs attempts until one succeeds, cannot succeed, or the next one would begin after the deadline; then the last error
 * is thrown. The pause is what `Retry-After` says, if it is not 0, otherwise 1 to 30 seconds, doubling, and up to twice
 * as long by chance, so that clients that failed together do not come back together.
 *
 * @param attempt gets the time that is left, in milliseconds
 */
export async function withRetry<Result>(
  attempt: (leftMs: number) => Promise<Result>,
  { deadlineSeconds, isRepeatable }: RetryRules,
  { nowMs, sleep, random }: Waiting,
): Promise<Result> {
  const endMs = nowMs() + deadlineSeconds * 1000
  for (let pauseSeconds = 1; ; pauseSeconds = Math.min(MAX_PAUSE_SECONDS, pauseSeconds * 2)) {
    try {
      return await attempt(endMs - nowMs())
    } catch (error) {
      if (!mayRetry(error, isRepeatable)) throw error
      const waitMs = 1000 * (retryAfterOf(error) || pauseSeconds * (1 + random()))
      if (nowMs() + waitMs >= endMs) throw error
      await sleep(waitMs)
    }
  }
}

/** The statuses after which the service says that the same request may succeed later. */
const RETRIED_PROBLEMS: readonly number[] = [408, 429, 503]
/** Those of a gateway that does not reach the service. */
const RETRIED_GATEWAY: readonly number[] = [502, 503, 504]

function mayRetry(error: unknown, isRepeatable: boolean): boolean {
  if (error instanceof TtsProblem) return RETRIED_PROBLEMS.includes(error.status)
  if (error instanceof TtsForeignAnswer)
    return isRepeatable && RETRIED_GATEWAY.includes(error.status)
  return isRepeatable && error instanceof TtsUnreachable
}

function retryAfterOf(error: unknown): number | undefined {
  return error instanceof TtsProblem || error instanceof TtsForeignAnswer
    ? error.retryAfterSeconds
    : undefined
}
