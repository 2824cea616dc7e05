/** Our programs as processes of their own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

/**
 * Path of a source file that is a program, given as it is from the root of the project. Node runs TypeScript as it is.
 */
export const programPath = (source: string): string => join(root, source)

export interface Started {
  readonly child: ChildProcess
  stdout(): string
  stderr(): string
  /** Waits until standard output matches; throws when the program ends before that. */
  says(pattern: RegExp): Promise<RegExpExecArray>
  /** Exit code, or the signal that ended it. */
  readonly ended: Promise<number | NodeJS.Signals>
}

export interface StartOptions {
  readonly cwd?: string
  /** Besides PATH; nothing else is handed down. */
  readonly env?: Readonly<Record<string, string>>
  /** Runs as this user, without other groups; needs root. */
  readonly uid?: number
  /** File to which all output is appended. Default: it is kept in memory, for `stdout` and `stderr`. */
  readonly output?: string
}

/** Starts a program. Who starts it sees to its end. */
export function startProgram(
  path: string,
  words: readonly string[],
  { cwd = tmpdir(), env = {}, uid, output }: StartOptions = {},
): Started {
  const file = output === undefined ? undefined : openSync(output, 'a', 0o600)
  const child = spawn(process.execPath, [path, ...words], {
    cwd,
    ...(uid !== undefined && { uid, gid: uid }),
    env: {
      PATH: process.env['PATH'],
      HOME: '/nonexistent',
      NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'],
      ...env,
    },
    stdio: ['ignore', file ?? 'pipe', file ?? 'pipe'],
  })
  if (file !== undefined) closeSync(file)
  let stdout = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  const ended = once(child, 'close').then(
    ([code, signal]) => (code ?? signal) as number | NodeJS.Signals,
  )
  const says = async (pattern: RegExp): Promise<RegExpExecArray> => {
    for (;;) {
      const found = pattern.exec(stdout)
      if (found) return found
      if (child.exitCode !== null || child.signalCode !== null)
        throw new Error(`the program ended before it said ${pattern}:\n${stdout}\n${stderr}`)
      if (child.stdout === null) throw new Error('the output is in a file')
      await Promise.race([once(child.stdout, 'data'), ended])
    }
  }
  return { child, stdout: () => stdout, stderr: () => stderr, says, ended }
}

/** Runs a program to its end. */
export async function runToEnd(
  path: string,
  words: readonly string[],
  options?: StartOptions,
): Promise<{ readonly code: number | NodeJS.Signals; readonly out: string; readonly err: string }> {
  const started = startProgram(path, words, options)
  const code = await started.ended
  return { code, out: started.stdout(), err: started.stderr() }
}
