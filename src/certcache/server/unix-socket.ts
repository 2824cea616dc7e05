/** The place of a Unix socket: its directory held open, so that what is removed, bound and asked is in this very one. */
import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { basename, dirname } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import { openDirectory } from '../../files/directory.ts'

export interface SocketPlace {
  /** To bind to, until `close`. */
  readonly path: string
  close(): Promise<void>
}

/**
 * Removes the socket that a killed certcache left; one that somebody answers on, or another file, stays.
 *
 * @throws {TtsError} `configuration` when the place cannot be had
 */
export async function prepareSocket(path: string): Promise<SocketPlace> {
  const directory = await openDirectory(dirname(path)).catch((cause: unknown) => {
    if (cause instanceof TtsError) throw cause
    throw cannotListen(path, (cause as NodeJS.ErrnoException).code ?? 'unknown error', cause)
  })
  try {
    const at = directory.entry(basename(path))
    const found = await lstat(at).catch(() => undefined)
    if (found && !found.isSocket())
      throw new TtsError('configuration', `listen.socket: ${path} is there, and is not a socket`)
    if (found && (await isAnswered(at))) throw cannotListen(path, 'another program listens there')
    if (found) await unlink(at)
    // Who is not root has no more than their own rights, and tools show the socket by its name.
    const isRoot = process.geteuid?.() === 0
    return { path: isRoot ? at : path, close: async () => directory.close() }
  } catch (error) {
    await directory.close()
    throw error instanceof TtsError
      ? error
      : cannotListen(path, (error as NodeJS.ErrnoException).code ?? 'unknown error', error)
  }
}

function cannotListen(path: string, why: string, cause?: unknown): TtsError {
  return new TtsError('configuration', `cannot listen on ${path}: ${why}`, { cause })
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: 1000 })
    const end = (answered: boolean) => (): void => {
      socket.destroy()
      resolve(answered)
    }
    socket.once('connect', end(true)).once('timeout', end(true)).once('error', end(false))
  })
}
