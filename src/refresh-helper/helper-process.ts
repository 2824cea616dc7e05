/**
 * The process that makes refresh requests (`refresh-process.ts`), seen from the one that needs them. It is started by
 * the first request, makes all further ones, and ends after a while without any: a renewal costs milliseconds then, and
 * not the start of a program.
 */
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import type { Environment } from '../config/settings-tree.ts'
import { TtsError } from '../base/errors.ts'
import { refreshProcessProgram } from '../base/own-code.ts'
import { currentNetwork } from '../network/network.ts'
import type { HelperInput, HelperLine } from './refresh-process.ts'
import type { RequestOrder, RequestOutcome } from './request.ts'

/** A request that has been handed over. */
export interface Begun {
  readonly outcome: Promise<RequestOutcome>
  /** Tells the helper that its answer is stored, so it need not write it to the spool any more. */
  readonly stored: () => void
  /** Fulfilled when the helper has nothing left to do for it. */
  readonly ended: Promise<void>
}

export interface HelperProcess {
  /** @param path path of the spool file for the answer */
  begin(order: RequestOrder, path: string): Begun
}

export interface HelperProcessOptions {
  /** The spool. It identifies the process in lists of processes. */
  readonly directory: string
  /** The variables in `PASSED_VARIABLES` are passed on. */
  readonly environment: Environment
  /** How long a process is kept without a request, in milliseconds. Default 30 s. */
  readonly idleMs?: number
  /** After this time another process takes over, which reads files with CAs again, in milliseconds. Default 10 min. */
  readonly maximumAgeMs?: number
}

/** Variables for TLS and time. The proxy is not among them, because its URL may hold a password: a line has it. */
const PASSED_VARIABLES = [
  'HOME',
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'NODE_USE_SYSTEM_CA',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'TZ',
]

const IDLE_MS = 30_000
const MAXIMUM_AGE_MS = 600_000

/** The path also identifies the helper in lists of processes. */
export const helperProgram = refreshProcessProgram(import.meta.url)

export function createHelperProcess(options: HelperProcessOptions): HelperProcess {
  const { idleMs = IDLE_MS, maximumAgeMs = MAXIMUM_AGE_MS } = options
  let current: Running | undefined
  return {
    begin: (order, path) => {
      const network = JSON.stringify(currentNetwork())
      if (current?.fits(network) !== true) {
        current?.retire()
        current = undefined
        current = new Running(start(options), { network, idleMs, maximumAgeMs })
      }
      return current.begin(order, path)
    },
  }
}

type Child = ChildProcessByStdio<Writable, Readable, null>

/**
 * Runs in its own session, so that signals to our process group do not reach it. It is never killed, and does not
 * keep this process alive.
 */
