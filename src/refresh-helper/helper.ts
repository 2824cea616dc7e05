/**
 * Requests that must not be lost with this process. A provider that rotates refresh tokens without grace forgets the old one
 * the moment it answers: who is killed between that answer and its commit has lost the right to renew. So a short-lived
 * process in a session of its own (`main.ts`) makes the request and puts the answer into a spool on the disk, encrypted,
 * before it tells it. Whoever finds an attempt begun looks there first.
 *
 * What remains: the machine, or the whole container, dies between the answer and the write.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { dirname, extname } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { createFairQueue, QueueFullError } from '../../plugins/fair-queue.ts'
import type { Environment } from '../config/settings-tree.ts'
import { unlessAborted } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import type { Fetch } from '../tokens/limited-fetch.ts'
import type { HelperLine } from './main.ts'
import { performOrder, type RequestOrder, type RequestOutcome, spoolFile } from './request.ts'
import {
  type Attempt,
  isAtWork,
  openSpool,
  ownersIn,
  readAnswer,
  removeAnswers,
  type SpooledAnswer,
  spoolPath,
  type TokenAnswer,
} from './spool.ts'

/** Makes token requests that outlive this process, and keeps their answers until they are stored. */
export interface RefreshHelper {
  /** Name of the spool, made when it is first asked for. @throws {TtsError} `configuration` */
  spool(): Promise<string>
  /** A `fetch` for the request of this attempt; what waits for its turn when its signal ends is never sent. */
  fetchFor(attempt: Attempt, request: HelperRequest): Fetch
  /**
   * The answer to an attempt of a process that is gone, or of ours that was not waited for.
   *
   * @param waitMs how long a helper at work is waited for
   * @throws {TtsError} `overloaded` when it still is
   */
  recover(attempt: Attempt, waitMs: number): Promise<SpooledAnswer | undefined>
  /** Removes the answers of an owner: they are stored, or over. */
  forget(owner: string): Promise<void>
  /** Whose answers wait to be stored. */
  owners(): Promise<readonly string[]>
}

export interface HelperRequest {
  readonly timeoutMs: number
  /** Providers have a share each: one that hangs holds up its own renewals, and no others. */
  readonly providerId: string
}

export interface RefreshHelperOptions {
  readonly directory: string
  /** What of it holds no secret goes on to the helper. */
  readonly environment: Environment
  /** Default: in a process of its own. In this one, for tests that make thousands of requests in a made time. */
  readonly run?: 'process' | 'here' | undefined
}

/** A helper takes 12 MB of its own, and as much again of what all of them share. */
const QUEUE = { parallel: 24, parallelPerKey: 12, waiting: 1000, waitingPerKey: 500 }
const POLL_MS = 50

export function createRefreshHelper(options: RefreshHelperOptions): RefreshHelper {
  const { directory, environment, run = 'process' } = options
  const queue = createFairQueue(QUEUE)
  let name: Promise<string> | undefined
  /** Helpers whose answer is not on the disk yet: they end once it is stored elsewhere. */
  const unwritten = new Map<string, () => void>()

  async function spool(): Promise<string> {
    name ??= openSpool(directory).catch((error: unknown) => {
      name = undefined
      throw error
    })
    return name
  }

  function start(order: RequestOrder, attempt: Attempt): Begun {
    const path = spoolPath(directory, attempt)
    const begun = run === 'here' ? runHere(order, path) : runProcess(order, { path, environment })
    unwritten.set(attempt.owner, begun.stored)
    void begun.ended.then(() => {
      if (unwritten.get(attempt.owner) === begun.stored) unwritten.delete(attempt.owner)
    })
    return begun
  }

  return {
    spool,
    fetchFor:
      (attempt, { timeoutMs, providerId }) =>
      async (url, request) => {
        await spool()
        const order = await orderOf(url, request, { key: attempt.key, timeoutMs })
        const signal = request?.signal ?? new AbortController().signal
        let begun: Begun | undefined
        const begin = async (): Promise<RequestOutcome> => {
          begun = start(order, attempt)
          // A caller whose deadline has passed goes; the helper finishes alone.
          return unlessAborted(begun.outcome, signal)
        }
        try {
          return responseOf(await queue.run(providerId, signal, begin))
        } catch (error) {
          if (error instanceof QueueFullError || begun === undefined) throw tooMany()
          throw error
        }
      },
    async recover(attempt, waitMs) {
      const path = spoolPath(directory, attempt)
      const end = performance.now() + waitMs
      while (await isAtWork(path)) {
        if (performance.now() > end) throw stillAtWork()
        await delay(POLL_MS)
      }
      return readAnswer(path, attempt.key)
    },
    async forget(owner) {
      unwritten.get(owner)?.()
      await removeAnswers(directory, owner)
    },
    owners: async () => ownersIn(directory),
  }
}

