/** Files of lines in a private directory, to which lines are only ever added. */
import { randomBytes } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { type FileHandle, open, readdir, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { systemErrorCode } from '../base/system-error.ts'
import { type Directory, withDirectory } from './directory.ts'
import { cannotRead, cannotWrite } from './file-errors.ts'

const EXTENSION = '.jsonl'

/** A file of this process. No other process writes to it, because its name is random. */
interface LineFile {
  readonly month: string
  readonly name: string
  /** Bytes that are known to be on the disk. */
  readonly length: number
}

/** Adds lines to the newest file. */
export interface LineFiles {
  /**
   * Adds lines, each with its end. They are on the disk when the promise is fulfilled.
   *
   * @throws {TtsError} `configuration` (the directory or file cannot be written). A part may have been written.
   */
  append(lines: string): Promise<void>
}

/**
 * Returns the files of this process in a directory, one for each month in which something is added. The directory is
 * made when it is needed, with mode 0700; the files have mode 0600.
 */
export function createLineFiles(directory: string, now: () => Date): LineFiles {
  let current: LineFile | undefined
  return {
    async append(lines) {
      const month = now().toISOString().slice(0, 7)
      const known = current?.month === month ? current : undefined
      // Given up when this fails: a file that ends within a line is never continued.
      current = undefined
      try {
        current = await withDirectory(
          directory,
          async (opened) => {
            if (opened.isNew) await syncDirectory(dirname(directory))
            const longer = known && (await addTo(opened, known, lines))
            return longer ?? (await addToNew(opened, month, lines))
          },
          { make: 0o700 },
        )
      } catch (error) {
        throw cannotWrite(directory, error)
      }
    },
  }
}

const { O_WRONLY, O_APPEND, O_CREAT, O_EXCL, O_NOFOLLOW } = constants

/** Returns undefined when the file is gone: an operator may move files away at any time. */
async function addTo(
  directory: Directory,
  file: LineFile,
  lines: string,
): Promise<LineFile | undefined> {
  try {
    const handle = await open(directory.entry(file.name), O_WRONLY | O_APPEND | O_NOFOLLOW)
    return await write(handle, file, lines)
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined
    throw error
  }
}

async function addToNew(directory: Directory, month: string, lines: string): Promise<LineFile> {
  const name = `${month}-${randomBytes(6).toString('hex')}${EXTENSION}`
  const path = directory.entry(name)
  const handle = await open(path, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
  try {
    const file = await write(handle, { month, name, length: 0 }, lines)
    await directory.file.sync()
    return file
  } catch (error) {
    // An empty file for each try would be left on a full disk.
    await unlink(path).catch(() => undefined)
    throw error
  }
}

async function write(handle: FileHandle, file: LineFile, lines: string): Promise<LineFile> {
  try {
    await handle.writeFile(lines)
    await handle.sync()
    return { ...file, length: file.length + Buffer.byteLength(lines) }
  } catch (error) {
    await handle.truncate(file.length).catch(() => undefined)
    throw error
  } finally {
    await handle.close()
  }
}

const syncDirectory = async (path: string): Promise<void> =>
  withDirectory(path, async (opened) => opened.file.sync())

/**
 * Reads all files of a directory line by line, by name, so the oldest month comes first. Memory does not grow with
 * their size.
 *
 * @throws {TtsError} `not_found` (there is no such directory), `invalid_request` (it cannot be read)
 */
export async function* readLineFiles(directory: string): AsyncGenerator<string> {
  try {
    for (const name of (await readdir(directory)).toSorted()) {
      if (!name.endsWith(EXTENSION)) continue
      let rest = ''
      for await (const chunk of createReadStream(join(directory, name), 'utf8')) {
        const lines = `${rest}${chunk as string}`.split('\n')
        rest = lines.pop() ?? ''
        yield* lines
      }
      // Without its end: the process was killed while it wrote the line.
      if (rest !== '') yield rest
    }
  } catch (error) {
    throw cannotRead(directory, error)
  }
}
