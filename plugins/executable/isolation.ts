/**
 * What a program can reach of the service: with `user` it runs as another user of the machine, with `sandbox` it sees only
 * what the settings name. Where neither can be had, the program is not run.
 */
import { type Account, findAccount, setprivArguments } from './account.ts'
import { CommandError, findProgram, type ProgramCommand } from './command.ts'
import { sandboxArguments } from './sandbox.ts'
import type { ExecutableSettings } from './settings.ts'

type IsolationSettings = Pick<
  ExecutableSettings,
  'connection' | 'user' | 'allow_root' | 'sandbox' | 'readable_paths' | 'writable_paths'
>

/** How a program is kept apart. */
export interface Isolation {
  /** Undefined: it runs as the service's own user. */
  readonly account: Account | undefined
  /** Program and arguments that run what follows them as that user. */
  readonly asUser: readonly string[] | undefined
  /** The command to start, for a run in this directory. */
  wrap(command: ProgramCommand, directory: string): Promise<ProgramCommand>
}

/** A setting that does not fit the user whom the service runs as. */
export interface IsolationProblem {
  /** Below `executable`. */
  readonly key: 'user'
  readonly message: string
  readonly remedy: string
}

/**
 * Whether the settings fit: root's programs need a user of their own, and only root can give them one.
 *
 * @param isRoot whether the service runs as root
 */
export function isolationProblem(
  { connection, user, allow_root: allowRoot }: IsolationSettings,
  isRoot: boolean = process.geteuid?.() === 0,
): IsolationProblem | undefined {
  // What runs here is the ssh client alone.
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
      message: 'needs a service that runs as root: no other user can run programs as somebody else',
      remedy: 'Remove it and set sandbox: bubblewrap, or run the service as root.',
    }
  return undefined
}

/** What the program could do to the service, in words for the log; undefined when it is kept apart. */
export function exposure(settings: IsolationSettings): string | undefined {
  const { connection, user, sandbox } = settings
  if (connection.type === 'ssh' || user !== undefined || sandbox !== 'none') return undefined
  return process.geteuid?.() === 0
    ? 'the program runs as root: it can read and change everything on this machine, the CA key included'
    : 'the program runs as the user of the service: it can read all that the service can, the CA key and the master keys included'
}

/**
 * Finds out how to keep a program apart.
 *
 * @throws {CommandError} when the settings do not fit, or a user or tool is missing
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
