/** From the settings to the words that are run: on this machine, or by ssh on another. No shell of ours sees them. */
import { constants } from 'node:fs'
import { access, open, stat } from 'node:fs/promises'
import { isAbsolute, join } from 'node:path'
import { PROGRAM_PATH } from '../process/process-tree.ts'
import type { ExecutableSettings } from './settings.ts'

/** A program that cannot be run; `message` and `remedy` are for the operator. */
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
 * The command for one run.
 *
 * @param argument the request, for programs that do not read it from standard input
 * @throws {CommandError}
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

/** Path of a program. @throws {CommandError} when there is none */
export async function findProgram(name: string): Promise<string> {
  if (isAbsolute(name)) return name
  for (const directory of PROGRAM_PATH.split(':')) {
    const path = join(directory, name)
    const there = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    )
    if (there) return path
  }
  throw new CommandError(`there is no program ${name} on ${PROGRAM_PATH}`, 'install it')
}

/**
 * Refuses what cannot run before anything is started, with words that help. A file with neither `#!` nor the marks of a
 * binary would be handed to /bin/sh by the C library.
 */
async function checkRunnable(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined)
  if (!found?.isFile())
    throw new CommandError(`there is no program ${file}`, 'fix `command`, or put the program there')
  if (!(await succeeds(access(file, constants.X_OK))))
    throw new CommandError(`${file} is not executable`, `chmod a+rx ${file}`)
  const start = await readStart(file)
  // A program that may be run and not read is a binary, or the kernel refuses it.
  if (start === undefined) return
  if (start.startsWith('#!')) return checkInterpreter(file, start)
  const isBinary = /^(\x7fELF|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe)/.test(start)
  if (!isBinary)
    throw new CommandError(
      `${file} is neither a binary nor a script that names its interpreter`,
      'begin it with a line such as #!/usr/bin/env python3',
    )
}

async function checkInterpreter(file: string, start: string): Promise<void> {
  const [line = ''] = start.slice(2).split('\n', 1)
  if (line.endsWith('\r'))
    throw new CommandError(`${file} has the line ends of Windows`, `sed -i 's/\\r$//' ${file}`)
  const [interpreter = ''] = line.trim().split(/\s/, 1)
  if (!(await succeeds(access(interpreter, constants.X_OK))))
    throw new CommandError(`the interpreter ${interpreter} of ${file} is missing`, 'install it')
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

/** Nothing of a user's own ssh configuration, agent or keys is used, and nobody is asked anything. */
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

/** ssh reads `%` and `~` in file names as more than characters, and parts words at blanks. */
function sshPath(path = ''): string {
  return `"${path.replaceAll('%', '%%')}"`
}

/** sshd hands the command to the user's login shell: each word is quoted for it. */
export function quoteForShell(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
