/** Has a custodian do its work in a process of its own, which goes on when this one is killed. */
import type { Environment } from '../../config/settings-tree.ts'
import { startDetached } from '../../detached-process.ts'
import { TtsError } from '../../errors.ts'
import { toldError } from '../../told-error.ts'
import { custodianProgram } from './custodian-main.ts'
import {
  type CustodianAnswer,
  type CustodianOrder,
  type CustodianResult,
  doCustodianWork,
} from './custodian-work.ts'

/** Runs one order. */
export type CustodianRunner = (order: CustodianOrder) => Promise<CustodianResult>

const MAX_ANSWER_BYTES = 1024 * 1024
/** For starting, two writes, and whatever a loaded machine takes. */
const ROOM_MS = 30_000

/** In this process: for tests, which run TypeScript that no other process can. */
export function custodianInside(now: () => Date): CustodianRunner {
  return async (order) => doCustodianWork(order, now)
}

/**
 * In a session of its own, so that no signal to our process group reaches it. It is waited for, not ended: when it takes
 * too long it goes on, and the next one waits for its lock.
 */
export function custodianOutside(environment: Environment): CustodianRunner {
  return async (order) => {
    const { code, output } = await runProcess(order, environment)
    const answer = parseAnswer(output)
    if (answer === undefined)
      throw new TtsError('internal', 'the custodian of the refresh token gave no answer', {
        check: 'custodian',
        retryAfterSeconds: 5,
        remedy: `it ended with ${code}; memory or the number of processes may be short`,
      })
    if ('error' in answer) throw toldError(answer.error)
    const { token, expires_at: expiresAt } = answer.access
    return { access: { token, expiresAt: new Date(expiresAt) }, metadata: answer.metadata }
  }
}

/** How long a custodian may take: its lock, discovery and two tries at the provider. */
function deadlineMs({ task, timeout_ms: timeoutMs }: CustodianOrder): number {
  return task.lock_wait_ms + 3 * timeoutMs + ROOM_MS
}

function runProcess(
  order: CustodianOrder,
  environment: Environment,
): Promise<{ readonly code: string; readonly output: string }> {
  return new Promise((resolve, reject) => {
    const child = startDetached(custodianProgram, environment)
    let output = ''
    const timer = setTimeout(() => {
      // Not ended: it may hold the only copy of a token.
      child.stdout.destroy()
      child.unref()
      reject(tooSlow())
    }, deadlineMs(order))
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (output.length < MAX_ANSWER_BYTES) output += text
    })
    child.on('error', (cause) => {
      clearTimeout(timer)
      reject(cannotStart(cause))
    })
    child.on('close', (code, signal) => {
      clearTimeout(timer)
      resolve({ code: signal ?? `code ${code}`, output })
    })
    child.stdin.on('error', () => undefined)
    child.stdin.end(JSON.stringify(order))
  })
}

function parseAnswer(output: string): CustodianAnswer | undefined {
  try {
    return JSON.parse(output) as CustodianAnswer
  } catch {
    return undefined
  }
}

function tooSlow(): TtsError {
  return new TtsError('provider_unavailable', 'the identity provider took too long to answer', {
    check: 'custodian_busy',
    retryAfterSeconds: 30,
  })
}

function cannotStart(cause: Error): TtsError {
  return new TtsError('internal', 'the custodian of the refresh token cannot be started', {
    check: 'custodian',
    retryAfterSeconds: 5,
    remedy: 'memory or the number of processes may be short',
    cause,
  })
}
