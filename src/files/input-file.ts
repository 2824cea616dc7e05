/**
 * Reads a file that a person names, in bounded time: opening or reading a pipe without a writer would otherwise never
 * end, whatever the time limit of the command is. Process substitution, `<(command)`, works.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
} from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { TtsError } from '../base/errors.ts'
import { systemErrorCode } from '../base/system-error.ts'

export interface InputFileOptions {
  readonly maxBytes: number
  /** How long to wait for the writer of a pipe. Default 10,000. */
  readonly timeoutMs?: number | undefined
}

/** Opening a pipe without a writer must not hang. */
export const INPUT_FLAGS = constants.O_RDONLY | constants.O_NONBLOCK
const TIMEOUT_MS = 10_000
const POLL_MS = 20

/**
 * Reads the file.
 *
 * @throws {TtsError} `invalid_request` (longer than `maxBytes`, or the writer of the pipe is too slow)
 * @throws the system's error
 */
export async function readInputFile(path: string, options: InputFileOptions): Promise<Buffer> {
  const file = await open(path, INPUT_FLAGS)
  try {
    return await readOpenInput(file, path, options)
  } finally {
    await file.close()
  }
}

/** The same for a file that was opened with `INPUT_FLAGS`. @throws as `readInputFile` */
export async function readOpenInput(
  file: FileHandle,
  path: string,
  options: InputFileOptions,
): Promise<Buffer> {
  const input = startInput(path, await file.stat(), options)
  const { buffer } = input
  for (;;) {
    const length = await file.read(buffer, 0, buffer.length, null).then(
      ({ bytesRead }) => bytesRead,
      (error: unknown) => waitIfEmpty(error),
    )
    if (input.accept(length)) return input.content()
    if (length === undefined || length === 0) await delay(POLL_MS)
  }
}

/** The same, synchronously. @throws as `readInputFile` */
export function readInputFileSync(path: string, options: InputFileOptions): Buffer {
  const file = openSync(path, INPUT_FLAGS)
  try {
    const input = startInput(path, fstatSync(file), options)
    for (;;) {
      const length = readOnce(file, input.buffer)
      if (input.accept(length)) return input.content()
      if (length === undefined || length === 0)
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS)
    }
  } finally {
    closeSync(file)
  }
}

function readOnce(file: number, buffer: Buffer): number | undefined {
  try {
    return readSync(file, buffer, 0, buffer.length, null)
  } catch (error) {
    return waitIfEmpty(error)
  }
}

/** Returns undefined for a pipe that has a writer and no data yet. */
function waitIfEmpty(error: unknown): undefined {
  if (systemErrorCode(error) === 'EAGAIN') return undefined
  throw error
}

const CHUNK_BYTES = 64 * 1024

/** Collects the pieces of one file and watches its limits. */
function startInput(path: string, stats: Stats, { maxBytes, timeoutMs }: InputFileOptions) {
  // A named pipe reads as empty until its writer opens it. The pipe of `<(command)`, without a name, has its writer.
  const isNamedPipe = stats.isFIFO() && hasName(path)
  const endAt = performance.now() + (timeoutMs ?? TIMEOUT_MS)
  const chunks: Buffer[] = []
  const buffer = Buffer.alloc(CHUNK_BYTES)
  let total = 0
  return {
    /** Where the next piece is read to. */
    buffer,
    /** Returns whether the file has ended. `length`: bytes in the buffer; undefined: no data yet. */
    accept: (length: number | undefined): boolean => {
      if (length !== undefined && length > 0) chunks.push(Buffer.from(buffer.subarray(0, length)))
      total += length ?? 0
      if (total > maxBytes)
        throw new TtsError('invalid_request', `${path} is longer than ${maxBytes} bytes`)
      const isOpen = length === undefined || (isNamedPipe && total === 0)
      if (length === 0 && !isOpen) return true
      if (performance.now() > endAt)
        throw new TtsError('invalid_request', `${path} is a pipe that does not end in time`, {
          remedy: 'Check the program that writes to the pipe, or name a file.',
        })
      return false
    },
    content: (): Buffer => Buffer.concat(chunks),
  }
}

/** Whether a pipe is a file. The link in /dev/fd to a pipe without a name cannot be resolved. */
function hasName(path: string): boolean {
  try {
    // The variant in JavaScript does not look at the last part.
    realpathSync.native(path)
    return true
  } catch {
    return false
  }
}
