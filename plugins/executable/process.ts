/**
 * Runs a process with limits on time and output, and makes sure that it ends together with every process that it
 * started.
 */
import type { ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { type ProcessTree, startProcessTree } from '../process/process-tree.ts'
import type { ProgramCommand } from './command.ts'
import type { ProgramStreams } from './streams.ts'

/** Why we stopped a process. */
export type StopCause = 'timeout' | 'flood' | 'aborted'

/** How a process ended. */
export interface ProcessEnd {
  /** Standard output, up to `maximumOutputBytes`. */
  readonly stdout: Buffer
  /** The last `keptErrorBytes` of standard error. */
  readonly stderr: Buffer
  /** Whether earlier parts of standard error were dropped. */
  readonly stderrCut: boolean
  readonly exitCode: number | null
  readonly exitSignal: NodeJS.Signals | null
  /** Undefined when it ended by itself. */
  readonly stopped: StopCause | undefined
  /** Whether it left processes behind that kept its output open or had left its process group; they were killed. */
  readonly leftChildren: boolean
}

export interface ProcessLimits {
  readonly timeoutMs: number
  readonly maximumOutputBytes: number
  /** How many bytes of standard error are kept. */
  readonly keptErrorBytes: number
  /** Time between SIGTERM and SIGKILL, and from then until we stop waiting for a process that cannot be killed. */
  readonly graceMs: number
  /** How long the output may stay open after the program has ended. */
  readonly drainMs: number
}

export interface ProcessStart extends ProgramCommand {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly streams: ProgramStreams
  /** Written to standard input if that is a pipe and not already a file with the input. */
  readonly input: string | undefined
  readonly signal: AbortSignal
  /** See `ProcessTreeStart`. */
  readonly asUser?: readonly string[] | undefined
}

/**
 * Runs a program until it ends, or until a limit or the signal stops it.
 *
 * @throws the system's error if it cannot be started
 */
export async function runProcess(start: ProcessStart, limits: ProcessLimits): Promise<ProcessEnd> {
  const { streams, signal } = start
  const tree = startTree(start)
  const { child } = tree
  const stopper = createStopper(tree, limits)
  const abort = (): void => stopper.stop('aborted')
  const overrun = setTimeout(() => stopper.stop('timeout'), limits.timeoutMs)
  try {
    const stdout = collectHead(streams.stdout, limits.maximumOutputBytes, stopper.stop)
    const stderr = collectTail(streams.stderr, limits, stopper.stop)
    const drained = Promise.all([closed(streams.stdout), closed(streams.stderr)])
    signal.addEventListener('abort', abort, { once: true })
    if (signal.aborted) abort()
    feed(child, start.input)
    await Promise.race([exited(child), stopper.givenUp])
    const holdsOutput = !(await settlesWithin(drained, limits.drainMs))
    if (holdsOutput) stopper.endGroup()
    await Promise.race([drained, stopper.givenUp])
    // Finds also processes that closed their output, and those that left the group.
    const leftChildren = (await tree.end()) || holdsOutput
    const { exitCode, signalCode: exitSignal } = child
    const stopped = stopper.cause()
    return { stdout: stdout(), ...stderr(), exitCode, exitSignal, stopped, leftChildren }
  } finally {
    clearTimeout(overrun)
    signal.removeEventListener('abort', abort)
    stopper.finish()
    await tree.end()
    child.stdin?.destroy()
    streams.destroy()
  }
}

function startTree({ streams, ...start }: ProcessStart): ProcessTree {
  try {
    return startProcessTree({ ...start, stdio: [...streams.childStdio] })
  } catch (error) {
    streams.destroy()
    throw error
  } finally {
    streams.closeChildEnds()
  }
}

interface Stopper {
  /** Stops the process group. The cause of the first call is kept. */
  stop(this: void, cause: StopCause): void
  endGroup(): void
  cause(): StopCause | undefined
  /**
   * Settles when we stop waiting for a process that cannot be killed (it waits for a device, or has left its group).
   */
  readonly givenUp: Promise<void>
  finish(): void
}

function createStopper(tree: ProcessTree, { graceMs }: ProcessLimits): Stopper {
  const timers: NodeJS.Timeout[] = []
  let why: StopCause | undefined
  let giveUp = (): void => undefined
  const givenUp = new Promise<void>((resolve) => {
    giveUp = resolve
  })
  const endGroup = (): void => {
    if (timers.length > 0) return
    tree.signal('SIGTERM')
    timers.push(setTimeout(() => tree.signal('SIGKILL'), graceMs))
    timers.push(setTimeout(giveUp, graceMs * 2))
  }
  return {
    stop(cause) {
      why ??= cause
      endGroup()
    },
    endGroup,
    cause: () => why,
    givenUp,
    finish() {
      timers.forEach((timer) => clearTimeout(timer))
    },
  }
}

function exited(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', () => resolve())
  })
}

async function settlesWithin(work: Promise<unknown>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, false)
  })
  return Promise.race([work.then(() => true), late]).finally(() => clearTimeout(timer))
}

/** Writes the input. A program may ignore it, so errors are ignored. */
function feed({ stdin }: ChildProcess, input: string | undefined): void {
  stdin?.on('error', () => undefined)
  stdin?.end(input ?? '')
}

function closed(stream: Readable): Promise<void> {
  return new Promise((resolve) => {
    stream.once('close', resolve)
    stream.on('error', () => undefined)
  })
}

function collectHead(
  stream: Readable,
  maximum: number,
  stop: (cause: StopCause) => void,
): () => Buffer {
  const chunks: Buffer[] = []
  let length = 0
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length
    if (length <= maximum) chunks.push(chunk)
    else overflow(stream, stop)
  })
  return () => Buffer.concat(chunks)
}

function collectTail(
  stream: Readable,
  { keptErrorBytes, maximumOutputBytes }: ProcessLimits,
  stop: (cause: StopCause) => void,
): () => { readonly stderr: Buffer; readonly stderrCut: boolean } {
  let kept = Buffer.alloc(0)
  let length = 0
  stream.on('data', (chunk: Buffer) => {
    length += chunk.length
    kept = Buffer.concat([kept, chunk]).subarray(-keptErrorBytes)
    if (length > maximumOutputBytes) overflow(stream, stop)
  })
  return () => ({ stderr: kept, stderrCut: length > kept.length })
}

/** Stops reading: until it has ended, the program may go on writing. */
function overflow(stream: Readable, stop: (cause: StopCause) => void): void {
  stop('flood')
  stream.destroy()
}
