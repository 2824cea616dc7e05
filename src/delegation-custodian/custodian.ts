/**
 * A process of the service's own that alone uses refresh tokens. A provider that rotates them without grace (INDIGO IAM as it
 * comes) forgets the old one the moment it answers: who is killed between that answer and the commit has lost the
 * delegation. The custodian is in a session of its own and goes on when the service is killed: it stores what it was given,
 * and ends. The next service's custodian waits meanwhile for the records' lock on that delegation, and finds the new token.
 *
 * What remains: the machine, or the whole container, dies between the answer and the commit.
 */
import type { ChildProcess } from 'node:child_process'
import type { Environment } from '../config/settings-tree.ts'
import { startDetached } from '../detached-process.ts'
import type { RateLimiter } from '../limits/rate-limiter.ts'
import { TtsError } from '../errors.ts'
import type { Log } from '../log.ts'
import { toldError } from '../told-error.ts'
import { custodianProgram } from './main.ts'
import { type Answer, type CustodianOrder, messageOf, onLines, type Question } from './protocol.ts'

/** What a custodian is made with. */
export interface CustodianOptions {
  readonly order: () => CustodianOrder
  /** What of it holds no secret goes on to it. */
  readonly environment: Environment
  /** How often one may be started. */
  readonly starts: RateLimiter
  readonly log: Log
}

/** Asks the custodian, which is started by the first question and anew by the next one after it ended. */
export interface Custodian {
  /** True while there is one. */
  isRunning(): boolean
  /**
   * @param deadlineMs after which a custodian counts as hung: it is left to itself, and the next question starts another
   * @throws {TtsError} what it tells; `provider_unavailable` when it ended before it answered, `overloaded`, `shutting_down`
   */
  ask(question: Question, deadlineMs: number): Promise<Answer>
  /** Lets it finish what was begun and waits for its end, at most so long; then it goes on alone. */
  close(waitMs: number): Promise<void>
}

/** As many delegations may wait at once. */
const MAX_WAITING = 1000

export function createCustodian(options: CustodianOptions): Custodian {
  const { starts, log } = options
  const alive = new Set<CustodianProcess>()
  let current: CustodianProcess | undefined
  let closing = false

  function start(): CustodianProcess {
    const retryAfterSeconds = starts.take('custodian')
    if (retryAfterSeconds > 0) throw endsTooOften(retryAfterSeconds)
    const started = new CustodianProcess(options)
    alive.add(started)
    void started.ended.then(() => {
      alive.delete(started)
      if (current === started) current = undefined
    })
    return started
  }

  return {
    isRunning: () => current !== undefined,
    async ask(question, deadlineMs) {
      if (closing)
        throw new TtsError('shutting_down', 'the service is stopping', { retryAfterSeconds: 5 })
      const asked = (current ??= start())
      if (asked.waiting >= MAX_WAITING)
        throw new TtsError('overloaded', 'too many renewals wait', {
          check: 'custodian',
          retryAfterSeconds: 5,
        })
      return asked.ask(question, deadlineMs, () => {
        if (current === asked) current = undefined
        asked.letFinish()
      })
    },
    async close(waitMs) {
      closing = true
      for (const process of alive) process.letFinish()
      let timer: NodeJS.Timeout | undefined
      const expired = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, waitMs)
      })
      await Promise.race([Promise.all([...alive].map(async ({ ended }) => ended)), expired])
      clearTimeout(timer)
      if (alive.size > 0)
        log.warn(
          { event: 'delegation.custodian-left' },
          'a refresh is still under way: its custodian stores what comes of it, and ends by itself',
        )
    },
  }
}

interface Waiting {
  readonly resolve: (answer: Answer) => void
  readonly reject: (error: TtsError) => void
  readonly timer: NodeJS.Timeout
}

/** One process, from its start to its end. */
class CustodianProcess {
  /** Fulfilled when it has ended and all that it said is heard. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #log: Log
  readonly #waiting = new Map<number, Waiting>()
  #lastId = 0
  #failure: TtsError | undefined
  #mayEnd = false

  constructor({ order, environment, log }: CustodianOptions) {
    this.#log = log
    this.#child = startProcess(environment)
    const { pid, stdin, stdout } = this.#child
    this.ended = new Promise((resolve) => {
      this.#child.once('error', (cause) => {
        this.#failure = cannotStart(cause)
        // Without a process there is no other event.
        if (pid === undefined) resolve()
      })
      this.#child.once('close', () => resolve())
    })
    void this.ended.then(() => this.#lose())
    stdin?.on('error', () => undefined)
    if (stdout !== null) onLines(stdout, (line) => this.#take(line))
    stdin?.write(`${JSON.stringify(order())}\n`)
    if (pid !== undefined)
      log.info(
        { event: 'delegation.custodian-started', pid },
        'custodian of refresh tokens started',
      )
  }

  get waiting(): number {
    return this.#waiting.size
  }

  ask(question: Question, deadlineMs: number, onHung: () => void): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#lastId += 1
      const id = this.#lastId
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(cutShort())
        onHung()
      }, deadlineMs)
      this.#waiting.set(id, { resolve, reject, timer })
      this.#child.stdin?.write(`${JSON.stringify({ id, ...question })}\n`)
    })
  }

  /** It hears that there are no more questions. Never killed: it may hold the only copy of a token. */
  letFinish(): void {
    this.#mayEnd = true
    this.#child.stdin?.end()
  }

  #take(line: string): void {
    const message = messageOf(line)
    if (message === undefined) return
    if ('log' in message) {
      const { level, fields, message: text } = message.log
      this.#log[level](fields, text)
    } else if ('failed' in message) {
      this.#failure = toldError(message.failed)
    } else {
      const found = this.#waiting.get(message.id)
      this.#waiting.delete(message.id)
      clearTimeout(found?.timer)
      if ('error' in message.answer) found?.reject(toldError(message.answer.error))
      else found?.resolve(message.answer)
    }
  }

  #lose(): void {
    const lost = [...this.#waiting.values()]
    this.#waiting.clear()
    if (!this.#mayEnd || lost.length > 0)
      this.#log.error(
        { event: 'delegation.custodian-ended', lost: lost.length, err: this.#failure },
        'the custodian of refresh tokens ended; the next renewal starts another',
      )
    for (const { reject, timer } of lost) {
      clearTimeout(timer)
      reject(this.#failure ?? cutShort())
    }
  }
}

/** In a session of its own, so that no signal to our process group reaches it; and it keeps nobody alive. */
function startProcess(environment: Environment): ChildProcess {
  const child = startDetached(custodianProgram, environment)
  child.unref()
  for (const stream of [child.stdin, child.stdout]) (stream as { unref?(): void }).unref?.()
  return child
}

/** The renewal may have been stored or not; the next one sees. */
function cutShort(): TtsError {
  return new TtsError('provider_unavailable', 'the renewal was cut short on our side', {
    check: 'custodian',
    retryAfterSeconds: 5,
  })
}

function endsTooOften(retryAfterSeconds: number): TtsError {
  return new TtsError('overloaded', 'renewal is not possible for the moment', {
    check: 'custodian',
    retryAfterSeconds,
    remedy:
      'the custodian of refresh tokens ends again and again: the log says why (delegation.custodian-ended)',
  })
}

function cannotStart(cause: Error): TtsError {
  return new TtsError('overloaded', 'renewal is not possible for the moment', {
    check: 'custodian',
    retryAfterSeconds: 5,
    remedy: 'the custodian of refresh tokens cannot be started: memory or processes may be short',
    cause,
  })
}
