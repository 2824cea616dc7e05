/**
 * Requests that are being worked on: bounded in all and for each address. When there is no room, a request that waits for its
 * own client, because the body does not come or the answer is not read, is given up first.
 */
import { TtsError } from '../base/errors.ts'

export interface RequestsInFlight {
  readonly count: number
  /** Whether a request from an address that has none yet would be refused. */
  readonly isFull: boolean
  /**
   * @param address what one client is known by, see `addressKey`
   * @throws {TtsError} `limit_reached`, check `address_in_flight`; `overloaded`, check `in_flight`
   */
  admit(address: string): AdmittedRequest
}

export interface AdmittedRequest {
  /** From now on it waits for its client, and may be given up. Returns what ends that. */
  waiting(giveUp: (error: TtsError) => void): () => void
  /** Safe to call twice. */
  release(): void
}

export interface InFlightLimits {
  readonly total: number
  readonly perAddress: number
  /** Monotonic clock in milliseconds. */
  readonly nowMs: () => number
}

interface Entry {
  readonly address: string
  wait: { readonly sinceMs: number; readonly giveUp: (error: TtsError) => void } | undefined
}

/** A client that has sent nothing for less than this is not slow. */
const PATIENCE_MS = 1000

export function createRequestsInFlight(limits: InFlightLimits): RequestsInFlight {
  const { total, perAddress, nowMs } = limits
  /** In the order in which they came. */
  const byAddress = new Map<string, Set<Entry>>()
  let count = 0

  const remove = (entry: Entry): void => {
    const own = byAddress.get(entry.address)
    if (own === undefined || !own.delete(entry)) return
    count -= 1
    if (own.size === 0) byAddress.delete(entry.address)
  }

  /** Gives up the oldest request of these that waits for its client. False: there is none. */
  const giveUpOne = (entries: Iterable<Entry>): boolean => {
    for (const entry of entries) {
      const { wait } = entry
      if (wait === undefined || nowMs() - wait.sinceMs < PATIENCE_MS) continue
      remove(entry)
      wait.giveUp(givenUp())
      return true
    }
    return false
  }

  /** The address with the most requests pays first. */
  const makeRoom = (): boolean => {
    const largestFirst = [...byAddress.values()].sort((a, b) => b.size - a.size)
    return largestFirst.some((entries) => giveUpOne(entries))
  }

  return {
    get count() {
      return count
    },
    get isFull() {
      return count >= total
    },
    admit(address) {
      const own = byAddress.get(address) ?? new Set<Entry>()
      const hasShare = own.size < perAddress || perAddress >= total
      if (!hasShare && !giveUpOne(own)) throw addressHasTooMany(perAddress)
      if (count >= total && !makeRoom()) throw full()
      const entry: Entry = { address, wait: undefined }
      byAddress.set(address, own.add(entry))
      count += 1
      return {
        waiting(giveUp) {
          const wait = { sinceMs: nowMs(), giveUp }
          entry.wait = wait
          return () => {
            if (entry.wait === wait) entry.wait = undefined
          }
        },
        release: () => remove(entry),
      }
    },
  }
}

function addressHasTooMany(perAddress: number): TtsError {
  return new TtsError(
    'limit_reached',
    `${perAddress} requests from your address are being worked on, the most that one address may have`,
    {
      check: 'address_in_flight',
      remedy: 'Raise limits.address_share, or name your reverse proxy in listen.trusted_proxies.',
      retryAfterSeconds: 1,
    },
  )
}

function full(): TtsError {
  return new TtsError('overloaded', 'too many requests are being worked on', {
    check: 'in_flight',
    remedy: 'Raise limits.requests_in_flight if the machine can handle more requests.',
    retryAfterSeconds: 1,
  })
}

function givenUp(): TtsError {
  return new TtsError(
    'overloaded',
    'the request waited for its client too long while others needed the room: send it again, at once',
    { check: 'slow_client', retryAfterSeconds: 1 },
  )
}
