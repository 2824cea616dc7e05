/**
 * The code of our threads and of the process that refreshes tokens: a file beside the one that starts it. In the single
 * executable file, which has no files beside it, the code of a thread is an asset, and the process is the file itself.
 */
import { extname } from 'node:path'
import { getAsset, isSea } from 'node:sea'
import { fileURLToPath } from 'node:url'
import { Worker, type WorkerOptions } from 'node:worker_threads'

export type ThreadName = 'signing-thread' | 'key-thread' | 'sqlite-worker'

/** First word of the single executable file when it is to be the process that refreshes tokens. */
export const REFRESH_PROCESS = 'refresh-process'

/**
 * Starts a thread, which gets neither the options nor the environment of this process.
 *
 * @param from `import.meta.url` of a module in the directory of the thread's
 */
export function startThread(name: ThreadName, from: string, options?: WorkerOptions): Worker {
  const bare: WorkerOptions = { execArgv: [], env: {}, ...options }
  return isSea()
    ? new Worker(getAsset(name, 'utf8'), { ...bare, eval: true })
    : new Worker(new URL(`${name}${extname(from)}`, from), bare)
}

/**
 * What makes `process.execPath` the process that refreshes tokens: the path of its program, which also identifies it in
 * lists of processes.
 *
 * @param from `import.meta.url` of a module in the directory of that program
 */
export function refreshProcessProgram(from: string): string {
  return isSea()
    ? REFRESH_PROCESS
    : fileURLToPath(new URL(`${REFRESH_PROCESS}${extname(from)}`, from))
}
