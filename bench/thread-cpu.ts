/** CPU time of the threads of a process, from /proc (Linux only). */
import { readdirSync, readFileSync } from 'node:fs'

/** CPU seconds by the kind of thread. */
export interface ThreadCpu {
  /** The main thread, with the event loop. */
  readonly main: number
  /** Node's thread pool, which signs and hashes the CRL. */
  readonly pool: number
  /** The threads of the database and of signatures, and V8's. */
  readonly others: number
}

/** Returns the CPU time that a process has used so far. */
export function threadCpuOf(pid: number): ThreadCpu {
  const cpu = { main: 0, pool: 0, others: 0 }
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const name = readIfThere(`/proc/${pid}/task/${task}/comm`)
    // In nanoseconds; `stat` counts in hundredths of a second.
    const onCpu = readIfThere(`/proc/${pid}/task/${task}/schedstat`)?.split(' ')[0]
    const kind = Number(task) === pid ? 'main' : name?.trim() === 'libuv-worker' ? 'pool' : 'others'
    cpu[kind] += Number(onCpu ?? 0) / 1e9
  }
  return cpu
}

export const threadCpuSince = (pid: number, before: ThreadCpu): ThreadCpu => {
  const now = threadCpuOf(pid)
  const { main, pool, others } = before
  return { main: now.main - main, pool: now.pool - pool, others: now.others - others }
}

/** A thread may end between two looks. */
function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return undefined
  }
}
