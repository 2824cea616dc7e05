/**
 * Certificates and key as two files that change together. As Kubernetes does it for mounted secrets: both lie in a directory
 * of their own, one for each proxy, and the names that programs know are links through one link, which is replaced by
 * rename:
 *
 *     usercert.pem -> ..data/usercert.pem        ..data -> ..v-Ab3dEf        ..v-Ab3dEf/usercert.pem, userkey.pem
 *
 * At every moment, after a crash or on a full disk too, both names lead to the files of one proxy. A program that opens the
 * one before that rename and the other after it has two that do not fit, which it notices, and gets a pair when it reads
 * again; one that resolves `..data` first never has: the directory of the proxy before stays until a later renewal.
 */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { toPem } from '../../../ca/pem.ts'
import { formatProxyFile, parseProxyFile } from '../../../ca/proxy-file.ts'
import { TtsError } from '../../errors.ts'
import { writePrivateFile } from '../../files/private-file.ts'
import type { HeldProxy } from '../proxy-keeper.ts'
import { unwritable } from './room.ts'
import { checkTarget, foreign, isAsWanted, type Owner } from './targets.ts'

const LINK = '..data'
const VERSION = /^\.\.v-[A-Za-z0-9]{6}$/
const TEMPORARY_LINK = /^\.\.l-[0-9a-f]{12}$/
const OLD_MS = 3_600_000

/** Both files by their names. */
export type Pair = Readonly<Record<'userkey.pem' | 'usercert.pem', string>>

interface Wanted {
  readonly mode: number
  readonly owner: Owner | undefined
}

/** The proxy as two files. */
export function pairOf(proxy: HeldProxy): Pair {
  const { certificates, privateKey } = parseProxyFile(proxy.pem.toString('latin1'))
  const [first, ...chain] = certificates.map(({ der }) => der)
  if (first === undefined || privateKey === undefined)
    throw new TtsError('internal', 'the proxy in hand is not whole')
  return {
    'userkey.pem': toPem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' })),
    'usercert.pem': formatProxyFile(first, undefined, chain),
  }
}

/** Whether the directory has this pair, by these links. @throws {TtsError} `configuration` for what is not ours */
export async function hasPair(directory: string, pair: Pair, wanted: Wanted): Promise<boolean> {
  let isThere = true
  // Both names are looked at, whatever the first is: nothing is begun beside what is not ours.
  for (const [name, content] of Object.entries(pair)) {
    const path = join(directory, name)
    const isLinked = await checkName(directory, name, wanted.owner)
    const found = await checkTarget(path, wanted.owner)
    const isWanted = isLinked && found && (await isAsWanted(path, { content, ...wanted }))
    isThere &&= isWanted
  }
  return isThere
}

/**
 * Writes the pair, unless the directory has it.
 *
 * @returns whether anything was written
 * @throws {TtsError} `configuration`; the pair that was there stays
 */
export async function writePair(directory: string, pair: Pair, wanted: Wanted): Promise<boolean> {
  let version: string | undefined
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    if (await hasPair(directory, pair, wanted)) return false
    const before = await currentVersion(directory)
    version = await mkdtemp(join(directory, '..v-'))
    await fill(version, pair, wanted)
    const name = version.slice(directory.length + 1)
    await replaceLink(join(directory, LINK), name)
    // Once, in a directory where they were files: then the key goes first.
    for (const file of Object.keys(pair))
      if (!(await checkName(directory, file, wanted.owner)))
        await replaceLink(join(directory, file), `${LINK}/${file}`)
    await syncDirectory(directory)
    await removeVersions(directory, name, before)
    return true
  } catch (error) {
    const current = await currentVersion(directory)
    if (version !== undefined && (current === undefined || !version.endsWith(current)))
      await rm(version, { recursive: true, force: true }).catch(() => undefined)
    throw error instanceof TtsError ? error : unwritable(directory, error)
  }
}

async function fill(version: string, pair: Pair, { mode, owner }: Wanted): Promise<void> {
  for (const [name, content] of Object.entries(pair))
    await writePrivateFile(join(version, name), content, {
      mode,
      ...(owner ? { owner } : {}),
    }).catch((error: unknown) => {
      throw error instanceof TtsError && error.remedy === undefined
        ? unwritable(join(version, '..', name), error.cause)
        : error
    })
  // Who may read the files may reach them.
  await chmod(version, (mode & 0o040) === 0 ? 0o700 : 0o750)
  if (owner) await chown(version, owner.uid, owner.gid)
}

/** True for our link, false for nothing or a file. @throws {TtsError} `configuration` for another link */
async function checkName(
  directory: string,
  name: string,
  owner: Owner | undefined,
): Promise<boolean> {
  const path = join(directory, name)
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSymbolicLink() !== true) {
    if (found !== undefined) await checkTarget(path, owner)
    return false
  }
  if ((await readlink(path)) === `${LINK}/${name}`) return true
  throw foreign(path, 'is a link to somewhere else', 'remove it, or name another directory')
}

async function currentVersion(directory: string): Promise<string | undefined> {
  const target = await readlink(join(directory, LINK)).catch(() => undefined)
  return target !== undefined && VERSION.test(target) ? target : undefined
}

/** There is no moment without the link. */
async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = join(dirname(path), `..l-${randomBytes(6).toString('hex')}`)
  try {
    await symlink(target, temporary)
    await rename(temporary, path)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}

/** Those of an hour ago. Younger ones may be another certcache's, which writes at this moment. */
async function removeVersions(
  directory: string,
  current: string,
  before: string | undefined,
): Promise<void> {
  const { mtimeMs: nowMs } = await lstat(join(directory, current))
  for (const name of await readdir(directory)) {
    const isOurs = VERSION.test(name) || TEMPORARY_LINK.test(name)
    if (!isOurs || name === current || name === before) continue
    const path = join(directory, name)
    const found = await lstat(path).catch(() => undefined)
    if (found !== undefined && nowMs - found.mtimeMs > OLD_MS)
      await rm(path, { recursive: true, force: true }).catch(() => undefined)
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
