/**
 * Prepares the path of a Unix socket. Its directory stays open, so that checks, removal and bind use the same
 * directory.
 */
import { lstat, unlink } from 'node:fs/promises'
import { connect } from 'node:net'
import { basename, dirname } from 'node:path'
import { TtsError } from '../../base/errors.ts'
import { listenError } from '../../base/system-error.ts'
import { openDirectory } from '../../files/directory.ts'

export interface SocketPath {
  /** The path to bind to, valid until `close`. */
  readonly path: string
  close(): Promise<void>
}

/**
 * Removes the socket of a certcache that was killed. A socket on which a program answers, or another file, stays.
 *
 * @throws {TtsError} `configuration` when the path cannot be used
 */
export async function prepareSocket(path: string): Promise<SocketPath> {
  const directory = await openDirectory(dirname(path)).catch((cause: unknown) => {
    if (cause instanceof TtsError) throw cause
    throw listenError(path, cause)
  })
  try {
    const at = directory.entry(basename(path))
    const stats = await lstat(at).catch(() => undefined)
    if (stats && !stats.isSocket())
      throw new TtsError('configuration', `listen.socket: ${path} exists and is not a socket`)
    if (stats && (await isInUse(at))) throw listenError(path, { code: 'EADDRINUSE' })
    if (stats) await unlink(at)
    // Only root must be protected from a replaced directory. For other users the plain path is better: tools show it.
    const isRoot = process.geteuid?.() === 0
    return { path: isRoot ? at : path, close: async () => directory.close() }
  } catch (error) {
    await directory.close()
    throw error instanceof TtsError ? error : listenError(path, error)
  }
}

function isInUse(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path, timeout: 1000 })
    const end = (isUsed: boolean) => (): void => {
      socket.destroy()
      resolve(isUsed)
    }
    socket.once('connect', end(true)).once('timeout', end(true)).once('error', end(false))
  })
}
