/**
 * Signs proxies for CSRs in worker threads. This keeps the event loop free for HTTP, tokens and records. A thread
 * that does all of verifying, signing and reading back is cheaper than several hand-offs to the libuv pool.
 */
import type { Worker } from 'node:worker_threads'
import { CaError } from '../../ca/errors.ts'
import { createPendingAnswers } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { startThread } from '../base/own-code.ts'
import type { CachedEndEntity, ProxyJob, SignedProxy } from './proxy-job.ts'
import type { SigningAnswer, SigningQuestion } from './signing-thread.ts'

/** Signs proxies for CSRs. */
export interface SigningPool {
  /**
   * Verifies the CSR, signs the proxy, and reads it back.
   *
   * @throws {CaError} as `readCsr` and `issueProxy`
   * @throws {TtsError} `overloaded`, check `signing` (too many jobs wait, or the thread ended); `shutting_down`
   */
  proxy(endEntity: CachedEndEntity, job: ProxyJob): Promise<SignedProxy>
  /** Ends the threads; waiting jobs are refused. May be called twice. */
  close(): Promise<void>
}

export interface SigningPoolOptions {
  readonly log: Log
  /** Maximum number of threads; they start when they are needed. */
  readonly threads: number
  /** Number of jobs that may wait. Default 1000. */
  readonly maxWaiting?: number
  /** A thread that answers nothing for this long while jobs wait is ended, in milliseconds. Default 10,000. */
  readonly stallMs?: number
  /** Called with the seconds that a proxy needed, with its wait for the thread. */
  readonly onSigned?: ((seconds: number) => void) | undefined
  /** Starts a thread. Default: one that runs `signing-thread.ts`. */
  readonly start?: () => Worker
}

const MAX_WAITING = 1000
const STALL_MS = 10_000
/** Maximum number of jobs in one message; they are all answered together. */
const MAX_TOGETHER = 8

/** Creates the pool. */
export function createSigningPool(options: SigningPoolOptions): SigningPool {
  const { maxWaiting = MAX_WAITING, start = () => startThread('signing-thread', import.meta.url) } =
    options
  const threads = Array.from({ length: options.threads }, () => new SigningThread(start, options))
  let closing: Promise<void> | undefined
  return {
    async proxy(endEntity, job) {
      if (closing !== undefined)
        throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
      const waiting = threads.reduce((sum, thread) => sum + thread.waiting, 0)
      if (waiting >= maxWaiting) throw overloaded('too many proxies are waiting to be signed')
      const freest = threads.reduce((best, next) => (next.waiting < best.waiting ? next : best))
      const begunMs = performance.now()
      const signed = await freest.sign(endEntity, job)
      options.onSigned?.((performance.now() - begunMs) / 1000)
      return signed
    },
    close: () =>
      (closing ??= Promise.all(threads.map(async (thread) => thread.end())).then(() => undefined)),
  }
}

function overloaded(message: string, cause?: unknown): TtsError {
  return new TtsError('overloaded', message, { check: 'signing', retryAfterSeconds: 1, cause })
}

/** One thread. It is started by the first job, and again by the next job after it ended. */
class SigningThread {
  readonly #start: () => Worker
  readonly #options: SigningPoolOptions
  readonly #pending = createPendingAnswers<SigningAnswer>()
  /** Jobs of this turn of the event loop, sent in one message because each message between threads is expensive. */
  #outbox: SigningQuestion[] = []
  #worker: Worker | undefined
  #stall: NodeJS.Timeout | undefined

  constructor(start: () => Worker, options: SigningPoolOptions) {
    this.#start = start
    this.#options = options
  }

  get waiting(): number {
    return this.#pending.size
  }

  async sign(endEntity: CachedEndEntity, job: ProxyJob): Promise<SignedProxy> {
    const { certificate, privateKey } = endEntity
    const question = {
      endEntity: certificate.serial,
      job: { ...job, serial: job.serial.toString('hex') },
    }
    let answer = await this.#ask(question)
    if (answer.unknownEndEntity) {
      const key = { certificate: certificate.der.toString('latin1'), privateKey }
      answer = await this.#ask({ ...question, key })
    }
    const { signed, error } = answer
    if (signed) return { ...signed, der: Buffer.from(signed.der, 'latin1') }
    throw errorFrom(error)
  }

  async end(): Promise<void> {
    await this.#worker?.terminate()
  }

  async #ask(question: Omit<SigningQuestion, 'id'>): Promise<SigningAnswer> {
    const worker = (this.#worker ??= this.#begin())
    if (this.#pending.size === 0) {
      worker.ref()
      const stallMs = this.#options.stallMs ?? STALL_MS
      this.#stall = setTimeout(() => void worker.terminate(), stallMs).unref()
    }
    return await this.#pending.ask((id) => {
      this.#outbox.push({ id, ...question })
      if (this.#outbox.length === 1) setImmediate(() => this.#send())
      else if (this.#outbox.length === MAX_TOGETHER) this.#send()
    })
  }

  #send(): void {
    const questions = this.#outbox
    this.#outbox = []
    if (questions.length > 0) this.#worker?.postMessage(questions)
  }

  #begin(): Worker {
    const worker = this.#start()
    // An idle pool must not keep the process alive.
    worker.unref()
    let cause: unknown
    worker.on('message', (answers: readonly SigningAnswer[]) => this.#take(answers, worker))
    worker.on('error', (error) => (cause = error))
    worker.on('exit', () => this.#lose(cause))
    return worker
  }

  #take(answers: readonly SigningAnswer[], worker: Worker): void {
    for (const answer of answers) this.#pending.settle(answer.id, answer)
    if (this.#pending.size > 0) this.#stall?.refresh()
    else {
      clearTimeout(this.#stall)
      worker.unref()
    }
  }

  #lose(cause: unknown): void {
    clearTimeout(this.#stall)
    this.#worker = undefined
    const jobs = this.#pending.size
    this.#outbox = []
    if (cause !== undefined || jobs > 0) {
      this.#options.log.error(
        { event: 'signing.thread-ended', jobs, err: cause },
        'a signing thread ended; the next request starts another',
      )
    }
    this.#pending.rejectAll(overloaded('the proxy could not be signed', cause))
  }
}

function errorFrom(error: SigningAnswer['error']): Error {
  const { refusal, message, cause } = error ?? { message: 'the signing thread gave no answer' }
  const options = cause === undefined ? {} : { cause: new Error(cause) }
  if (refusal === undefined) return new Error(message, options)
  const { code, ...details } = refusal
  return new CaError(code, message, { ...details, ...options })
}
