/** Sends a notice by running the operator's command: without a shell, with a clean environment and a deadline. */
import { PROGRAM_PATH, startProcessTree } from '../../plugins/process/process-tree.ts'
import { TtsError } from '../base/errors.ts'
import type { Notifier } from '../domain/delegations/watch.ts'

const DEFAULT_TIMEOUT_MS = 30_000

/**
 * Returns a notifier that runs the command for each notice, with the notice as JSON on standard input. All processes
 * that the command started end with it.
 *
 * @param command the program and its arguments
 * @param timeoutMs time after which the command and its processes are killed; default 30,000
 */
export function commandNotifier(
  command: readonly string[],
  timeoutMs: number = DEFAULT_TIMEOUT_MS,
): Notifier {
  return async (notice) => run(command, `${JSON.stringify(notice)}\n`, timeoutMs)
}

async function run(command: readonly string[], input: string, timeoutMs: number): Promise<void> {
  const [file = '', ...args] = command
  // The output is discarded: it must not get into the log, and a full pipe must not block the command.
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
      // A command that does not read its input is not an error.
      child.stdin?.on('error', () => undefined)
      child.stdin?.end(input)
    })
  } finally {
    clearTimeout(timer)
    await tree.end()
  }
}

function failure(how: string, cause?: unknown): TtsError {
  return new TtsError('internal', `the command for notices of delegations ${how}`, {
    check: 'notice_command',
    remedy: 'Check delegations.notice.command.',
    cause,
  })
}
