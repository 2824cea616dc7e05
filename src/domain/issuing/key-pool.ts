/**
 * Makes private keys for requests without a key. An RSA key takes a core a tenth of a second or more, so keys are
 * made in advance while cores are idle. The queue is bounded in total and per identity; requests beyond that are
 * refused immediately.
 */
import type { KeyObject } from 'node:crypto'
import { generatePrivateKey, type KeyKind } from '../../../ca/key.ts'
import { createFairQueue, QueueFullError } from '../../../plugins/fair-queue.ts'
import { TtsError } from '../../base/errors.ts'
import type { RsaKeyKind } from '../../signing/key-thread.ts'
import type { KeyThreads } from '../../signing/key-threads.ts'
import { createKeyStock } from './key-stock.ts'

/** The caller that a key is made for. */
export interface KeyClaimant {
  readonly identityId: string
  /** Aborts when the caller no longer waits for the key. */
  readonly signal: AbortSignal
}

export interface KeyPool {
  /**
   * Returns a private key that no other caller gets.
   *
   * @throws {TtsError} `overloaded`, check `key_queue` (the queue is full), `deadline` (the signal was aborted) or
   * `key_thread` (a thread ended)
   * @throws {TtsError} `limit_reached`, check `identity_keys` (too many requests of this identity wait);
   * `shutting_down`
   */
  take(kind: KeyKind, claimant: KeyClaimant): Promise<KeyObject>
  /** Number of ready keys by kind, and of waiting callers, for the metrics. */
  readonly state: { readonly ready: ReadonlyMap<KeyKind, number>; readonly waiting: number }
  close(): void
}

export interface KeyPoolOptions {
  /** Number of keys of each kind kept ready. */
  readonly size: number
  /** Number of callers that may wait. */
  readonly queue: number
  /** Number of callers of one identity that may wait. */
  readonly queuePerIdentity: number
  /** Kinds kept ready from the start; another one from the first request for it. */
  readonly kinds: readonly KeyKind[]
  /** Number of cores; so many keys are made in parallel. */
  readonly cores: number
  /** Number of cores that no request needs now; keys are made in advance only by them. */
  readonly idleCores: () => number
  readonly threads: KeyThreads
}

export function createKeyPool(options: KeyPoolOptions): KeyPool {
  const { cores, threads } = options
  const queue = createFairQueue({
    parallel: cores,
    // The others get their turn: a key of 4096 bits can take seconds.
    parallelPerKey: Math.max(1, cores - 1),
    waiting: options.queue,
    waitingPerKey: options.queuePerIdentity,
  })
  const stock = createKeyStock({
    size: options.size,
    kinds: options.kinds.filter(isRsa),
    idleCores: () => options.idleCores() - queue.running - queue.waiting,
    threads,
  })
  let closed = false

  async function make(kind: RsaKeyKind, { identityId, signal }: KeyClaimant): Promise<KeyObject> {
    try {
      const key = await queue.run(identityId, signal, () => threads.make(kind))
      if (!signal.aborted) return key
      stock.keep(kind, key)
    } catch (error) {
      if (!signal.aborted) throw error instanceof QueueFullError ? tooMany(error) : error
    }
    throw cancelledRequest()
  }

  return {
    async take(kind, claimant) {
      if (closed)
        throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
      if (!isRsa(kind)) return generatePrivateKey(kind)
      return stock.take(kind) ?? make(kind, claimant)
    },
    get state() {
      return { ready: stock.counts, waiting: queue.waiting }
    },
    close() {
      closed = true
      stock.close()
      threads.close()
    },
  }
}

function isRsa(kind: KeyKind): kind is RsaKeyKind {
  return kind.startsWith('rsa')
}

function tooMany({ code }: QueueFullError): TtsError {
  const advice = 'make the key yourself and send a CSR, or try again later'
  return code === 'key_full'
    ? new TtsError(
        'limit_reached',
        `too many requests of this identity wait for a key; ${advice}`,
        {
          check: 'identity_keys',
          remedy:
            'Raise limits.identity_share or limits.key_queue if one identity may wait for more keys.',
          retryAfterSeconds: 5,
        },
      )
    : new TtsError('overloaded', `too many requests wait for a new key; ${advice}`, {
        check: 'key_queue',
        remedy: 'Raise limits.key_queue if more requests may wait for a key.',
        retryAfterSeconds: 5,
      })
}

function cancelledRequest(): TtsError {
  return new TtsError('overloaded', 'the request was cancelled before its key was made', {
    check: 'deadline',
    retryAfterSeconds: 5,
  })
}
