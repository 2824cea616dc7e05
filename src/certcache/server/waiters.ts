/** Where requests wait for the first proxy: bounded in number and time, and all of one name wait for the same renewal. */
import { TtsError } from '../../base/errors.ts'
import type { HeldProxy, ProxyEngine } from '../proxy-engine.ts'

export interface WaitersOptions {
  readonly engine: Pick<ProxyEngine, 'obtain'>
  /** Longest wait of one request. */
  readonly waitMs: number
  /** How many requests may wait, of all names together. */
  readonly limit: number
}

/** What a wait ended with: the engine has a proxy now, or why it has none. */
export type WaitEnd = HeldProxy | TtsError

export interface Waiters {
  readonly waiting: number
  /** Calls back once, never at once. The answer ends the wait before its time, without a call: the client has gone. */
  wait(name: string, onEnd: (end: WaitEnd) => void): () => void
  /** Requests that still wait after this time get 503; later ones get it at once. */
  close(afterMs: number): void
}

/** Requests that wait for the same proxy. */
interface Group {
  readonly name: string
  readonly waiters: Set<(end: WaitEnd) => void>
  readonly nobodyWaits: AbortController
}

const RETRY_AFTER_SECONDS = 5

/** A bounded set of waiting requests. */
export function createWaiters(parts: WaitersOptions): Waiters {
  const groups = new Map<string, Group>()
  let waiting = 0
  let closed = false

  const groupOf = (name: string): Group => {
    const there = groups.get(name)
    if (there) return there
    const group = openGroup(parts.engine, name, () => forget(group))
    groups.set(name, group)
    return group
  }
  const forget = (group: Group): void => {
    if (groups.get(group.name) === group) groups.delete(group.name)
  }

  const wait = (name: string, onEnd: (end: WaitEnd) => void): (() => void) => {
    if (closed || waiting >= parts.limit) {
      setImmediate(onEnd, closed ? stopping() : tooMany())
      return () => undefined
    }
    const group = groupOf(name)
    waiting += 1
    const leave = (): void => {
      if (!group.waiters.delete(end)) return
      waiting -= 1
      clearTimeout(timer)
      if (group.waiters.size > 0) return
      // The renewal itself goes on: it is the engine's.
      forget(group)
      group.nobodyWaits.abort()
    }
    const end = (result: WaitEnd): void => {
      leave()
      onEnd(result)
    }
    const timer = setTimeout(() => end(tooLong()), parts.waitMs)
    group.waiters.add(end)
    return leave
  }

  const close = (afterMs: number): void => {
    closed = true
    const tellAll = (): void => {
      for (const { waiters } of groups.values()) for (const end of waiters) end(stopping())
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

/** Asks the engine once for all who will wait. */
function openGroup(engine: WaitersOptions['engine'], name: string, onSettled: () => void): Group {
  const group: Group = { name, waiters: new Set(), nobodyWaits: new AbortController() }
  const settle = (result: WaitEnd): void => {
    onSettled()
    for (const end of group.waiters) end(result)
  }
  engine.obtain(name, group.nobodyWaits.signal).then(settle, (cause: unknown) => {
    const unknown = 'something failed inside certcache'
    settle(cause instanceof TtsError ? cause : new TtsError('internal', unknown, { cause }))
  })
  return group
}

const tooLong = (): TtsError =>
  new TtsError('overloaded', 'the first proxy is still being obtained', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
const tooMany = (): TtsError =>
  new TtsError('overloaded', 'too many requests wait for the first proxy already', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
const stopping = (): TtsError =>
  new TtsError('shutting_down', 'this certcache is stopping', {
    retryAfterSeconds: RETRY_AFTER_SECONDS,
  })
