/**
 * Isolates a program from the service: with `user` it runs as another user of the machine, with `sandbox` it sees
 * only the files that the settings name. If the configured isolation is not possible, the program is not run.
 */
import { type Account, findAccount, setprivArguments } from './account.ts'
import { CommandError, findProgram, type ProgramCommand } from './command.ts'
import { sandboxArguments } from './sandbox.ts'
import type { ExecutableSettings } from './settings.ts'

type IsolationSettings = Pick<
  ExecutableSettings,
  'connection' | 'user' | 'allow_root' | 'sandbox' | 'readable_paths' | 'writable_paths'
>

/** How to run a program isolated. */
export interface Isolation {
  /** The program's user; undefined: the user of the service. */
  readonly account: Account | undefined
  /** Command prefix that runs a command as that user. */
  readonly asUser: readonly string[] | undefined
  /** Returns the isolated command for a run in this directory. */
  wrap(command: ProgramCommand, directory: string): Promise<ProgramCommand>
}

/** A setting that is not possible for the user who runs the service. */
export interface IsolationProblem {
  /** Name of the setting under `executable`. */
  readonly key: 'user'
  readonly message: string
  readonly remedy: string
}

/**
 * Returns the problem of the settings, if any: a service that runs as root must name a user, and no other service can.
 *
 * @param isRoot whether the service runs as root
 */
export function isolationProblem(
  { connection, user, allow_root: allowRoot }: IsolationSettings,
  isRoot: boolean = process.geteuid?.() === 0,
): IsolationProblem | undefined {
  // Only the ssh client runs on this machine.
  if (connection.type === 'ssh') return undefined
  if (isRoot && user === undefined && !allowRoot)
    return {
      key: 'user',
      message: 'must be set, because the service runs as root and the program would too',
      remedy:
        "Name a user who owns none of the service's files, or set allow_root: true if the program needs root and you trust it with the CA key.",
    }
  if (!isRoot && user !== undefined)
    return {
      key: 'user',
      message: 'needs a service that runs as root: only root can run programs as another user',
      remedy: 'Remove it and set sandbox: bubblewrap, or run the service as root.',
    }
  return undefined
}

/** Describes for the log what the program can do to the service; undefined when it is isolated. */
export function exposure(settings: IsolationSettings): string | undefined {
  const { connection, user, sandbox } = settings
  if (connection.type === 'ssh' || user !== undefined || sandbox !== 'none') return undefined
  return process.geteuid?.() === 0
    ? 'the program runs as root: it can read and change everything on this machine, including the CA key'
    : 'the program runs as the user of the service: it can read everything that the service can read, including the CA key and the master keys'
}

/**
 * Prepares the configured isolation.
 *
 * @throws {CommandError} the settings are not possible here, or a user or tool is missing
 */
export async function openIsolation(settings: IsolationSettings): Promise<Isolation> {
  if (settings.connection.type === 'ssh')
    return { account: undefined, asUser: undefined, wrap: async (command) => command }
  const problem = isolationProblem(settings)
  if (problem)
    throw new CommandError(`executable.${problem.key} ${problem.message}`, problem.remedy)
  const account = settings.user === undefined ? undefined : await findAccount(settings.user)
  const asUser = account && [await findProgram('setpriv'), ...setprivArguments(account)]
  const sandbox = settings.sandbox === 'bubblewrap' ? await findProgram('bwrap') : undefined
  return {
    account,
    asUser,
    wrap: async (command, directory) => {
      const { file, args } = command
      const inner = sandbox
        ? [sandbox, ...(await sandboxArguments(settings, file, directory)), file, ...args]
        : [file, ...args]
      const [program = file, ...words] = [...(asUser ?? []), ...inner]
      return { file: program, args: words }
    },
  }
}
