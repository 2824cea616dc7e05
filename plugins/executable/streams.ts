/**
 * Standard input, output and error of a program. Node's own are sockets, which cannot be opened again by name:
 * `echo problem > /dev/stderr` and `cat /dev/stdin`, common in shell scripts, would fail. So output and error are true
 * pipes, and the input is a file in memory without a name.
 */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, constants, fchownSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'

/** One program's streams: its ends by number, ours to read. */
export interface ProgramStreams {
  /** `pipe`: Node's own, where there is no memory to put a file in; the input is then still to be written. */
  readonly childStdio: readonly [number | 'pipe' | 'ignore', number, number]
  readonly stdout: Socket
  readonly stderr: Socket
  /** To be called once the program has its ends. */
  closeChildEnds(): void
  destroy(): void
}

/** Files here are in memory only: the input may hold a token, which must not come to a disk. */
const MEMORY_DIRECTORY = '/dev/shm'

const { O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_WRONLY, O_NONBLOCK } = constants

export interface StreamOptions {
  /** Where the input is put into a file; default `/dev/shm`. */
  readonly memoryDirectory?: string
  /** Who runs the program, where that is not who calls: only the owner can open its streams again by name. */
  readonly owner?: { readonly uid: number; readonly gid: number } | undefined
}

/** Opens a program's streams; `directory` is for the names of pipes, which are gone when this returns. */
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
      // Open both ways at first: neither end then waits for the other.
      const both = openSync(path, O_RDWR | O_NONBLOCK)
      // The program's end blocks, as programs expect.
      const ends = { our: open(path, O_RDONLY | O_NONBLOCK), child: open(path, O_WRONLY) }
      closeSync(both)
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

/** A file with this content, readable from its start, that nobody else can find. */
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
