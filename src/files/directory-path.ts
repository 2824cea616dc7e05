/** Opens a path as root so that other users cannot redirect it; see directory.ts. */
import { constants } from 'node:fs'
import { lstat, mkdir, open, readlink, stat } from 'node:fs/promises'
import type { FileHandle } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { makePath, noRoomForDirectories } from './make-path.ts'

/** A directory that was opened for reading. */
export interface OpenedDirectory {
  readonly file: FileHandle
  /** True when this call created it. */
  readonly isNew: boolean
  /** Path prefix for its entries. */
  readonly at: string
}

export const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY
/** O_PATH of Linux, which Node does not name: opens a directory only for lookups, without the right to read it. */
const LOOKUP_FLAGS = 0o10000000 | DIRECTORY_FLAGS
/** The limit of the kernel. */
const MAX_LINKS = 40

/** Returns the path by which Linux reaches entries of an open directory. */
export const descriptorPath = (file: FileHandle): string => `/proc/self/fd/${file.fd}`

/** Whether `descriptorPath` works: false if /proc is not mounted or not that of Linux. */
export async function hasDescriptorPath(file: FileHandle): Promise<boolean> {
  const [direct, looked] = await Promise.all([
    file.stat(),
    stat(`${descriptorPath(file)}/.`).catch(() => undefined),
  ])
  return looked?.ino === direct.ino && looked.dev === direct.dev
}

/**
 * Opens a path as root, one directory after the other. Follows a link only if nobody but root can have made it.
 *
 * @param make permission bits of missing directories, which are then created
 * @throws {TtsError} `configuration` with check `symbolic_link` or `directory`
 * @throws the system's error
 */
export async function openPathAsRoot(path: string, make?: number): Promise<OpenedDirectory> {
  const top = await open('/', DIRECTORY_FLAGS)
  const canLookUp = await hasDescriptorPath(top)
  await top.close()
  return canLookUp ? walk(path, make) : openTrusted(path, make)
}

/** Whether only root can create, rename and remove entries of the directory. */
export function isRootsAlone(directory: { readonly uid: number; readonly mode: number }): boolean {
  return directory.uid === 0 && (directory.mode & 0o022) === 0
}

/**
 * Whether no other user can rename or remove root's entries. In a sticky directory (/tmp) only the owner of an entry
 * can.
 */
export function isSafeForRoot(directory: { readonly uid: number; readonly mode: number }): boolean {
  return isRootsAlone(directory) || (directory.uid === 0 && (directory.mode & 0o1000) !== 0)
}

/** Returns the error for a link that root must not follow because other users may have made it or can change it. */
export function untrustedLink(path: string, link: string): TtsError {
  return new TtsError(
    'configuration',
    `${path}: ${link} is a symbolic link that other users can change; root does not follow it`,
    {
      check: 'symbolic_link',
      remedy: 'Name the target of the link, or run this as the user who owns the link.',
    },
  )
}

async function walk(path: string, make: number | undefined): Promise<OpenedDirectory> {
  const left = componentsOf(path.startsWith('/') ? path : `${process.cwd()}/${path}`)
  let links = 0
  let isNew = false
  let at = await open('/', LOOKUP_FLAGS)
  try {
    for (let name = left.shift(); name !== undefined; name = left.shift()) {
      const step = await openStep(at, name, { path, make })
      if ('link' in step) {
        if (!isRootsAlone(await at.stat())) throw untrustedLink(path, name)
        if (++links > MAX_LINKS) throw Object.assign(new Error('too many links'), { code: 'ELOOP' })
        left.unshift(...componentsOf(step.link))
        if (!step.link.startsWith('/')) continue
      }
      const next = 'link' in step ? await open('/', LOOKUP_FLAGS) : step.file
      await at.close()
      at = next
      isNew = 'isNew' in step && step.isNew
    }
    const file = await open(`${descriptorPath(at)}/.`, DIRECTORY_FLAGS)
    return { file, isNew, at: descriptorPath(file) }
  } finally {
    await at.close()
  }
}

type Step = { readonly file: FileHandle; readonly isNew: boolean } | { readonly link: string }

async function openStep(
  at: FileHandle,
  name: string,
  { path, make }: { readonly path: string; readonly make: number | undefined },
): Promise<Step> {
  const entry = `${descriptorPath(at)}/${name}`
  const flags = LOOKUP_FLAGS | constants.O_NOFOLLOW
  try {
    return { file: await open(entry, flags), isNew: false }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    const link = code === 'ENOENT' ? undefined : await readlink(entry).catch(() => undefined)
    if (link !== undefined) return { link }
    if (code !== 'ENOENT' || make === undefined) throw error
  }
  const isNew = await mkdir(entry, { mode: make }).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false
      // The parent is open, so it exists.
      throw error.code === 'ENOENT' ? noRoomForDirectories(path, error) : error
    },
  )
  return { file: await open(entry, flags), isNew }
}

const componentsOf = (path: string): string[] =>
  path.split('/').filter((name) => name !== '' && name !== '.')

/**
 * Opens a path without /proc. This is safe for root only if no other user can replace a directory on the way.
 */
async function openTrusted(path: string, make: number | undefined): Promise<OpenedDirectory> {
  for (let at = resolve(path); ; at = dirname(at)) {
    const found = await lstat(at).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' && make !== undefined) return undefined
      throw error
    })
    if (found !== undefined && !isSafeForRoot(found))
      throw new TtsError(
        'configuration',
        `root cannot write safely in ${path}: other users can change ${at}, and /proc is not mounted`,
        {
          check: 'directory',
          remedy: 'Mount /proc, or name a directory that only root can change.',
        },
      )
    if (at === dirname(at)) break
  }
  const isNew = make === undefined ? false : await makePath(path, make)
  const file = await open(path, DIRECTORY_FLAGS | constants.O_NOFOLLOW)
  return { file, isNew, at: path }
}