function start({ directory, environment }: HelperProcessOptions): Child {
  const env = Object.fromEntries(
    PASSED_VARIABLES.flatMap((name) => {
      const value = environment[name]
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
  const child = spawn(process.execPath, [helperProgram, directory], {
    detached: true,
    cwd: '/',
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  // Without free file descriptors there are no pipes, and an `error` that nobody hears would end this process.
  child.on('error', () => undefined)
  if ((child.stdin as Writable | undefined) === undefined) throw new Error('no pipe could be made')
  child.unref()
  for (const stream of [child.stdin, child.stdout]) (stream as { unref?(): void }).unref?.()
  return child
}

/** A request in a process. */
interface Job {
  readonly order: RequestOrder
  readonly path: string
  readonly tell: (outcome: RequestOutcome) => void
  readonly fail: (error: TtsError) => void
  readonly end: () => void
  /** The process has the lock and the order, so it may have sent the request. */
  isOrdered: boolean
}

interface RunningOptions {
  /** The proxy and CAs that the process uses, as JSON. */
  readonly network: string
  readonly idleMs: number
  readonly maximumAgeMs: number
}

/** One process, from its start to its end. */
class Running {
  readonly #child: Child
  readonly #options: RunningOptions
  readonly #startedAt = performance.now()
  readonly #jobs = new Map<number, Job>()
  #lastId = 0
  #idle: NodeJS.Timeout | undefined
  #isRetired = false

  constructor(child: Child, options: RunningOptions) {
    this.#child = child
    this.#options = options
    child.stdin.on('error', () => undefined)
    // If the process cannot be started, there is no `close` event.
    child.once('error', (cause) => this.#over(cause))
    // `close` comes after the last line.
    child.once('close', () => this.#over())
    createInterface(child.stdout).on('line', (text) => {
      const line = lineOf(text)
      if (line !== undefined) this.#read(line)
    })
    child.stdin.write(`${options.network}\n`)
  }

  /** Whether a further request may go to this process. */
  fits(network: string): boolean {
    const isYoung = performance.now() - this.#startedAt < this.#options.maximumAgeMs
    return isYoung && !this.#isRetired && network === this.#options.network
  }

  begin(order: RequestOrder, path: string): Begun {
    clearTimeout(this.#idle)
    this.#lastId += 1
    const id = this.#lastId
    const {
      promise: outcome,
      resolve: tell,
      reject: fail,
    } = Promise.withResolvers<RequestOutcome>()
    const { promise: ended, resolve: end } = Promise.withResolvers<void>()
    this.#jobs.set(id, { order, path, tell, fail, end, isOrdered: false })
    this.#send({ id, prepare: path })
    return { outcome, ended, stored: () => this.#send({ id, stored: true }) }
  }

  /** Takes no further request, and ends when those that it has are done. */
  retire(): void {
    this.#isRetired = true
    this.#endIfIdle()
  }

  #send(line: HelperInput): void {
    this.#child.stdin.write(`${JSON.stringify(line)}\n`)
  }

  #read(line: HelperLine): void {
    const job = this.#jobs.get(line.id)
    if (job === undefined) return
    if ('ready' in line) {
      job.isOrdered = true
      this.#send({ id: line.id, order: job.order })
    } else if ('outcome' in line) job.tell(line.outcome)
    else if ('refused' in line) job.fail(cannotStart(job.path, new Error(line.refused)))
    else {
      this.#jobs.delete(line.id)
      job.end()
      this.#endIfIdle()
    }
  }

  /** Ends the process when it has nothing to do: at once, or if nothing comes for a while. */
  #endIfIdle(): void {
    if (this.#jobs.size > 0) return
    clearTimeout(this.#idle)
    if (this.#isRetired) this.#child.stdin.end()
    else this.#idle = setTimeout(() => this.retire(), this.#options.idleMs).unref()
  }

  /** The process has ended, or could not be started. */
  #over(cause?: Error): void {
    clearTimeout(this.#idle)
    this.#isRetired = true
    for (const job of this.#jobs.values()) {
      job.fail(job.isOrdered ? cutShort() : cannotStart(job.path, cause))
      job.end()
    }
    this.#jobs.clear()
  }
}

/** Undefined for a line that was cut off. */
function lineOf(text: string): HelperLine | undefined {
  try {
    return JSON.parse(text) as HelperLine
  } catch {
    return undefined
  }
}

/** The answer may be in the spool, where the next attempt will look. */
const cutShort = (): TtsError =>
  new TtsError('provider_unavailable', 'the renewal was interrupted on our side', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
    remedy: 'Check the free memory: the refresh helper was killed.',
  })

/** The error when the helper could not start; nothing was sent. */
const cannotStart = (path: string, cause?: Error): TtsError =>
  new TtsError('overloaded', 'renewal is not possible at the moment', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
    remedy: `Check memory, process limits and disk space: the refresh helper cannot be started, or cannot write in ${dirname(path)}. If that directory was removed, restart, which creates it.`,
    ...(cause === undefined ? {} : { cause }),
  })
