/** The files of a backup: those of the CAs, past and next ones too, of the SSH CA, and the master keys. */
import { existsSync } from 'node:fs'
import { lstat, readdir, readFile, readlink, rmdir, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { TtsError } from '../base/errors.ts'
import type { AuthorityKind } from '../domain/installation.ts'
import { isPublicFile } from '../files/data-directory.ts'
import { makeDirectory } from '../files/directory.ts'
import { cannotRead } from '../files/file-errors.ts'
import { createPrivateFile, readPrivateFile } from '../files/private-file.ts'
import { NEXT_PLACE, otherPlaces } from '../files/roll-over-files.ts'
import type { BackupFile } from './content.ts'

/** Where the files are. */
export interface FilePlace {
  readonly dataDirectory: string
  /** File of the master keys; undefined: they are a value of the configuration. */
  readonly masterKeyFile: string | undefined
}

/** Path of the master keys in a backup. */
export const MASTER_KEYS = 'master-keys'
const MAX_FILE_BYTES = 1024 * 1024
/** A file that is being written, or was when the machine stopped. */
const TEMPORARY = /^\.tts-.*\.tmp$/

/** @throws {TtsError} `configuration` (a file cannot be read) */
export async function readFiles(place: FilePlace): Promise<BackupFile[]> {
  const { dataDirectory, masterKeyFile } = place
  const files: BackupFile[] = []
  for (const directory of await directoriesIn(place))
    for (const name of await namesIn(place, directory))
      files.push(await readOne(`${directory}/${name}`, join(dataDirectory, directory, name)))
  if (masterKeyFile !== undefined) files.push(await readOne(MASTER_KEYS, masterKeyFile))
  return files
}

/** Returns the directories of all keys, relative to the data directory; some may be missing. */
async function directoriesIn({ dataDirectory }: FilePlace): Promise<readonly string[]> {
  const others = await otherPlaces(dataDirectory)
  const former = others.filter(({ role }) => role === 'former').map(({ place }) => place)
  return ['ca', 'ssh-ca', NEXT_PLACE, ...former]
}

/** Without the master keys, which may lie in such a directory but are a file of their own. */
async function namesIn(place: FilePlace, directoryName: string): Promise<readonly string[]> {
  const directory = join(place.dataDirectory, directoryName)
  try {
    const names: string[] = []
    for (const name of await readdir(directory)) {
      const path = join(directory, name)
      const isOther = TEMPORARY.test(name) || path === place.masterKeyFile
      if (!isOther && (await isFile(path))) names.push(name)
    }
    return names
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw cannotRead(directory, error, { code: 'configuration' })
  }
}

/** Also the target of a link, as in mounted secrets. A link to nothing counts as the file that it should be. */
async function isFile(path: string): Promise<boolean> {
  const found = await stat(path).catch(async (error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw cannotRead(path, error, { code: 'configuration' })
    // Otherwise it was removed meanwhile.
    return lstat(path).catch(() => undefined)
  })
  return found !== undefined && (found.isFile() || found.isSymbolicLink())
}

async function readOne(path: string, from: string): Promise<BackupFile> {
  await refuseDanglingLink(from)
  if (isPublicFile(path)) {
    const data = await readFile(from).catch((error: unknown) => {
      throw cannotRead(from, error, { code: 'configuration' })
    })
    return { path, mode: 0o644, data }
  }
  const data = await readPrivateFile(from, { maxBytes: MAX_FILE_BYTES, readers: 'root_for_group' })
  return { path, mode: 0o600, data }
}

/** A volume that is not mounted must not make a backup without its keys. */
async function refuseDanglingLink(path: string): Promise<void> {
  const cause: unknown = await stat(path).then(
    () => undefined,
    (error: unknown) => error,
  )
  const target = await readlink(path).catch(() => undefined)
  if (cause === undefined || target === undefined) return
  throw cannotRead(`${path}, a link to ${target},`, cause, {
    code: 'configuration',
    remedy: 'Mount the volume that holds the file, or remove the link if the file is not needed.',
  })
}

/** The files without which a CA cannot be used. */
const AUTHORITY_FILES = {
  'x509-ca': { name: 'a CA', needed: ['ca/ca.pem', 'ca/ca-key.pem'] },
  'ssh-ca': { name: 'an SSH CA', needed: ['ssh-ca/ca-key.pem'] },
} as const

/**
 * Refuses a backup without the CAs that the records belong to.
 *
 * @throws {TtsError} `configuration`, check `authority_missing`
 */
export function refuseMissingAuthority(
  { dataDirectory }: FilePlace,
  files: readonly BackupFile[],
  kinds: readonly AuthorityKind[],
): void {
  for (const kind of kinds) {
    const { name, needed } = AUTHORITY_FILES[kind]
    const missing = needed.find((wanted) => !files.some(({ path }) => path === wanted))
    if (missing !== undefined)
      throw new TtsError(
        'configuration',
        `the records belong to ${name}, but ${join(dataDirectory, missing)} is missing; nothing was backed up`,
        {
          check: 'authority_missing',
          remedy:
            'Mount the volume that holds this file, or set data_dir (TTS_DATA_DIR) to the directory that has it.',
        },
      )
  }
}

/** Adds the master keys that were removed from their file meanwhile. */
export function withAllKeys(files: BackupFile[], before: readonly BackupFile[]): BackupFile[] {
  const linesOf = (data: Buffer): string[] => data.toString('utf8').trimEnd().split('\n')
  const earlier = before.find(({ path }) => path === MASTER_KEYS)
  return files.map((file) => {
    if (file.path !== MASTER_KEYS || earlier === undefined) return file
    const lines = linesOf(file.data)
    const removed = linesOf(earlier.data).filter((line) => !lines.includes(line))
    return { ...file, data: Buffer.from(`${[...lines, ...removed].join('\n')}\n`) }
  })
}

/**
 * Refuses a file that has no place here, or the place of another one. A backup is encrypted by us, but a path of it
 * must still not lead elsewhere.
 *
 * @param others those that came before it
 * @throws {TtsError} `configuration`
 */
export function refuseUnknownFile({ path }: BackupFile, others: readonly BackupFile[]): void {
  // Any plain name, because whatever lies in these directories is backed up.
  const isKnown =
    path === MASTER_KEYS ||
    (/^(ca|ssh-ca|ca-next|ca-former\/[0-9a-f]{8})\/[^/\0]+$/.test(path) && !/\/\.\.?$/.test(path))
  if (!isKnown)
    throw new TtsError('configuration', `the backup has the unknown file ${path}`, {
      check: 'backup_damaged',
      remedy: 'Restore it with the version of this program that made it.',
    })
  if (others.some((other) => other.path === path))
    throw new TtsError('configuration', `the backup has the file ${path} twice`, {
      check: 'backup_damaged',
      remedy: 'Use another copy, or the backup before it.',
    })
}

/** Master keys may be there already, see kept-master-keys.ts. @throws {TtsError} `conflict`, check `not_empty` */
export async function refuseFilledPlace(place: FilePlace): Promise<void> {
  const { dataDirectory } = place
  const present: string[] = []
  for (const directory of await directoriesIn(place))
    if ((await namesIn(place, directory)).length > 0) present.push(join(dataDirectory, directory))
  if (present.length === 0) return
  throw new TtsError(
    'conflict',
    `there is ${present.join(' and ')} already; nothing was restored`,
    {
      check: 'not_empty',
      remedy:
        'Move these files away, or set data_dir to an empty directory. They are never overwritten.',
    },
  )
}

const isOthersFile = (error: unknown): boolean =>
  error instanceof TtsError && error.check === 'file_exists'

/**
 * Creates the files, all of them or none.
 *
 * @returns how to remove them again
 * @throws {TtsError} `conflict`, check `file_exists`; `configuration`
 */
export async function createFiles(
  place: FilePlace,
  files: readonly BackupFile[],
): Promise<() => Promise<void>> {
  const created: string[] = []
  const directories = new Set<string>()
  const remove = async (): Promise<void> => {
    for (const path of created) await unlink(path).catch(() => undefined)
    // Only if empty, and made here. The directory of a former CA without its files would stop the service.
    for (const directory of directories) await rmdir(directory).catch(() => undefined)
  }
  const createOne = async ({ path, mode, data }: BackupFile): Promise<void> => {
    const isMasterKeys = path === MASTER_KEYS
    const target = isMasterKeys ? place.masterKeyFile : join(place.dataDirectory, path)
    if (target === undefined) return
    const directory = dirname(target)
    if (!isMasterKeys) {
      if (!existsSync(directory)) directories.add(directory)
      await makeDirectory(directory, 0o700)
    }
    await createPrivateFile(target, data, { mode }).catch((error: unknown) => {
      // After an error of the disk, the file may be there.
      if (!isOthersFile(error)) created.push(target)
      throw error
    })
    created.push(target)
  }
  try {
    for (const file of files) await createOne(file)
  } catch (error) {
    await remove()
    throw error
  }
  return remove
}
