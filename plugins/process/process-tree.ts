/**
 * A program with all that it starts, to be ended together. The process group is not enough: a program leaves it with setsid(2).
 * So each run gets a variable of its own in its environment, which whatever it starts inherits, and at its end every process
 * that has this variable is killed.
 *
 * This finds daemons, jobs of a shell and forgotten children. It does not find a process that started a program with
 * another environment on purpose: only a PID namespace holds those (the setting `sandbox` of plugins).
 */
import { type ChildProcess, execFile, spawn, type StdioOptions } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

/** The variable that marks what a run starts. */
export const RUN_VARIABLE = 'TTS_RUN_ID'
/** Where programs are looked for, and the PATH that they get. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface ProcessTreeStart {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  /** All that the program gets, but for the variable of the run. */
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioOptions
  /**
   * Program and arguments by which another user's processes are looked for, where the program runs as one: the kernel shows
   * environments to their owner, and to root only with CAP_SYS_PTRACE, which containers lack.
   */
  readonly asUser?: readonly string[] | undefined
}

export interface ProcessTree {
  readonly child: ChildProcess
  /** To the process group of the program. */
  signal(signal: NodeJS.Signals): void
  /**
   * Kills what is left, in the group and out of it; once, however often it is asked. Settles when nothing is found any more, or after half a second of trying.
   *
   * @returns whether something was left outside of the group
   */
  end(): Promise<boolean>
}

/** Between two looks: what was killed takes a moment to be gone. */
const LOOK_MS = 10
const MAX_LOOKS = 50
const LIST_TIMEOUT_MS = 5000

/**
 * Starts a program, without a shell, in a session and process group of its own.
 *
 * @throws the system's error; others come as the event `error` of the child
 */
export function startProcessTree(start: ProcessTreeStart): ProcessTree {
  const { file, args, cwd, stdio, asUser } = start
  const mark = `${RUN_VARIABLE}=${randomUUID()}`
  const env = { ...start.env, [RUN_VARIABLE]: mark.slice(RUN_VARIABLE.length + 1) }
  const child = spawn(file, args, { cwd, env, stdio, detached: true, shell: false })
  const signal = (name: NodeJS.Signals): void => {
    if (child.pid !== undefined) kill(-child.pid, name)
  }
  const find = async (): Promise<readonly number[]> =>
    asUser === undefined ? ownProcesses(mark) : processesOf(asUser, mark)
  const endOnce = async (): Promise<boolean> => {
    signal('SIGKILL')
    return child.pid === undefined ? false : endAll(find, child.pid)
  }
  let ending: Promise<boolean> | undefined
  return { child, signal, end: async () => (ending ??= endOnce()) }
}

async function endAll(find: () => Promise<readonly number[]>, group: number): Promise<boolean> {
  let wasLeft = false
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    const found = await find()
    if (found.length === 0) break
    for (const pid of found) {
      wasLeft ||= (await groupOf(pid)) !== group
      kill(pid, 'SIGKILL')
    }
    await delay(LOOK_MS)
  }
  return wasLeft
}

async function ownProcesses(mark: string): Promise<readonly number[]> {
  const names = await readdir('/proc').catch((): string[] => [])
  const found: number[] = []
  for (const name of names) {
    if (!/^\d+$/.test(name)) continue
    // What is not ours cannot be read, and what has ended has no environment any more.
    const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')
    if (environment.split('\0').includes(mark)) found.push(Number(name))
  }
  return found
}

/** The same, looked for as another user. */
async function processesOf(
  [file = '', ...args]: readonly string[],
  mark: string,
): Promise<readonly number[]> {
  const script = 'exec grep -lasF -e "$1" /proc/[0-9]*/environ'
  const words = [...args, '/bin/sh', '-c', script, 'sh', mark]
  // grep ends with an error when it could not read all, or found none; what it lists is what counts.
  const { stdout } = await promisify(execFile)(file, words, {
    cwd: '/',
    env: { PATH: PROGRAM_PATH },
    timeout: LIST_TIMEOUT_MS,
  }).catch((error: { readonly stdout?: string }) => ({ stdout: error.stdout ?? '' }))
  return [...stdout.matchAll(/^\/proc\/(\d+)\/environ$/gm)].map(([, pid]) => Number(pid))
}

/** The process group; undefined for a process that has ended. */
async function groupOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  // After the name, which may have blanks and brackets: state, parent, group.
  const group = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]
  return group === undefined ? undefined : Number(group)
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // ESRCH: it has ended already, which is what was wanted.
  }
}
