/**
 * Makes private keys for requests without a key. An RSA key takes a core a tenth of a second or more, so keys are
 * made in advance while the service is idle. The queue is bounded in total and per identity; requests beyond that are
 * refused immediately.
 */
import type { KeyObject } from 'node:crypto'
import { generatePrivateKey, type KeyKind } from '../../../ca/key.ts'
import { createFairQueue, QueueFullError } from '../../../plugins/fair-queue.ts'
import { TtsError } from '../../base/errors.ts'

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
   * @throws {TtsError} `overloaded`, check `key_queue` (the queue is full) or `deadline` (the signal was aborted)
   * @throws {TtsError} `limit_reached`, check `identity_keys` (too many requests of this identity wait);
   * `shutting_down`
   */
  take(kind: KeyKind, claimant: KeyClaimant): Promise<KeyObject>
  /** Number of ready keys and waiting callers, for the metrics. */
  readonly state: { readonly ready: number; readonly waiting: number }
  close(): void
}

/** How often the pool checks whether the service is idle, to make keys in advance. */
const LOOK_INTERVAL_MS = 250
/**
 * Keys made in parallel; more would slow down signing. Each identity has at most one of them, so that others get
 * their turn.
 */
const AT_ONCE = 2

/**
 * @param options.size number of RSA-2048 keys kept ready
 * @param options.queue number of callers that may wait
 * @param options.queuePerIdentity number of callers of one identity that may wait
 * @param options.idle whether no request is running; keys are made in advance only then
 */
export function createKeyPool(options: {
  readonly size: number
  readonly queue: number
  readonly queuePerIdentity: number
  readonly idle: () => boolean
}): KeyPool {
  const ready: KeyObject[] = []
  const queue = createFairQueue({
    parallel: AT_ONCE,
    parallelPerKey: 1,
    waiting: options.queue,
    waitingPerKey: options.queuePerIdentity,
  })
  const never = new AbortController().signal
  let closed = false

  async function make(kind: KeyKind, { identityId, signal }: KeyClaimant): Promise<KeyObject> {
    try {
      const key = await queue.run(identityId, signal, () => generatePrivateKey(kind))
      if (!signal.aborted) return key
      // The caller has gone: keep the key for another one.
      if (kind === 'rsa-2048' && ready.length < options.size && !closed) ready.push(key)
    } catch (error) {
      if (!signal.aborted) throw error instanceof QueueFullError ? tooMany(error) : error
    }
    throw cancelledRequest()
  }

  async function refill(): Promise<void> {
    const isBusy = queue.running > 0 || queue.waiting > 0 || !options.idle()
    if (closed || isBusy || ready.length >= options.size) return
    const key = await make('rsa-2048', { identityId: '', signal: never })
    if (!closed) ready.push(key)
    await refill()
  }
  // A failure is ignored: the next interval tries again.
  const look = (): void => void refill().catch(() => undefined)
  const timer = setInterval(look, LOOK_INTERVAL_MS)
  timer.unref()
  look()

  return {
    async take(kind, claimant) {
      if (closed)
        throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
      const prepared = kind === 'rsa-2048' ? ready.shift() : undefined
      if (prepared) return prepared
      return kind.startsWith('ec') ? generatePrivateKey(kind) : make(kind, claimant)
    },
    get state() {
      return { ready: ready.length, waiting: queue.waiting }
    },
    close() {
      closed = true
      clearInterval(timer)
      ready.length = 0
    },
  }
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
