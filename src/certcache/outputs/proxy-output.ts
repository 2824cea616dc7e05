/**
 * Writes a proxy to the files that the operator named: whole or not at all, private from the first byte. What is there
 * already stays when anything goes wrong.
 */
import { constants } from 'node:fs'
import { lstat, mkdir, open, readdir, realpath, stat, unlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { formatProxyFile, parseProxyFile } from '../../../ca/proxy-file.ts'
import { toPem } from '../../../ca/pem.ts'
import { TtsError } from '../../errors.ts'
import { writePrivateFile } from '../../files/private-file.ts'
import { groupId, userId } from './accounts.ts'
import type { HeldProxy } from '../proxy-keeper.ts'
import type { OutputSettings } from '../settings/proxy-settings.ts'
import { codeOf, remedies, unwritable, whyNoRoom } from './room.ts'

/** Files are compared with what is to be written up to this length. */
const MAX_COMPARED_BYTES = 512 * 1024
const LEFTOVER_AGE_MS = 3_600_000

/**
 * Writes the proxy to one output; a file that has this content, mode and owner already is left alone.
 *
 * @returns whether anything was written
 * @throws {TtsError} `configuration` naming the file, what is wrong and what to do
 */
export async function writeOutput(output: OutputSettings, proxy: HeldProxy): Promise<boolean> {
  const owner = await ownerOf(output)
  const files = filesOf(output, proxy)
  if (output.format === 'split') await makeDirectory(output.path)
  let written = false
  for (const { path, content } of files) {
    const target = await targetOf(path, output)
    const found = await checkTarget(target, owner)
    const mode = Number.parseInt(output.mode, 8)
    if (found && (await isAsWanted(target, { content, mode, owner }))) continue
    await writePrivateFile(target, content, { mode, ...(owner ? { owner } : {}) }).catch(explain)
    written = true
  }
  return written
}

/**
 * Whether the files are as `writeOutput` leaves them, and could be written again; writes nothing.
 *
 * @returns why not; undefined when all is well
 */
export async function inspectOutput(
  output: OutputSettings,
  proxy: HeldProxy,
): Promise<TtsError | undefined> {
  try {
    const owner = await ownerOf(output)
    for (const { path, content } of filesOf(output, proxy)) {
      const target = await targetOf(path, output)
      const mode = Number.parseInt(output.mode, 8)
      const found = await checkTarget(target, owner)
      const code = await whyNoRoom(dirname(target), content.length)
      if (code !== undefined) return unwritable(target, { code })
      if (!found || !(await isAsWanted(target, { content, mode, owner }))) return outdated(target)
    }
    return undefined
  } catch (error) {
    if (error instanceof TtsError) return error
    throw error
  }
}

const outdated = (path: string): TtsError =>
  new TtsError('configuration', `${path} is not the newest proxy, or has another mode or owner`, {
    check: 'output',
    remedy: '`certcache refresh` and `certcache serve` write it again',
  })

interface Owner {
  readonly uid: number
  readonly gid: number
}

interface OutputFile {
  readonly path: string
  readonly content: string | Buffer
}

/**
 * With `split` the key goes first: for a moment the old certificate stands beside the new key, which every reader notices,
 * because the two do not fit.
 */
function filesOf({ path, format }: OutputSettings, proxy: HeldProxy): readonly OutputFile[] {
  if (format === 'pem') return [{ path, content: proxy.pem }]
  const { certificates, privateKey } = parseProxyFile(proxy.pem.toString('latin1'))
  const [first, ...chain] = certificates.map(({ der }) => der)
  if (first === undefined || privateKey === undefined)
    throw new TtsError('internal', 'the proxy in hand is not whole')
  const key = toPem('PRIVATE KEY', privateKey.export({ type: 'pkcs8', format: 'der' }))
  return [
    { path: join(path, 'userkey.pem'), content: key },
    { path: join(path, 'usercert.pem'), content: formatProxyFile(first, undefined, chain) },
  ]
}

async function makeDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
    throw unwritable(path, error)
  })
}

