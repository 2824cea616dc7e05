/**
 * Private keys for requests that bring none. An RSA key costs a core a tenth of a second and more, so that keys are made
 * ahead while there is time. Waiting callers are bounded, each identity has a share, and the rest are refused at once.
 */
import type { KeyObject } from 'node:crypto'
import { generatePrivateKey, type KeyKind } from '../../../ca/key.ts'
import { createFairQueue, QueueFullError } from '../../../plugins/fair-queue.ts'
import { TtsError } from '../../base/errors.ts'

/** For whom a key is made. */
export interface KeyClaimant {
  readonly identityId: string
  /** Ends when nobody waits for the key any more. */
  readonly signal: AbortSignal
}

export interface KeyPool {
  /**
   * A private key that nobody else gets.
   *
   * @throws {TtsError} `overloaded` when too many callers wait already, or the signal has ended; `limit_reached`, check
   *   `identity_keys`, when too many of this identity do; `shutting_down`
   */
  take(kind: KeyKind, claimant: KeyClaimant): Promise<KeyObject>
  /** Keys ready and callers waiting, for the metrics. */
  readonly state: { readonly ready: number; readonly waiting: number }
  close(): void
}

/** How often the pool looks whether there is time to make keys ahead. */
const LOOK_INTERVAL_MS = 250
/** Keys made at once: more would take the cores from signing. One identity has one at a time, so that others get their turn. */
const AT_ONCE = 2

/**
 * @param options.size RSA-2048 keys kept ready
 * @param options.queue callers that may wait
 * @param options.queuePerIdentity callers of one identity that may wait
 * @param options.idle false while requests are under way: keys are made ahead only when nobody waits for the cores
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
      // Nobody waits for it any more; somebody else will.
      if (kind === 'rsa-2048' && ready.length < options.size && !closed) ready.push(key)
    } catch (error) {
      if (!signal.aborted) throw error instanceof QueueFullError ? tooMany(error) : error
    }
    throw abandoned()
  }

  async function refill(): Promise<void> {
    const isBusy = queue.running > 0 || queue.waiting > 0 || !options.idle()
    if (closed || isBusy || ready.length >= options.size) return
    const key = await make('rsa-2048', { identityId: '', signal: never })
    if (!closed) ready.push(key)
    await refill()
  }
  // A key that could not be made is tried again at the next look.
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

function abandoned(): TtsError {
  return new TtsError('overloaded', 'the request was given up before its key was made', {
    check: 'deadline',
    retryAfterSeconds: 5,
  })
}
