/** Turns the settings into a command, run on this machine or by ssh on another. No local shell interprets it. */
import { constants } from 'node:fs'
import { access, open, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { PROGRAM_PATH } from '../process/process-tree.ts'
import type { ExecutableSettings } from './settings.ts'

/** The error for a program that cannot be run. `message` and `remedy` are for the operator. */
export class CommandError extends Error {
  readonly remedy: string

  constructor(message: string, remedy: string) {
    super(message)
    this.name = 'CommandError'
    this.remedy = remedy
  }
}

/** A program with its arguments. */
export interface ProgramCommand {
  readonly file: string
  readonly args: readonly string[]
}

/**
 * Returns the command for one run.
 *
 * @param argument the request, for programs that do not read it from standard input
 * @throws {CommandError} the program is missing or cannot be run
 */
export async function programCommand(
  { command, connection }: Pick<ExecutableSettings, 'command' | 'connection'>,
  argument: string | undefined,
): Promise<ProgramCommand> {
  const words = argument === undefined ? command : [...command, argument]
  const [program = '', ...args] = words
  if (connection.type === 'local') {
    const file = await findProgram(program)
    await checkRunnable(file)
    return { file, args }
  }
  return { file: await findProgram('ssh'), args: sshArguments(connection, words) }
}

/** Finds a program on `PROGRAM_PATH`; an absolute path is returned unchecked. @throws {CommandError} not found */
export async function findProgram(name: string): Promise<string> {
  if (isAbsolute(name)) return name
  for (const directory of PROGRAM_PATH.split(':')) {
    const path = join(directory, name)
    const exists = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (exists) return path
  }
  throw new CommandError(`the program ${name} is not on the path ${PROGRAM_PATH}`, 'Install it.')
}

/**
 * Refuses a file that cannot run, with a helpful message, before anything is started. Without this the C library
 * would pass a file that has neither `#!` nor the signature of a binary to /bin/sh.
 */
async function checkRunnable(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined)
  if (!found?.isFile())
    throw new CommandError(
      `the program ${file} does not exist`,
      'Correct `command`, or install the program.',
    )
  if (!(await succeeds(access(file, constants.X_OK))))
    throw new CommandError(`${file} is not executable`, `Run chmod a+rx ${file}.`)
  const start = await readStart(file)
  // Not readable but executable: a binary, or the kernel will refuse it.
  if (start === undefined) return
  if (start.startsWith('#!')) return checkInterpreter(file, start)
  const isBinary = /^(\x7fELF|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe)/.test(start)
  if (!isBinary)
    throw new CommandError(
      `${file} is neither a binary nor a script that names its interpreter`,
      'Begin it with a line such as #!/usr/bin/env python3.',
    )
}

async function checkInterpreter(file: string, start: string): Promise<void> {
  const [line = ''] = start.slice(2).split('\n', 1)
  if (line.endsWith('\r'))
    throw new CommandError(`${file} has Windows line endings`, `Run sed -i 's/\\r$//' ${file}.`)
  const [interpreter = ''] = line.trim().split(/\s/, 1)
  if (!(await succeeds(access(interpreter, constants.X_OK))))
    throw new CommandError(`the interpreter ${interpreter} of ${file} is missing`, 'Install it.')
}

async function readStart(path: string): Promise<string | undefined> {
  const file = await open(path, 'r').catch(() => undefined)
  if (file === undefined) return undefined
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(256), 0, 256, 0)
    return buffer.subarray(0, bytesRead).toString('latin1')
  } finally {
    await file.close()
  }
}

async function succeeds(work: Promise<unknown>): Promise<boolean> {
  return work.then(
    () => true,
    () => false,
  )
}

/** Returns arguments that make ssh ignore the user's own configuration, agent and keys, and never prompt. */
function sshArguments(
  connection: ExecutableSettings['connection'],
  words: readonly string[],
): readonly string[] {
  const { host = '', port, user = '', identity_file, known_hosts_file } = connection
  const options = {
    BatchMode: 'yes',
    StrictHostKeyChecking: 'yes',
    UserKnownHostsFile: sshPath(known_hosts_file),
    GlobalKnownHostsFile: '/dev/null',
    UpdateHostKeys: 'no',
    IdentitiesOnly: 'yes',
    IdentityFile: sshPath(identity_file),
    IdentityAgent: 'none',
    PreferredAuthentications: 'publickey',
    ConnectTimeout: String(connection.connect_timeout_seconds),
    ConnectionAttempts: '1',
    ServerAliveInterval: '10',
    ClearAllForwardings: 'yes',
    ForwardAgent: 'no',
    ControlMaster: 'no',
    ControlPath: 'none',
    PermitLocalCommand: 'no',
    EscapeChar: 'none',
    RequestTTY: 'no',
    LogLevel: 'ERROR',
  }
  return [
    '-F',
    'none',
    ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`]),
    '-p',
    String(port),
    '-l',
    user,
    '--',
    host,
    words.map(quoteForShell).join(' '),
  ]
}

/** Quotes a file name for ssh, which expands `%` and splits words at spaces. */
function sshPath(path = ''): string {
  return `"${path.replaceAll('%', '%%')}"`
}

/** Quotes a word for the remote login shell, to which sshd passes the command. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
