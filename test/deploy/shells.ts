/** Running our scripts for workers in every POSIX shell that is installed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { findProgram } from '../support/grid-tools.ts'

export const deployDirectory = fileURLToPath(new URL('../../deploy', import.meta.url))
export const getProxyScript = `${deployDirectory}/worker/get-proxy.sh`

/** Shells by name, with the words that start them. busybox is what Alpine images have. */
export const shells: readonly { readonly shell: string; readonly words: readonly string[] }[] = (
  [
    { shell: 'dash', words: ['dash'] },
    { shell: 'bash', words: ['bash', '--posix'] },
    { shell: 'busybox', words: ['busybox', 'sh'] },
    { shell: 'ksh', words: ['ksh'] },
  ] as const
).filter(({ words }) => findProgram(words[0]) !== undefined)

export interface ShellRun {
  readonly code: number | NodeJS.Signals
  readonly out: string
  readonly err: string
}

export interface StartedShell {
  readonly pid: number
  readonly out: () => string
  readonly err: () => string
  readonly ended: Promise<ShellRun>
  kill(signal: NodeJS.Signals): void
}

/** Starts a program with nothing of our environment but PATH; ended after `timeoutMs` at the latest (30 seconds). */
export function startShell(
  words: readonly string[],
  options: {
    readonly env?: Readonly<Record<string, string>>
    readonly cwd?: string
    readonly timeoutMs?: number
  } = {},
): StartedShell {
  const [program = '', ...rest] = words
  const child = spawn(program, rest, {
    cwd: options.cwd,
    env: { PATH: process.env['PATH'], ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 30_000,
    killSignal: 'SIGKILL',
  })
  const texts = { out: '', err: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (texts.out += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (texts.err += text))
  return {
    pid: child.pid ?? 0,
    out: () => texts.out,
    err: () => texts.err,
    ended: once(child, 'close').then(([code, signal]) => ({
      code: (code ?? signal) as number | NodeJS.Signals,
      ...texts,
    })),
    kill: (signal) => void child.kill(signal),
  }
}

/** Runs a program to its end. */
export async function runShell(...given: Parameters<typeof startShell>): Promise<ShellRun> {
  return startShell(...given).ended
}
