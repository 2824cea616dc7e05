/**
 * Private keys for requests that bring none. An RSA key costs a core a tenth of a second and more, so that keys are made
 * ahead while there is time, one at a time; waiting callers are bounded, and the rest are refused at once.
 */
import type { KeyObject } from 'node:crypto'
import { generatePrivateKey, type KeyKind } from '../../ca/key.ts'
import { TtsError } from '../errors.ts'

export interface KeyPool {
  /**
   * A private key that nobody else gets.
   *
   * @throws {TtsError} `overloaded` when too many callers wait already, `shutting_down`
   */
  take(kind: KeyKind): Promise<KeyObject>
  /** Keys ready and callers waiting, for the metrics. */
  readonly state: { readonly ready: number; readonly waiting: number }
  close(): void
}

/** How often the pool looks whether there is time to make keys ahead. */
const LOOK_INTERVAL_MS = 250
/** Keys made at once: more would take the cores from signing. */
const AT_ONCE = 2

/**
 * @param options.size RSA-2048 keys kept ready
 * @param options.queue callers that may wait
 * @param options.idle false while requests are under way: keys are made ahead only when nobody waits for the cores
 */
export function createKeyPool(options: {
  readonly size: number
  readonly queue: number
  readonly idle: () => boolean
}): KeyPool {
  const ready: KeyObject[] = []
  const waiting: (() => void)[] = []
  let making = 0
  let closed = false

  /** Runs a generation when one of the places is free. */
  async function make(kind: KeyKind): Promise<KeyObject> {
    if (making >= AT_ONCE) await new Promise<void>((resolve) => waiting.push(resolve))
    else making += 1
    try {
      return await generatePrivateKey(kind)
    } finally {
      const next = waiting.shift()
      if (next) next()
      else making -= 1
    }
  }

  async function refill(): Promise<void> {
    if (closed || making > 0 || ready.length >= options.size || !options.idle()) return
    const key = await make('rsa-2048')
    if (!closed) ready.push(key)
    await refill()
  }
  // A key that could not be made is tried again at the next look.
  const look = (): void => void refill().catch(() => undefined)
  const timer = setInterval(look, LOOK_INTERVAL_MS)
  timer.unref()
  look()

  return {
    async take(kind) {
      if (closed)
        throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
      const prepared = kind === 'rsa-2048' ? ready.shift() : undefined
      if (prepared) return prepared
      if (kind.startsWith('rsa') && waiting.length >= options.queue) {
        throw new TtsError(
          'overloaded',
          'too many requests wait for a new key; make the key yourself and send a CSR, or try again later',
          { retryAfterSeconds: 5 },
        )
      }
      return kind.startsWith('ec') ? generatePrivateKey(kind) : make(kind)
    },
    get state() {
      return { ready: ready.length, waiting: waiting.length }
    },
    close() {
      closed = true
      clearInterval(timer)
      ready.length = 0
    },
  }
}
