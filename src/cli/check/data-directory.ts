/** The checks of the data directory: owners, modes, write access, space. */
import { accessSync, constants, lstatSync, readdirSync, type Stats } from 'node:fs'
import { statfs, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { LoadedConfiguration } from '../../config/load.ts'
import { isPublicFile, nearestExisting, unusableDataDirectory } from '../../files/data-directory.ts'
import { fileError } from '../../files/file-errors.ts'
import { modeForOthers } from '../../files/trusted-group.ts'
import { type Check, failure } from './check.ts'

const MIB = 1024 * 1024
const FAILED_BELOW_MIB = 50
const WARN_BELOW_MIB = 1024

/** Checks the data directory. Writes one small file there and removes it. */
export async function dataDirectoryChecks({
  dataDirectory,
}: LoadedConfiguration): Promise<Check[]> {
  const place = nearestExisting(dataDirectory)
  try {
    const access = await accessCheck(dataDirectory, place)
    const isUsable = access.state === 'ok' && place === dataDirectory
    return [
      access,
      ...(isUsable ? ownerChecks(dataDirectory) : []),
      ...spaceChecks(place, await freeMib(place)),
    ]
  } catch (error) {
    return [failure('data directory', fileError(`${place} cannot be examined`, error))]
  }
}

async function accessCheck(dataDirectory: string, place: string): Promise<Check> {
  const us = `user id ${process.geteuid?.() ?? '?'}`
  try {
    accessSync(place, constants.R_OK | constants.W_OK | constants.X_OK)
    if (place === dataDirectory) await writeOnce(place)
  } catch (error) {
    return failure('data directory', unusableDataDirectory(dataDirectory, error))
  }
  const detail =
    place === dataDirectory
      ? `${dataDirectory}, readable and writable by ${us}`
      : `${dataDirectory} does not exist yet and will be created`
  return { check: 'data directory', state: 'ok', detail }
}

async function writeOnce(directory: string): Promise<void> {
  const path = join(directory, `.tts-check-${process.pid}`)
  await writeFile(path, 'test', { flag: 'wx', mode: 0o600 })
  await unlink(path)
}

const MAX_FILES = 5000

/** Finds files of other users and files that others can read. */
function ownerChecks(dataDirectory: string): Check[] {
  const uid = process.geteuid?.()
  const entries = readdirSync(dataDirectory, { recursive: true, encoding: 'utf8' }).slice(
    0,
    MAX_FILES,
  )
  const found = ['', ...entries].flatMap((name) => {
    const stats = lstatSync(join(dataDirectory, name), { throwIfNoEntry: false })
    return stats === undefined ? [] : [{ path: join(dataDirectory, name), stats }]
  })
  const foreign = found.filter(({ path, stats }) => stats.uid !== uid && path !== dataDirectory)
  const open = found.filter(({ path, stats }) => isOpen(path, stats))
  return [
    ...foreign
      .slice(0, 3)
      .map(({ path, stats }) =>
        problem(
          'files',
          `${path} belongs to user id ${stats.uid}, not to this user (user id ${uid ?? '?'})`,
          `Run chown -R '${uid ?? ''}' '${dataDirectory}' as root.`,
        ),
      ),
    ...open
      .slice(0, 3)
      .map(({ path, stats }) =>
        problem(
          'files',
          `${path} can be used by other users (mode ${(stats.mode & 0o7777).toString(8).padStart(4, '0')})`,
          `Run chmod ${stats.isDirectory() ? '700' : '600'} '${path}'.`,
        ),
      ),
  ]
}

/** Others must not change a directory, and must not read a private file. */
function isOpen(path: string, stats: Stats): boolean {
  const mode = modeForOthers(stats)
  if (stats.isSymbolicLink()) return false
  if (stats.isDirectory()) return (mode & 0o022) !== 0
  return stats.isFile() && (mode & (isPublicFile(path) ? 0o022 : 0o077)) !== 0
}

async function freeMib(place: string): Promise<number> {
  const { bavail, bsize } = await statfs(place)
  return Math.floor((bavail * bsize) / MIB)
}

/** @param mib free on the disk of the place */
export function spaceChecks(place: string, mib: number): Check[] {
  if (mib >= WARN_BELOW_MIB) return []
  return [
    {
      check: 'disk',
      state: mib < FAILED_BELOW_MIB ? 'failed' : 'warning',
      detail: `${mib} MiB are free on the disk of ${place}`,
      remedy: 'Free space: on a full disk nothing can be recorded, so nothing is issued.',
    },
  ]
}

function problem(check: string, detail: string, remedy: string): Check {
  return { check, state: 'failed', detail, remedy }
}
