import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import {
  createPrivateFile,
  readPrivateFile,
  replacePrivateFile,
  type SecretFileOptions,
} from '../../files/private-file.ts'

const MAX_FILE_BYTES = 65_536
const KEY_BYTES = 32
const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/

/** The keys under which private keys are encrypted in the database. */
export interface MasterKeys {
  /** Id of the key that encrypts; the others only decrypt what was encrypted before a rotation. */
  readonly currentId: string
  readonly keys: ReadonlyMap<string, KeyObject>
}

/** A file of master keys. */
export interface MasterKeyFile {
  readonly path: string
  /** Who may read it, see `readPrivateFile`. */
  readonly readers?: SecretFileOptions['readers']
}

/**
 * Reads a file of master keys; undefined when there is none.
 *
 * @throws {TtsError} `configuration` (others can read the file, or a line is wrong)
 */
export async function readMasterKeyFile(file: MasterKeyFile): Promise<MasterKeys | undefined> {
  try {
    return parseMasterKeys(await textOf(file), file.path)
  } catch (error) {
    if (hasCode(error, 'not_found')) return undefined
    throw error
  }
}

/**
 * Creates a private file with one random master key. When another process creates it at the same time, both get the
 * same key.
 *
 * @throws {TtsError} `configuration`
 */
export async function createMasterKeyFile(file: MasterKeyFile): Promise<MasterKeys> {
  try {
    await createPrivateFile(file.path, newKeyLine().line)
  } catch (error) {
    if (!hasCode(error, 'conflict')) throw error
  }
  return parseMasterKeys(await textOf(file), file.path)
}

/**
 * Reads master keys from text: one `id:base64` (32 bytes) a line, the current one first.
 *
 * @param source where the text is from, for error messages.
 * @throws TtsError `configuration`, never repeating what was found.
 */
export function parseMasterKeys(text: string, source: string): MasterKeys {
  const keys = new Map<string, KeyObject>()
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const { id, key } = parseLine(line.trim(), `${source}, line ${index + 1}`)
    if (keys.has(id))
      throw new TtsError('configuration', `${source} names the master key ${id} twice`)
    keys.set(id, key)
  }
  const [currentId] = keys.keys()
  if (currentId === undefined) {
    throw new TtsError('configuration', `${source} holds no master key`, { remedy: FORMAT })
  }
  return { currentId, keys }
}

/**
 * Adds a new random key as the last line, where it decrypts but does not encrypt yet. Returns its id.
 *
 * @throws {TtsError} `configuration` or `not_found` (the file cannot be read or written)
 */
export async function addMasterKey(file: MasterKeyFile): Promise<string> {
  const { id, line } = newKeyLine()
  await rewrite(file, (lines) => [...lines, line])
  return id
}

/**
 * Puts a key first: a new random one, or the last line if `isPrepared` says that it has never encrypted anything.
 * Keeps all others, because they decrypt what was encrypted before. Returns the id of the first key.
 *
 * @throws {TtsError} `configuration` or `not_found` (the file cannot be read or written)
 */
export async function rotateMasterKeys(
  file: MasterKeyFile,
  isPrepared: (id: string) => boolean,
): Promise<string> {
  const created = newKeyLine()
  let first = created.id
  await rewrite(file, (lines) => {
    const last = lines.at(-1)
    const lastId = last === undefined ? undefined : idOf(last)
    if (last === undefined || lastId === undefined || !isPrepared(lastId))
      return [created.line, ...lines]
    first = lastId
    return [last, ...lines.slice(0, -1)]
  })
  return first
}

/**
 * Removes keys. Returns the ids that were removed.
 *
 * @throws {TtsError} `configuration` or `not_found` (the file cannot be read or written)
 */
export async function removeMasterKeys(
  file: MasterKeyFile,
  isObsolete: (id: string) => boolean,
): Promise<readonly string[]> {
  let removed: readonly string[] = []
  await rewrite(file, (lines) => {
    removed = lines.map(idOf).filter(isObsolete)
    return lines.filter((line) => !isObsolete(idOf(line)))
  })
  return removed
}

/** The file keeps its owner: this may run as root, and the service as another user. */
async function rewrite(
  file: MasterKeyFile,
  change: (lines: readonly string[]) => readonly string[],
): Promise<void> {
  const text = await textOf(file)
  parseMasterKeys(text, file.path)
  const lines = text.split('\n').filter((line) => line.trim() !== '')
  const changed = change(lines.map((line) => `${line.trim()}\n`))
  await replacePrivateFile(file.path, changed.join(''))
}

const idOf = (line: string): string => line.slice(0, line.indexOf(':'))

const FORMAT = 'One line for each key: id:base64 of 32 random bytes, the current key first.'

async function textOf({ path, readers }: MasterKeyFile): Promise<string> {
  const options = { maxBytes: MAX_FILE_BYTES, ...(readers !== undefined && { readers }) }
  return (await readPrivateFile(path, options)).toString('utf8')
}

function parseLine(line: string, place: string): { id: string; key: KeyObject } {
  const colon = line.indexOf(':')
  const id = line.slice(0, Math.max(colon, 0))
  const encoded = line.slice(colon + 1)
  const bytes = Buffer.from(encoded, 'base64')
  // Buffer.from skips what is not base64; encoding again shows whether anything was.
  if (!KEY_ID.test(id) || bytes.length !== KEY_BYTES || bytes.toString('base64') !== encoded) {
    throw new TtsError('configuration', `${place} is not a master key`, { remedy: FORMAT })
  }
  return { id, key: createSecretKey(bytes) }
}

function newKeyLine(): { id: string; line: string } {
  const id = randomBytes(4).toString('hex')
  return { id, line: `${id}:${randomBytes(KEY_BYTES).toString('base64')}\n` }
}

function hasCode(error: unknown, code: TtsError['code']): boolean {
  return error instanceof TtsError && error.code === code
}
