/** Where requests wait for the first proxy: bounded in number and time, and all of one name wait for the same renewal. */
import { TtsError } from '../../errors.ts'
import type { HeldProxy, ProxyKeeper } from '../proxy-keeper.ts'

export interface WaitingRoomParts {
  readonly keeper: Pick<ProxyKeeper, 'obtain'>
  /** Longest wait of one request. */
  readonly waitMs: number
  /** How many requests may wait, of all names together. */
  readonly places: number
}

/** What a wait ended with: the keeper has a proxy now, or why it has none. */
export type WaitEnd = HeldProxy | TtsError

export interface WaitingRoom {
  readonly waiting: number
  /** Calls back once, never at once. The answer ends the wait before its time, without a call: the client has gone. */
  wait(name: string, onEnd: (end: WaitEnd) => void): () => void
  /** Who waits still after this time is told that it stops; who comes later is told at once. */
  close(afterMs: number): void
}

/** Waits of one name. */
interface Bench {
  readonly name: string
  readonly waiters: Set<(end: WaitEnd) => void>
  readonly nobodyWaits: AbortController
}

const RETRY_AFTER_SECONDS = 5

/** Makes the room. */
export function createWaitingRoom(parts: WaitingRoomParts): WaitingRoom {
  const benches = new Map<string, Bench>()
  let waiting = 0
  let closed = false

  const benchOf = (name: string): Bench => {
    const there = benches.get(name)
    if (there) return there
    const bench = openBench(parts.keeper, name, () => forget(bench))
    benches.set(name, bench)
    return bench
  }
  const forget = (bench: Bench): void => {
    if (benches.get(bench.name) === bench) benches.delete(bench.name)
  }

  const wait = (name: string, onEnd: (end: WaitEnd) => void): (() => void) => {
    if (closed || waiting >= parts.places) {
      setImmediate(onEnd, closed ? stopping() : crowded())
      return () => undefined
    }
    const bench = benchOf(name)
    waiting += 1
    const leave = (): void => {
      if (!bench.waiters.delete(end)) return
      waiting -= 1
      clearTimeout(timer)
      if (bench.waiters.size > 0) return
      // The renewal itself goes on: it is the keeper's.
      forget(bench)
      bench.nobodyWaits.abort()
    }
    const end = (result: WaitEnd): void => {
      leave()
      onEnd(result)
    }
    const timer = setTimeout(() => end(tooLong()), parts.waitMs)
    bench.waiters.add(end)
    return leave
  }

  const close = (afterMs: number): void => {
    closed = true
    const tellAll = (): void => {
      for (const { waiters } of benches.values()) for (const end of waiters) end(stopping())
    }
    if (afterMs > 0) setTimeout(tellAll, afterMs).unref()
    else tellAll()
  }

  return {
    get waiting() {
      return waiting
    },
    wait,
    close,
  }
}

/** Asks the keeper once for all who will wait. */
function openBench(keeper: WaitingRoomParts['keeper'], name: string, onSettled: () => void): Bench {
  const bench: Bench = { name, waiters: new Set(), nobodyWaits: new AbortController() }
  const settle = (result: WaitEnd): void => {
    onSettled()
    for (const end of bench.waiters) end(result)
  }
  keeper.obtain(name, bench.nobodyWaits.signal).then(settle, (cause: unknown) => {
    const unknown = 'something failed inside certcache'
    settle(cause instanceof TtsError ? cause : new TtsError('internal', unknown, { cause }))
  })
  return bench
}

const tooLong = (): TtsError =>
  new TtsError('overloaded', 'the first proxy is still being obtained', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
const crowded = (): TtsError =>
  new TtsError('overloaded', 'too many requests wait for the first proxy already', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
const stopping = (): TtsError =>
  new TtsError('shutting_down', 'this certcache is stopping', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
