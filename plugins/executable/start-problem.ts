/** Says in words why the system could not start a program. */
import { CommandError } from './command.ts'

const reasons: Readonly<Record<string, string>> = {
  E2BIG: 'the request is too long for an argument',
  EACCES: 'permission denied',
  EPERM: 'the system does not permit it',
  ENOENT: 'it does not exist',
  ENOTDIR: 'a part of the path is not a directory',
  ENOEXEC: 'the system does not know its format',
  ENOTEMPTY: 'it is not empty',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the disk quota is exhausted',
  EAGAIN: 'the limit of processes is reached',
  ENOMEM: 'the system is out of memory',
  EMFILE: 'the service has too many open files',
  ENFILE: 'the system has too many open files',
}

const remedies: Readonly<Record<string, string>> = {
  E2BIG: 'Let the program read standard input (features.stdin).',
  EACCES:
    'Check who may run `command`, and that neither its file system nor that of `working_directory` is mounted with noexec.',
  ENOEXEC: 'Install a program that was built for this machine.',
  EAGAIN: 'Raise the limit of processes (TasksMax, ulimit -u).',
  ENOMEM: 'Free memory, or raise the memory limit of the service.',
  EMFILE: 'Raise the limit of open files (LimitNOFILE, ulimit -n).',
}

/** Returns the error for a program that could not be started. The system's message may hold an argument. */
export function startProblem(error: unknown): CommandError {
  const remedy = remedies[codeOf(error) ?? '']
  return new CommandError(
    `it cannot be started: ${systemReason(error)}`,
    remedy ?? 'Check `command`, `working_directory` and the limits of the system.',
  )
}

/** Returns why the system refused something, in words. */
export function systemReason(error: unknown): string {
  const code = codeOf(error)
  if (code === undefined) return 'unknown error'
  return reasons[code] ?? `system error ${code}`
}

/** The code of an error of the system. A failed child process has its exit code in the same place. */
function codeOf(error: unknown): string | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : ''
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}
