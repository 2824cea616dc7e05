/** A notice by a command of the operator's: no shell, a clean environment, a deadline; the facts on its standard input. */
import { PROGRAM_PATH, startProcessTree } from '../../plugins/process/process-tree.ts'
import { TtsError } from '../base/errors.ts'
import type { Notifier } from '../domain/delegations/watch.ts'

const DEFAULT_TIMEOUT_MS = 30_000

/**
 * Runs the command for each notice. All that it started is ended with it.
 *
 * @param command the program and its arguments
 * @param timeoutMs default 30,000; then the command and what it started are killed
 */
export function commandNotifier(
  command: readonly string[],
  timeoutMs: number = DEFAULT_TIMEOUT_MS,
): Notifier {
  return async (facts) => run(command, `${JSON.stringify(facts)}\n`, timeoutMs)
}

async function run(command: readonly string[], input: string, timeoutMs: number): Promise<void> {
  const [file = '', ...args] = command
  // What it prints is not read: nothing of it may end in our log, and no pipe can be filled.
  const tree = startProcessTree({
    file,
    args,
    cwd: '/',
    env: { PATH: PROGRAM_PATH, LANG: 'C.UTF-8' },
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  const { child } = tree
  let expired = false
  const timer = setTimeout(() => {
    expired = true
    tree.signal('SIGKILL')
  }, timeoutMs)
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (cause) => reject(failure('could not be started', cause)))
      child.once('exit', (code, signal) => {
        if (expired) reject(failure(`took longer than ${timeoutMs} ms`))
        else if (code === 0) resolve()
        else reject(failure(`ended with ${code === null ? String(signal) : `code ${code}`}`))
      })
      // A command that does not read its input is no failure.
      child.stdin?.on('error', () => undefined)
      child.stdin?.end(input)
    })
  } finally {
    clearTimeout(timer)
    await tree.end()
  }
}

function failure(how: string, cause?: unknown): TtsError {
  return new TtsError('internal', `the command that tells of a delegation's end ${how}`, {
    check: 'notice_command',
    remedy: 'Check delegations.notice.command.',
    cause,
  })
}