interface Begun {
  readonly outcome: Promise<RequestOutcome>
  /** Tells the helper that its answer is stored: it need not be written into the spool any more. */
  readonly stored: () => void
  /** Fulfilled when the helper has nothing left to do. */
  readonly ended: Promise<void>
}

async function orderOf(
  url: string,
  request: RequestInit = {},
  { key, timeoutMs }: { readonly key: string; readonly timeoutMs: number },
): Promise<RequestOrder> {
  const headers = [...new Headers(request.headers)]
  const body = await new Response(request.body as string | URLSearchParams | null).text()
  return { url, headers, body, timeout_ms: timeoutMs, key }
}

function runHere(order: RequestOrder, path: string): Begun {
  let isStored = false
  const { promise: outcome, resolve: tell, reject } = Promise.withResolvers<RequestOutcome>()
  const perform = async (): Promise<void> => {
    const spool = spoolFile(path)
    spool.reserve()
    await performOrder(order, spool, { tell, isStored: () => isStored })
  }
  return {
    outcome,
    ended: perform().catch(reject),
    stored: () => {
      isStored = true
    },
  }
}

/** Names of the environment that decide how TLS, proxies and time work. A proxy's URL may hold the password for it. */
const HANDED_DOWN = [
  'HOME',
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'NODE_USE_ENV_PROXY',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'TZ',
]

/** Its file's path also tells people who list processes what it is. */
export const helperProgram = fileURLToPath(
  new URL(`main${extname(import.meta.url)}`, import.meta.url),
)

/** In a session of its own, so that no signal to our process group reaches it; it is never killed, and keeps nobody alive. */
function runProcess(
  order: RequestOrder,
  { path, environment }: { readonly path: string; readonly environment: Environment },
): Begun {
  const env = Object.fromEntries(
    HANDED_DOWN.flatMap((name) => {
      const value = environment[name]
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
  const child = spawn(process.execPath, [helperProgram, path], {
    detached: true,
    cwd: '/',
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  child.unref()
  child.stdin.on('error', () => undefined)
  for (const stream of [child.stdin, child.stdout]) (stream as { unref?(): void }).unref?.()
  return {
    outcome: outcomeOf(child, path, () => child.stdin.write(`${JSON.stringify(order)}\n`)),
    stored: () => child.stdin.end('stored\n'),
    ended: new Promise((resolve) => {
      // Without a process there is no `close`.
      child.once('error', () => resolve())
      child.once('close', () => resolve())
    }),
  }
}

function outcomeOf(
  child: ChildProcess,
  path: string,
  sendOrder: () => void,
): Promise<RequestOutcome> {
  return new Promise((resolve, reject) => {
    let isReady = false
    child.once('error', (cause) => reject(cannotStart(path, cause)))
    // After the last line.
    child.once('close', () => reject(isReady ? cutShort() : cannotStart(path)))
    if (child.stdout === null) return
    createInterface(child.stdout).on('line', (text) => {
      const line = lineOf(text)
      if (line === undefined) return
      if (!('ready' in line)) return resolve(line)
      isReady = true
      sendOrder()
    })
  })
}

/** Undefined for what was cut short. */
function lineOf(text: string): HelperLine | undefined {
  try {
    return JSON.parse(text) as HelperLine
  } catch {
    return undefined
  }
}

/** The same as `fetch` would have answered or thrown. */
function responseOf(outcome: RequestOutcome): Response {
  if ('answer' in outcome) return toResponse(outcome.answer)
  const { name, code, message } = outcome.failure
  throw new TypeError('fetch failed', { cause: Object.assign(new Error(message), { name, code }) })
}

/** An answer as the platform's `fetch` gives it. */
export function toResponse({ status, headers, body }: TokenAnswer): Response {
  const bare = status === 204 || status === 205 || status === 304
  const kept = new Headers(headers.map(([name, value]): [string, string] => [name, value]))
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) kept.delete(name)
  return new Response(bare ? null : body, { status, headers: kept })
}

const tooMany = (): TtsError =>
  new TtsError('overloaded', 'too many renewals wait for the identity provider', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
  })

const stillAtWork = (): TtsError =>
  new TtsError('overloaded', 'another refresh of this token is under way', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
  })

/** The answer may be in the spool; the next attempt looks. */
const cutShort = (): TtsError =>
  new TtsError('provider_unavailable', 'the renewal was cut short on our side', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
    remedy: 'Check the free memory: the refresh helper was killed.',
  })

/** Nothing was sent. */
const cannotStart = (path: string, cause?: Error): TtsError =>
  new TtsError('overloaded', 'renewal is not possible for the moment', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
    remedy: `Check memory, process limits and disk space: the refresh helper cannot be started, or cannot write in ${dirname(path)}. If that directory was removed, restart, which creates it.`,
    ...(cause === undefined ? {} : { cause }),
  })
