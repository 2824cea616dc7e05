/**
 * Limits the number of concurrent requests, in total and per address. At a limit, the first request to be dropped is
 * one that waits for its own client, because the body does not arrive or the answer is not read.
 */
import { TtsError } from '../base/errors.ts'

export interface RequestsInFlight {
  readonly count: number
  /** Whether a request from an address without requests would be refused. */
  readonly isFull: boolean
  /**
   * @param address identifier of a client, see `addressKey`
   * @throws {TtsError} `limit_reached`, check `address_in_flight`; `overloaded`, check `in_flight`
   */
  admit(address: string): AdmittedRequest
}

export interface AdmittedRequest {
  /** Notes that the request waits for its client and may be dropped. Returns the function that ends the wait. */
  waiting(giveUp: (error: TtsError) => void): () => void
  /** Frees the place of the request. May be called twice. */
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

/** A client counts as slow after this time without data. */
const PATIENCE_MS = 1000

export function createRequestsInFlight(limits: InFlightLimits): RequestsInFlight {
  const { total, perAddress, nowMs } = limits
  /** Requests of each address, oldest first. */
  const byAddress = new Map<string, Set<Entry>>()
  let count = 0

  const remove = (entry: Entry): void => {
    const own = byAddress.get(entry.address)
    if (own === undefined || !own.delete(entry)) return
    count -= 1
    if (own.size === 0) byAddress.delete(entry.address)
  }

  /** Drops the oldest request that waits for its client. Returns false if there is none. */
  const dropOne = (entries: Iterable<Entry>): boolean => {
    for (const entry of entries) {
      const { wait } = entry
      if (wait === undefined || nowMs() - wait.sinceMs < PATIENCE_MS) continue
      remove(entry)
      wait.giveUp(slowClient())
      return true
    }
    return false
  }

  /** Drops a request of the address with the most requests first. */
  const makeRoom = (): boolean => {
    const largestFirst = [...byAddress.values()].sort((a, b) => b.size - a.size)
    return largestFirst.some((entries) => dropOne(entries))
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
      if (!hasShare && !dropOne(own)) throw addressHasTooMany(perAddress)
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
    `your address has ${perAddress} requests in progress, which is the maximum`,
    {
      check: 'address_in_flight',
      remedy:
        'Raise limits.address_share. If the address is a reverse proxy, add it to listen.trusted_proxies.',
      retryAfterSeconds: 1,
    },
  )
}

function full(): TtsError {
  return new TtsError('overloaded', 'too many requests are in progress', {
    check: 'in_flight',
    remedy: 'Raise limits.requests_in_flight, or add replicas.',
    retryAfterSeconds: 1,
  })
}

function slowClient(): TtsError {
  return new TtsError(
    'overloaded',
    'the client was too slow while the service was full: send the whole request again, faster',
    { check: 'slow_client', retryAfterSeconds: 1 },
  )
}
