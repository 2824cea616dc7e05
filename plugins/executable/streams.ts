/**
 * Standard input, output and error of a program. Node would use sockets, which cannot be opened again by name, so
 * `echo problem > /dev/stderr` and `cat /dev/stdin`, common in shell scripts, would fail. Here output and error are
 * pipes, and the input is an unlinked file in memory.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fchownSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** The streams of one program: file descriptors for the program, sockets for us. */
export interface ProgramStreams {
  /** `pipe`: a pipe of Node, used when no file in memory can be made; the input must then still be written. */
  readonly childStdio: readonly [number | 'pipe' | 'ignore', number, number]
  readonly stdout: Socket
  readonly stderr: Socket
  /** Must be called after the program has started. */
  closeChildEnds(): void
  destroy(): void
}

/** A file system in memory: the input may hold a token, which must not be written to a disk. */
const MEMORY_DIRECTORY = '/dev/shm'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, O_NONBLOCK } = constants

export interface StreamOptions {
  /** Directory of the input file; default `/dev/shm`. */
  readonly memoryDirectory?: string
  /** The program's user, if it is another one: only the owner can open the streams again by name. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined
}

/** Opens a program's streams. The pipes have names in `directory` only while this runs. @throws the system's error */
export async function openStreams(
  directory: string,
  input: string | undefined,
  { memoryDirectory = MEMORY_DIRECTORY, owner }: StreamOptions = {},
): Promise<ProgramStreams> {
  const paths = ['out', 'err'].map((name) => join(directory, name))
  await promisify(execFile)('mkfifo', ['-m', '600', '--', ...paths], {
    env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    timeout: 5000,
  })
  const descriptors: number[] = []
  const open = (path: string, flags: number): number => {
    const descriptor = openSync(path, flags, 0o600)
    descriptors.push(descriptor)
    return descriptor
  }
  try {
    const stdin = input === undefined ? 'ignore' : inputFile(memoryDirectory, input, open)
    const [out, error] = paths.map((path) => {
      // Opened for reading and writing first, so that opening either end does not block.
      const pipe = openSync(path, O_RDWR | O_NONBLOCK)
      // The program's end is blocking, as programs expect.
      const ends = { our: open(path, O_RDONLY | O_NONBLOCK), child: open(path, O_WRONLY) }
      closeSync(pipe)
      unlinkSync(path)
      return ends
    }) as [PipeEnds, PipeEnds]
    for (const end of [stdin, out.child, error.child])
      if (owner && typeof end === 'number') fchownSync(end, owner.uid, owner.gid)
    return programStreams([stdin, out, error])
  } catch (failure) {
    descriptors.forEach((descriptor) => closeSync(descriptor))
    throw failure
  }
}

interface PipeEnds {
  readonly our: number
  readonly child: number
}

function programStreams([stdin, out, error]: readonly [
  number | 'pipe' | 'ignore',
  PipeEnds,
  PipeEnds,
]): ProgramStreams {
  const stdout = new Socket({ fd: out.our, readable: true, writable: false })
  const stderr = new Socket({ fd: error.our, readable: true, writable: false })
  return {
    childStdio: [stdin, out.child, error.child],
    stdout,
    stderr,
    closeChildEnds() {
      for (const end of [stdin, out.child, error.child]) if (typeof end === 'number') closeSync(end)
    },
    destroy() {
      stdout.destroy()
      stderr.destroy()
    },
  }
}

/** Returns the descriptor of an unlinked file with this content, open at its start. */
function inputFile(
  directory: string,
  input: string,
  open: (path: string, flags: number) => number,
): number | 'pipe' {
  const path = join(directory, `tts-plugin-${randomBytes(12).toString('hex')}`)
  let writer: number
  try {
    writer = openSync(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
  } catch {
    return 'pipe'
  }
  try {
    const reader = open(path, O_RDONLY)
    unlinkSync(path)
    const bytes = Buffer.from(input)
    for (let at = 0; at < bytes.length;) at += writeSync(writer, bytes, at)
    return reader
  } finally {
    closeSync(writer)
  }
}
