/**
 * Makes RSA keys in threads of low priority. A key takes a core a tenth of a second or more; in Node's own thread pool
 * it would take that time from signatures.
 */
import type { KeyObject } from 'node:crypto'
import type { Worker } from 'node:worker_threads'
import { TtsError } from '../base/errors.ts'
import { startThread } from '../base/own-code.ts'
import type { KeyAnswer, RsaKeyKind } from './key-thread.ts'

/** Makes keys; the caller limits how many at the same time. */
export interface KeyThreads {
  /** @throws {TtsError} `overloaded`, check `key_thread` (the thread ended) */
  make(kind: RsaKeyKind): Promise<KeyObject>
  /**
   * Ends the threads; keys that are being made are refused once their threads end, which OpenSSL may delay by seconds.
   */
  close(): void
}

/** A thread that made nothing for this long ends: each takes a few megabytes. */
const IDLE_MS = 60_000

/** @param options.start starts a thread; default: one that runs `key-thread.ts` */
export function createKeyThreads(
  options: { readonly start?: () => Worker; readonly idleMs?: number } = {},
): KeyThreads {
  const { start = () => startThread('key-thread', import.meta.url), idleMs = IDLE_MS } = options
  const all = new Set<Worker>()
  const idle: { readonly worker: Worker; readonly timer: NodeJS.Timeout }[] = []

  const begin = (): Worker => {
    const worker = start()
    all.add(worker)
    worker.on('exit', () => all.delete(worker))
    // An error ends the thread. Its caller hears of it, if it has one.
    worker.on('error', () => undefined)
    return worker
  }
  /** Returns a thread that does nothing else, the last used one first. */
  const takeThread = (): Worker => {
    const last = idle.pop()
    clearTimeout(last?.timer)
    return last !== undefined && all.has(last.worker) ? last.worker : begin()
  }
  const giveBack = (worker: Worker): void => {
    worker.unref()
    const timer = setTimeout(() => {
      idle.splice(
        idle.findIndex((entry) => entry.worker === worker),
        1,
      )
      void worker.terminate()
    }, idleMs).unref()
    idle.push({ worker, timer })
  }

  return {
    make: (kind) =>
      new Promise((resolve, reject) => {
        const worker = takeThread()
        worker.ref()
        let cause: unknown
        const failed = (error: unknown): void => void (cause = error)
        const ended = (): void => reject(lost(cause))
        worker.once('error', failed)
        worker.once('exit', ended)
        worker.once('message', (answer: KeyAnswer) => {
          worker.off('exit', ended)
          worker.off('error', failed)
          giveBack(worker)
          if ('key' in answer) resolve(answer.key)
          else reject(lost(new Error(answer.problem)))
        })
        worker.postMessage(kind)
      }),
    close() {
      for (const { timer } of idle) clearTimeout(timer)
      for (const worker of all) void worker.terminate()
    },
  }
}

function lost(cause: unknown): TtsError {
  return new TtsError('overloaded', 'the key could not be made', {
    check: 'key_thread',
    retryAfterSeconds: 1,
    cause,
  })
}
