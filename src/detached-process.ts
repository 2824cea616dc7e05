/** Programs of ours that go on when their parent is killed: in a session of their own, told everything by a pipe. */
import { spawn, type ChildProcessByStdio } from 'node:child_process'
import { realpathSync } from 'node:fs'
import type { Readable, Writable } from 'node:stream'
import type { Environment } from './config/settings-tree.ts'

/** One file that is a program when it is run with its word. */
export interface DetachedProgram {
  /** Compiled, it can be run. */
  readonly file: string
  /** Its one argument, which also tells people who list processes what it is. */
  readonly word: string
}

/** Names of the environment that decide how TLS and time work and where PostgreSQL's files are, and hold no secret. */
const handedDown = [
  'HOME',
  'NODE_EXTRA_CA_CERTS',
  'NODE_OPTIONS',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'TZ',
]

/** Starts it where no signal to our process group reaches it. Of the environment it gets what holds no secret. */
export function startDetached(
  { file, word }: DetachedProgram,
  environment: Environment,
): ChildProcessByStdio<Writable, Readable, null> {
  const env = Object.fromEntries(
    handedDown.flatMap((name) => {
      const value = environment[name]
      return value === undefined ? [] : [[name, value] as const]
    }),
  )
  return spawn(process.execPath, [file, word], {
    detached: true,
    cwd: '/',
    env,
    stdio: ['pipe', 'pipe', 'ignore'],
  })
}

/** Whether this process runs that program, and did not only load its file. */
export function isRunning({ file, word }: DetachedProgram): boolean {
  const [, path, given] = process.argv
  return given === word && path !== undefined && realpathSync(path) === realpathSync(file)
}

/**
 * Ends by nothing but its own end: signals that ask programs to end are ignored, since its work is short and its result must be
 * written; whoever asked may be gone by then.
 */
export function endOnlyByItself(): void {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const)
    process.on(signal, () => undefined)
  process.stdout.on('error', () => undefined)
}
