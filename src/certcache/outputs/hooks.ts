/** Runs what the operator wants run after a renewal. It never stops anything: what goes wrong is logged. */
import { setTimeout as delay } from 'node:timers/promises'
import { PROGRAM_PATH, startProcessTree } from '../../../plugins/process/process-tree.ts'
import type { Environment } from '../../config/settings-tree.ts'
import type { Log } from '../../base/log.ts'
import { redactText } from '../../base/redact.ts'

/** One run of a hook. */
export interface HookRun {
  /** Program and arguments; no shell. */
  readonly command: readonly string[]
  readonly proxyName: string
  /** The first file that the proxy was written to; undefined when it is in memory only. */
  readonly file: string | undefined
  readonly notAfter: Date
}

export interface HookRuntime {
  /** Of all this only PATH, HOME, LANG, TZ and USER are handed down: secrets may stand beside them. */
  readonly environment: Environment
  readonly log: Log
  /** Default 60000. */
  readonly deadlineMs?: number
}

const DEADLINE_MS = 60_000
/** Between asking a hook to end and ending it. */
const GRACE_MS = 2000
/** For what was said just before the end. */
const OUTPUT_GRACE_MS = 200
const MAX_OUTPUT_BYTES = 2048

/** Settles when the hook has ended, whatever came of it; all that it started is ended with it. */
export async function runHook(run: HookRun, runtime: HookRuntime): Promise<void> {
  const { log, deadlineMs = DEADLINE_MS } = runtime
  const about = { event: 'hook', proxy: run.proxyName, program: run.command[0] }
  const outcome = await execute(run, { ...runtime, deadlineMs })
  if (outcome.how === 'ended with code 0') log.info(about, 'the hook has run')
  else
    log.error(
      { ...about, event: 'hook.failed', output: redactText(outcome.output) },
      `the hook ${outcome.how}`,
    )
}

interface Outcome {
  readonly how: string
  readonly output: string
}

function execute(
  run: HookRun,
  { environment, deadlineMs }: HookRuntime & { readonly deadlineMs: number },
): Promise<Outcome> {
  const [file = '', ...args] = run.command
  return new Promise((resolve) => {
    // A session of its own: no signal for us reaches it.
    const tree = startProcessTree({
      file,
      args,
      cwd: '/',
      env: hookEnvironment(run, environment),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const { child } = tree
    let output = ''
    let late = false
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString('utf8')).slice(-MAX_OUTPUT_BYTES)
    }
    child.stdout?.on('data', keep)
    child.stderr?.on('data', keep)
    const timers = [
      setTimeout(() => {
        late = true
        tree.signal('SIGTERM')
      }, deadlineMs),
      setTimeout(() => tree.signal('SIGKILL'), deadlineMs + GRACE_MS),
    ]
    const settle = (how: string): void => {
      for (const timer of timers) clearTimeout(timer)
      resolve({ how, output: output.trim() })
    }
    child.on('error', (error: NodeJS.ErrnoException) =>
      settle(`cannot be started (${error.code ?? error.name})`),
    )
    const closed = new Promise<void>((heard) => {
      child.once('close', () => heard())
    })
    child.on('exit', (code, signal) => {
      const ended = code === null ? `was ended by ${signal}` : `ended with code ${code}`
      void tree.end().then(async () => {
        // What could not be ended may hold the output open.
        await Promise.race([closed, delay(OUTPUT_GRACE_MS)])
        child.stdout?.destroy()
        child.stderr?.destroy()
        settle(late ? `took over ${deadlineMs / 1000} seconds and was ended` : ended)
      })
    })
  })
}

function hookEnvironment(run: HookRun, environment: Environment): Record<string, string> {
  const kept = ['PATH', 'HOME', 'LANG', 'TZ', 'USER'].flatMap((name) => {
    const value = environment[name]
    return value === undefined ? [] : [[name, value] as const]
  })
  return {
    PATH: PROGRAM_PATH,
    ...Object.fromEntries(kept),
    CERTCACHE_PROXY_NAME: run.proxyName,
    CERTCACHE_PROXY_FILE: run.file ?? '',
    CERTCACHE_NOT_AFTER: run.notAfter.toISOString(),
  }
}
