/**
 * Runs a program so that it can be ended together with all processes that it starts. The process group is not enough,
 * because setsid(2) leaves it. Each run therefore has a unique environment variable, which its processes inherit; at
 * the end of the run every process with this variable is killed.
 *
 * This finds daemons, shell jobs and forgotten children. It does not find processes that were started with a
 * different environment on purpose: only a PID namespace contains those (setting `sandbox` of plugins).
 */
import { type ChildProcess, execFile, spawn, type StdioOptions } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'

/** The variable that marks the processes of a run. */
export const RUN_VARIABLE = 'TTS_RUN_ID'
/** The path on which programs are searched, also their own PATH. */
export const PROGRAM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

export interface ProcessTreeStart {
  readonly file: string
  readonly args: readonly string[]
  readonly cwd: string
  /** The whole environment of the program, except the variable of the run. */
  readonly env: Readonly<Record<string, string>>
  readonly stdio: StdioOptions
  /**
   * Command prefix that runs a command as the program's user, if that is another user. It is needed to find the
   * processes: the kernel shows an environment to its owner, and to root only with CAP_SYS_PTRACE, which containers
   * lack.
   */
  readonly asUser?: readonly string[] | undefined
}

export interface ProcessTree {
  readonly child: ChildProcess
  /** Sends a signal to the program's process group. */
  signal(signal: NodeJS.Signals): void
  /**
   * Kills all remaining processes, inside and outside the group; further calls return the same promise. Settles when
   * no process is found any more, or after half a second.
   *
   * @returns whether a process was found outside the group
   */
  end(): Promise<boolean>
}

/** Pause between two searches: a killed process needs a moment to disappear. */
const LOOK_MS = 10
const MAX_LOOKS = 50
const LIST_TIMEOUT_MS = 5000

/**
 * Starts a program, without a shell, in a session and process group of its own.
 *
 * @throws the system's error; later errors come as the event `error` of the child
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
    // Fails for processes of other users and for those that have ended.
    const environment = await readFile(`/proc/${name}/environ`, 'latin1').catch(() => '')
    if (environment.split('\0').includes(mark)) found.push(Number(name))
  }
  return found
}

/** The same search, run as another user. */
async function processesOf(
  [file = '', ...args]: readonly string[],
  mark: string,
): Promise<readonly number[]> {
  const script = 'exec grep -lasF -e "$1" /proc/[0-9]*/environ'
  const words = [...args, '/bin/sh', '-c', script, 'sh', mark]
  // grep fails when it cannot read some file or finds nothing; only its output matters.
  const { stdout } = await promisify(execFile)(file, words, {
    cwd: '/',
    env: { PATH: PROGRAM_PATH },
    timeout: LIST_TIMEOUT_MS,
  }).catch((error: { readonly stdout?: string }) => ({ stdout: error.stdout ?? '' }))
  return [...stdout.matchAll(/^\/proc\/(\d+)\/environ$/gm)].map(([, pid]) => Number(pid))
}

/** Returns the process group; undefined for a process that has ended. */
async function groupOf(pid: number): Promise<number | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  // The fields after the name, which may contain spaces and brackets, are: state, parent, group.
  const group = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]
  return group === undefined ? undefined : Number(group)
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // ESRCH: it has already ended.
  }
}
