/**
 * Where proxies for CSRs are signed: in threads that do nothing else. The event loop is left to HTTP, tokens and records, and one
 * thread that signs, verifies and reads back by itself needs less than the ways to node's pool and back.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { CaError } from '../../ca/errors.ts'
import { createPendingAnswers } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import type { CachedEndEntity, ProxyJob, SignedProxy } from './proxy-job.ts'
import type { SigningAnswer, SigningQuestion } from './signing-thread.ts'

/** Signs proxies for CSRs. */
export interface SigningPool {
  /**
   * Verifies the CSR, signs, and reads the proxy back.
   *
   * @throws {CaError} as `readCsr` and `issueProxy`
   * @throws {TtsError} `overloaded` when too many jobs wait or the thread ended, `shutting_down`
   */
  proxy(endEntity: CachedEndEntity, job: ProxyJob): Promise<SignedProxy>
  /** Ends the threads; jobs that still wait are refused. Safe to call twice. */
  close(): Promise<void>
}

export interface SigningPoolOptions {
  readonly log: Log
  /** At most this many; they start when they are needed. */
  readonly threads: number
  /** Jobs that may wait. Default 1000. */
  readonly maxWaiting?: number
  /** A thread that answers nothing for so long while jobs wait is ended. Default 10,000. */
  readonly stallMs?: number
  /** Starts a thread. Default: one that runs `signing-thread.ts`. */
  readonly start?: () => Worker
}

const MAX_WAITING = 1000
const STALL_MS = 10_000
/** Jobs of one message at most: the last of them is answered with the first. */
const MAX_TOGETHER = 8

/** The pool with its threads. */
export function createSigningPool(options: SigningPoolOptions): SigningPool {
  const { maxWaiting = MAX_WAITING, start = startThread } = options
  const threads = Array.from({ length: options.threads }, () => new SigningThread(start, options))
  let closing: Promise<void> | undefined
  return {
    async proxy(endEntity, job) {
      if (closing !== undefined)
        throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
      const waiting = threads.reduce((sum, thread) => sum + thread.waiting, 0)
      if (waiting >= maxWaiting) throw overloaded('too many proxies wait to be signed')
      const freest = threads.reduce((best, next) => (next.waiting < best.waiting ? next : best))
      return freest.sign(endEntity, job)
    },
    close: () =>
      (closing ??= Promise.all(threads.map(async (thread) => thread.end())).then(() => undefined)),
  }
}

function startThread(): Worker {
  // Nothing of this program's options or environment is for the thread.
  const body = new URL(`signing-thread${extname(import.meta.url)}`, import.meta.url)
  return new Worker(body, { execArgv: [], env: {} })
}

function overloaded(message: string, cause?: unknown): TtsError {
  return new TtsError('overloaded', message, { check: 'signing', retryAfterSeconds: 1, cause })
}

/** One thread: started by its first job, and anew by the next one after it died. */
class SigningThread {
  readonly #start: () => Worker
  readonly #options: SigningPoolOptions
  readonly #pending = createPendingAnswers<SigningAnswer>()
  /** Asked in this turn of the event loop: they travel together, since each message between threads costs as much as a parse. */
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
    // A pool that nobody waits for keeps no process alive.
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
    this.#pending.rejectAll(overloaded('the proxy could not be signed now', cause))
  }
}

function errorFrom(error: SigningAnswer['error']): Error {
  const { refusal, message, cause } = error ?? { message: 'the signing thread gave no answer' }
  const options = cause === undefined ? {} : { cause: new Error(cause) }
  if (refusal === undefined) return new Error(message, options)
  const { code, ...details } = refusal
  return new CaError(code, message, { ...details, ...options })
}
