/**
 * Makes requests whose answers must survive this process. A provider that rotates refresh tokens without a grace
 * period invalidates the old token when it answers. A process that is killed between that answer and its commit would
 * lose the right to renew. So a process in a session of its own (`refresh-process.ts`) makes the request and writes the
 * encrypted answer to a spool on disk before it reports it. The next attempt looks in the spool first.
 *
 * An answer can still be lost if the machine or the whole container dies between the answer and the write.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { createFairQueue, QueueFullError } from '../../plugins/fair-queue.ts'
import type { Environment } from '../config/settings-tree.ts'
import { unlessAborted } from '../base/async.ts'
import { TtsError } from '../base/errors.ts'
import type { Fetch } from '../tokens/limited-fetch.ts'
import { type Begun, createHelperProcess } from './helper-process.ts'
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

/** Makes token requests that survive this process, and keeps their answers until they are stored. */
export interface RefreshHelper {
  /** Returns the name of the spool; the first call creates it. @throws {TtsError} `configuration` */
  spool(): Promise<string>
  /**
   * Returns a `fetch` for the request of this attempt. A request that is aborted while it waits in the queue is never
   * sent.
   */
  fetchFor(attempt: Attempt, request: HelperRequest): Fetch
  /**
   * Returns the answer to an earlier attempt, of this or another process; undefined when there is none.
   *
   * @param waitMs longest wait for a running helper, in milliseconds
   * @throws {TtsError} `overloaded`, check `refresh_helper` (the helper is still running)
   */
  recover(attempt: Attempt, waitMs: number): Promise<SpooledAnswer | undefined>
  /** Removes the answers of an owner, after they were stored or the delegation ended. */
  forget(owner: string): Promise<void>
  /** Returns the owners of answers that are not stored yet. */
  owners(): Promise<readonly string[]>
}

export interface HelperRequest {
  readonly timeoutMs: number
  /** Each provider has its own share of the queue, so that one that hangs delays only its own renewals. */
  readonly providerId: string
}

export interface RefreshHelperOptions {
  readonly directory: string
  /** The variables in `PASSED_VARIABLES` are passed to the helper. */
  readonly environment: Environment
  /** Default `process`. `here` runs in this process, for tests with thousands of requests under a fake clock. */
  readonly run?: 'process' | 'here' | undefined
}

/** Each request reserves 64 KB on the disk while it runs, and asks a provider that others ask, too. */
const QUEUE = { parallel: 64, parallelPerKey: 32, waiting: 1000, waitingPerKey: 500 }
const POLL_MS = 50

export function createRefreshHelper(options: RefreshHelperOptions): RefreshHelper {
  const { directory, environment, run = 'process' } = options
  const queue = createFairQueue(QUEUE)
  const helperProcess = createHelperProcess({ directory, environment })
  let name: Promise<string> | undefined
  /** Requests whose answer may not be written yet; each ends when its answer is stored in the database. */
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
    const begun = run === 'here' ? runHere(order, path) : helperProcess.begin(order, path)
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
          // The caller stops waiting at its deadline; the helper finishes on its own.
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
    await spool.reserve()
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

/** Returns or throws what `fetch` would have returned or thrown. */
function responseOf(outcome: RequestOutcome): Response {
  if ('answer' in outcome) return toResponse(outcome.answer)
  const { name, code, message } = outcome.failure
  throw new TypeError('fetch failed', { cause: Object.assign(new Error(message), { name, code }) })
}

/** Converts an answer to a `Response`. */
export function toResponse({ status, headers, body }: TokenAnswer): Response {
  const bare = status === 204 || status === 205 || status === 304
  const kept = new Headers(headers.map(([name, value]): [string, string] => [name, value]))
  for (const name of ['content-encoding', 'content-length', 'transfer-encoding']) kept.delete(name)
  return new Response(bare ? null : body, { status, headers: kept })
}

const tooMany = (): TtsError =>
  new TtsError('overloaded', 'too many renewals are waiting for the identity provider', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
  })

const stillAtWork = (): TtsError =>
  new TtsError('overloaded', 'another refresh of this token is under way', {
    check: 'refresh_helper',
    retryAfterSeconds: 5,
  })
