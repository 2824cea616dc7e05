/** Runs the operator's hook after a renewal. A failed hook is logged and has no other effect. */
import { setTimeout as delay } from 'node:timers/promises'
import { PROGRAM_PATH, startProcessTree } from '../../../plugins/process/process-tree.ts'
import type { Environment } from '../../config/settings-tree.ts'
import type { Log } from '../../base/log.ts'
import { redactText } from '../../base/redact.ts'
import { fileErrorReason } from '../../base/system-error.ts'

/** One run of a hook. */
export interface HookRun {
  /** Program and arguments; no shell. */
  readonly command: readonly string[]
  readonly proxyName: string
  /** The first output file of the proxy; undefined when it is in memory only. */
  readonly file: string | undefined
  readonly notAfter: Date
}

export interface HookRuntime {
  /** The hook gets only PATH, HOME, LANG, TZ and USER of these: other variables may hold secrets. */
  readonly environment: Environment
  readonly log: Log
  /** Default 60000. */
  readonly deadlineMs?: number
}

const DEADLINE_MS = 60_000
/** Time between SIGTERM and SIGKILL. */
const GRACE_MS = 2000
/** Time to read the last output after the end of the hook. */
const OUTPUT_GRACE_MS = 200
const MAX_OUTPUT_BYTES = 2048

/** Runs a hook; never rejects. Kills every process that the hook started when it ends. */
export async function runHook(run: HookRun, runtime: HookRuntime): Promise<void> {
  const { log, deadlineMs = DEADLINE_MS } = runtime
  const fields = { event: 'hook', proxy: run.proxyName, program: run.command[0] }
  const outcome = await execute(run, { ...runtime, deadlineMs })
  if (outcome.end === 'exited with code 0') log.info(fields, 'the hook succeeded')
  else
    log.error(
      { ...fields, event: 'hook.failed', output: redactText(outcome.output) },
      `the hook ${outcome.end}`,
    )
}

interface HookOutcome {
  /** How it ended: completes the sentence "the hook …". */
  readonly end: string
  readonly output: string
}

function execute(
  run: HookRun,
  { environment, deadlineMs }: HookRuntime & { readonly deadlineMs: number },
): Promise<HookOutcome> {
  const [file = '', ...args] = run.command
  return new Promise((resolve) => {
    // The hook runs in its own session, so signals to certcache's terminal or process group do not reach it.
    const tree = startProcessTree({
      file,
      args,
      cwd: '/',
      env: hookEnvironment(run, environment),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { child } = tree
    let output = ''
    let isLate = false
    const appendOutput = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-MAX_OUTPUT_BYTES)
    }
    child.stdout?.on('data', appendOutput)
    child.stderr?.on('data', appendOutput)
    const timers = [
      setTimeout(() => {
        isLate = true
        tree.signal('SIGTERM')
      }, deadlineMs),
      setTimeout(() => tree.signal('SIGKILL'), deadlineMs + GRACE_MS),
    ]
    const settle = (end: string): void => {
      for (const timer of timers) clearTimeout(timer)
      resolve({ end, output: output.trim() })
    }
    child.on('error', (error: NodeJS.ErrnoException) =>
      settle(`cannot be started: ${fileErrorReason(error)}`),
    )
    const closed = new Promise<void>((resolveClosed) => {
      child.once('close', () => resolveClosed())
    })
    child.on('exit', (code, signal) => {
      const end = code === null ? `was killed by ${signal}` : `exited with code ${code}`
      void tree.end().then(async () => {
        // A process that could not be killed may keep the pipes open.
        await Promise.race([closed, delay(OUTPUT_GRACE_MS)])
        child.stdout?.destroy()
        child.stderr?.destroy()
        settle(isLate ? `took longer than ${deadlineMs / 1000} seconds and was killed` : end)
      })
    })
  })
}

function hookEnvironment(run: HookRun, environment: Environment): Record<string, string> {
  const inherited = ['PATH', 'HOME', 'LANG', 'TZ', 'USER'].flatMap((name) => {
    const value = environment[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    PATH: PROGRAM_PATH,
    ...Object.fromEntries(inherited),
    CERTCACHE_PROXY_NAME: run.proxyName,
    CERTCACHE_PROXY_FILE: run.file ?? '',
    CERTCACHE_NOT_AFTER: run.notAfter.toISOString(),
  }
}
