/** The data directory: created if missing, and usable by this process. */
import { accessSync, constants, existsSync, statSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { fileErrorReason, systemErrorCode } from '../base/system-error.ts'
import { makeDirectory } from './directory.ts'

/**
 * Creates the data directory if it is missing, with mode 0700, and checks that this process can write to it.
 *
 * @throws {TtsError} `configuration`, check `data_directory`, saying who owns it and what to do
 */
export async function prepareDataDirectory(path: string): Promise<void> {
  try {
    if (!existsSync(path)) await makeDirectory(path, 0o700)
    const { R_OK, W_OK, X_OK } = constants
    accessSync(path, R_OK | W_OK | X_OK)
  } catch (error) {
    throw unusableDataDirectory(path, error)
  }
}

/** Returns the error for a data directory that cannot be created or written. A TtsError stays. */
export function unusableDataDirectory(path: string, cause: unknown): TtsError {
  if (cause instanceof TtsError) return cause
  const { problem, remedy } = describe(path, systemErrorCode(cause) ?? '')
  return new TtsError('configuration', `the data directory ${path} cannot be used: ${problem}`, {
    check: 'data_directory',
    remedy,
    cause,
  })
}

function describe(path: string, code: string) {
  // The search of a file that is no program is denied, too.
  const isFile = statSync(nearestExisting(path), { throwIfNoEntry: false })?.isFile() === true
  switch (isFile ? 'ENOTDIR' : code) {
    case 'EACCES':
    case 'EPERM':
      return describeDenied(path)
    case 'EROFS':
      return {
        problem: 'its file system is read-only',
        remedy: 'Mount a volume that can be written there, or set data_dir (TTS_DATA_DIR).',
      }
    case 'ENOTDIR':
      return {
        problem: 'it, or a part of its path, is not a directory',
        remedy: 'Set data_dir (TTS_DATA_DIR) to a directory.',
      }
    case 'ENOSPC':
    case 'EDQUOT':
      return { problem: 'the disk is full', remedy: 'Free space on the disk.' }
    default:
      return {
        problem: fileErrorReason({ code }),
        remedy: 'Set data_dir (TTS_DATA_DIR) to another directory.',
      }
  }
}

function describeDenied(path: string) {
  const nearest = nearestExisting(path)
  const owner = statSync(nearest, { throwIfNoEntry: false })?.uid ?? 'unknown'
  const us = process.geteuid?.() ?? 'unknown'
  if (nearest !== path)
    return {
      problem: `it does not exist, and this process (user id ${us}) cannot create it in ${nearest}, which belongs to user id ${owner}`,
      remedy: `Create it as root: install -d -m 700 -o '${us}' '${path}'. Or set data_dir (TTS_DATA_DIR).`,
    }
  return {
    problem: `it belongs to user id ${owner}, and this process (user id ${us}) cannot write to it`,
    remedy: `Run this as its owner (sudo -u '#${owner}' …), or give it to this user: chown -R '${us}' '${path}'. On a Kubernetes volume, set fsGroup and trusted_group.`,
  }
}

export interface DirectoryOwner {
  readonly uid: number
  readonly gid: number
}

/** Returns the owner of the directory if we are root and it belongs to another user, whom commands then act as. */
export function otherOwnerOf(path: string): DirectoryOwner | undefined {
  if (process.geteuid?.() !== 0) return undefined
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined || found.uid === 0 ? undefined : found
}

/** Public files of the data directory: everybody may read them. */
const PUBLIC_NAMES: ReadonlySet<string> = new Set(['ca.pem', 'ca.csr', 'database-id'])

/** Whether everybody may read a file of the data directory, by its name. */
export const isPublicFile = (path: string): boolean => PUBLIC_NAMES.has(basename(path))

/** Returns the directory itself, or the lowest one above it that exists and can be seen. */
export function nearestExisting(path: string): string {
  for (let at = path; ; at = dirname(at)) if (existsSync(at) || at === dirname(at)) return at
}
