/** CPU time and memory of a process with all its descendants, from /proc (Linux only). */
import { readdirSync, readFileSync } from 'node:fs'

export interface Usage {
  /** User and system time of all processes and threads, with that of descendants that have ended. */
  readonly cpuSeconds: number
  /** Sum over the processes. Pages that two of them share count twice. */
  readonly rssBytes: number
  readonly processes: number
}

/** One line of /proc/PID/stat. */
export interface ProcessStat {
  readonly parent: number
  /** Of the process, all its threads, and its children that have ended and were waited for. */
  readonly cpuSeconds: number
}

/** The kernel counts in these units for all programs (USER_HZ). */
const TICKS_PER_SECOND = 100

/** Returns the usage of the process and all its descendants. */
export function usageOf(pid: number): Usage {
  const tree = processTree(pid, readProcesses())
  return {
    cpuSeconds: tree.reduce((total, [, stat]) => total + stat.cpuSeconds, 0),
    rssBytes: tree.reduce((total, [member]) => total + rssBytesOf(member), 0),
    processes: tree.length,
  }
}

/** Reads /proc/PID/stat. The name of the program may contain blanks and parentheses. See proc_pid_stat(5). */
export function parseStat(line: string): ProcessStat {
  const fields = line.slice(line.lastIndexOf(') ') + 2).split(' ')
  // Fields 14 to 17 of the manual page: utime, stime, cutime, cstime. The first field here is number 3.
  const ticks = fields.slice(11, 15).reduce((total, field) => total + Number(field), 0)
  return { parent: Number(fields[1]), cpuSeconds: ticks / TICKS_PER_SECOND }
}

/** User and system time of children of this process that have ended. */
export function endedChildrenCpuSeconds(): number {
  const line = readFileSync('/proc/self/stat', 'latin1')
  const [user, system] = line
    .slice(line.lastIndexOf(') ') + 2)
    .split(' ')
    .slice(13, 15)
  return (Number(user) + Number(system)) / TICKS_PER_SECOND
}

/** Returns the process and its descendants. */
export function processTree(
  root: number,
  all: ReadonlyMap<number, ProcessStat>,
): readonly (readonly [number, ProcessStat])[] {
  const own = all.get(root)
  if (own === undefined) return []
  const children = [...all].filter(([, { parent }]) => parent === root)
  return [[root, own] as const, ...children.flatMap(([child]) => processTree(child, all))]
}

function readProcesses(): ReadonlyMap<number, ProcessStat> {
  const found = new Map<number, ProcessStat>()
  for (const name of readdirSync('/proc').filter((each) => /^\d+$/.test(each))) {
    const line = readIfThere(`/proc/${name}/stat`)
    if (line !== undefined) found.set(Number(name), parseStat(line))
  }
  return found
}

function rssBytesOf(pid: number): number {
  const kibibytes = /^VmRSS:\s+(\d+) kB$/m.exec(readIfThere(`/proc/${pid}/status`) ?? '')?.[1]
  return Number(kibibytes ?? 0) * 1024
}

/** A process may end between two looks. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