async function ownerOf({ owner, group }: OutputSettings): Promise<Owner | undefined> {
  if (owner === undefined && group === undefined) return undefined
  const uid = owner === undefined ? (process.getuid?.() ?? 0) : await userId(owner)
  const gid = group === undefined ? (process.getgid?.() ?? 0) : await groupId(group)
  return { uid, gid }
}

/** A link is followed to its end only when that was asked for; else `writePrivateFile` refuses it. */
async function targetOf(path: string, { follow_symlink: follow }: OutputSettings): Promise<string> {
  const found = await lstat(path).catch(() => undefined)
  if (found?.isSymbolicLink() !== true) return path
  if (!follow)
    throw new TtsError('configuration', `${path} is a symbolic link and is not written through`, {
      check: 'symbolic_link',
      remedy: 'name the file itself, or set follow_symlink: true for this output',
    })
  return realpath(path).catch((error: unknown) => {
    throw unwritable(path, error)
  })
}

/** Whether there is a file, which then must be one that may be replaced: a proxy or nothing in it, and not somebody else's. */
async function checkTarget(path: string, owner: Owner | undefined): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return false
  if (!found.isFile())
    throw foreign(path, 'is no plain file', 'name a file that does not exist yet, or remove it')
  const ours = [process.getuid?.(), owner?.uid].includes(found.uid)
  if (!ours)
    throw foreign(
      path,
      `belongs to another user (number ${found.uid})`,
      `remove it, or set owner: ${found.uid} for this output if it is theirs to have`,
    )
  if (found.size > 0 && !(await beginsLikePem(path)))
    throw foreign(path, 'is no proxy file', 'name another path, or remove it')
  return true
}

async function beginsLikePem(path: string): Promise<boolean> {
  const begin = await readStart(path, 64).catch(() => undefined)
  // What cannot be read cannot be told from something else; our own files can.
  return begin?.toString('latin1').startsWith('-----BEGIN ') ?? false
}

async function isAsWanted(
  path: string,
  wanted: {
    readonly content: string | Buffer
    readonly mode: number
    readonly owner: Owner | undefined
  },
): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined || (found.mode & 0o7777) !== wanted.mode) return false
  const { owner } = wanted
  if (owner && (found.uid !== owner.uid || found.gid !== owner.gid)) return false
  const content = await readStart(path, MAX_COMPARED_BYTES).catch(() => undefined)
  return content?.equals(Buffer.from(wanted.content)) ?? false
}

/** The first bytes of a file. A FIFO in its place must not hang us. */
async function readStart(path: string, maxBytes: number): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const buffer = Buffer.alloc(maxBytes)
    const { bytesRead } = await file.read(buffer, 0, maxBytes, 0)
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

/** Removes what a killed certcache left half written beside this file: named as we name them, ours, and old. */
export async function removeLeftovers(path: string, now: Date): Promise<void> {
  const directory = dirname(path)
  const names = await readdir(directory).catch(() => [])
  for (const name of names.filter((entry) => /^\.tts-[\w-]{12}\.tmp$/.test(entry))) {
    const leftover = join(directory, name)
    const found = await lstat(leftover).catch(() => undefined)
    const age = now.getTime() - (found?.mtimeMs ?? Infinity)
    if (found?.isFile() === true && found.uid === process.getuid?.() && age > LEFTOVER_AGE_MS)
      await unlink(leftover).catch(() => undefined)
  }
}

function foreign(path: string, what: string, remedy: string): TtsError {
  return new TtsError('configuration', `${path} ${what}; it is left as it is`, {
    check: 'foreign_file',
    remedy,
  })
}

function explain(error: unknown): never {
  if (!(error instanceof TtsError) || error.remedy !== undefined) throw error
  const remedy = remedies[codeOf(error.cause)]
  throw new TtsError(error.code, error.message, {
    check: error.check ?? 'output',
    ...(remedy === undefined ? {} : { remedy }),
    cause: error.cause,
  })
}
