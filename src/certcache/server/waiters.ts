/**
 * The requests that wait for the first proxy. Their number and time are bounded, and requests for one name share a
 * renewal.
 */
import { TtsError } from '../../base/errors.ts'
import type { HeldProxy, ProxyEngine } from '../proxy-engine.ts'
import { firstProxyPending, shuttingDown } from '../renewal/refusals.ts'

export interface WaitersOptions {
  readonly engine: Pick<ProxyEngine, 'obtain'>
  /** Longest wait of one request. */
  readonly waitMs: number
  /** How many requests may wait, all names together. */
  readonly limit: number
}

/** The result of a wait: the proxy, or the error that explains why there is none. */
export type WaitEnd = HeldProxy | TtsError

export interface Waiters {
  readonly waiting: number
  /**
   * Waits for a proxy and calls `onEnd` once, never synchronously.
   *
   * @returns a function that cancels the wait without a call of `onEnd`, for a client that has disconnected
   */
  wait(name: string, onEnd: (end: WaitEnd) => void): () => void
  /** Refuses new requests immediately, and those that still wait after this time. */
  close(afterMs: number): void
}

/** Requests that wait for the same proxy. */
interface Group {
  readonly name: string
  readonly waiters: Set<(end: WaitEnd) => void>
  /** Aborted when the last request of the group is gone. */
  readonly abandoned: AbortController
}

export function createWaiters(parts: WaitersOptions): Waiters {
  const groups = new Map<string, Group>()
  let waiting = 0
  let closed = false

  const findOrOpenGroup = (name: string): Group => {
    const known = groups.get(name)
    if (known) return known
    const group = openGroup(parts.engine, name, () => forget(group))
    groups.set(name, group)
    return group
  }
  const forget = (group: Group): void => {
    if (groups.get(group.name) === group) groups.delete(group.name)
  }

  const wait = (name: string, onEnd: (end: WaitEnd) => void): (() => void) => {
    if (closed || waiting >= parts.limit) {
      setImmediate(onEnd, closed ? shuttingDown() : tooManyWaiting())
      return () => undefined
    }
    const group = findOrOpenGroup(name)
    waiting += 1
    const leave = (): void => {
      if (!group.waiters.delete(end)) return
      waiting -= 1
      clearTimeout(timer)
      if (group.waiters.size > 0) return
      // The renewal itself continues: it belongs to the engine.
      forget(group)
      group.abandoned.abort()
    }
    const end = (result: WaitEnd): void => {
      leave()
      onEnd(result)
    }
    const timer = setTimeout(() => end(firstProxyPending()), parts.waitMs)
    group.waiters.add(end)
    return leave
  }

  const close = (afterMs: number): void => {
    closed = true
    const refuseAll = (): void => {
      for (const { waiters } of groups.values()) for (const end of waiters) end(shuttingDown())
    }
    if (afterMs > 0) setTimeout(refuseAll, afterMs).unref()
    else refuseAll()
  }

  return {
    get waiting() {
      return waiting
    },
    wait,
    close,
  }
}

/** Asks the engine once for all requests of the group. */
function openGroup(engine: WaitersOptions['engine'], name: string, onSettled: () => void): Group {
  const group: Group = { name, waiters: new Set(), abandoned: new AbortController() }
  const settle = (result: WaitEnd): void => {
    onSettled()
    for (const end of group.waiters) end(result)
  }
  engine.obtain(name, group.abandoned.signal).then(settle, (cause: unknown) => {
    const unknown = 'certcache failed internally'
    settle(cause instanceof TtsError ? cause : new TtsError('internal', unknown, { cause }))
  })
  return group
}

const tooManyWaiting = (): TtsError =>
  new TtsError('overloaded', 'too many requests are waiting for the first proxy', {
    retryAfterSeconds: 5,
  })
