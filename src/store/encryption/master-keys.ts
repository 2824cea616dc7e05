import { createSecretKey, randomBytes, type KeyObject } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import { createPrivateFile, readPrivateFile, writePrivateFile } from '../../files/private-file.ts'

const MAX_FILE_BYTES = 65_536
const KEY_BYTES = 32
const KEY_ID = /^[A-Za-z0-9_-]{1,64}$/

/** The keys under which private keys are encrypted in the database. */
export interface MasterKeys {
  /** Id of the key that encrypts; the others only decrypt what was encrypted before a rotation. */
  readonly currentId: string
  readonly keys: ReadonlyMap<string, KeyObject>
}

/**
 * Reads the master keys' file; made with one random key, private, if there is none.
 *
 * @throws TtsError `configuration` when others can read the file or a line is wrong.
 */
export async function loadMasterKeys(path: string): Promise<MasterKeys> {
  return parseMasterKeys(await readOrCreate(path), path)
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
 * Puts a new random key first in the file and keeps the older ones; answers its id. The keys in the database are
 * encrypted anew by `Store.reencryptKeys`, after which the older lines may go.
 *
 * @throws TtsError `configuration` or `not_found` when the file cannot be read or written.
 */
export async function rotateMasterKeys(path: string): Promise<string> {
  const text = (await readPrivateFile(path, { maxBytes: MAX_FILE_BYTES })).toString('utf8')
  parseMasterKeys(text, path)
  const { id, line } = newKeyLine()
  await writePrivateFile(path, `${line}${text}`)
  return id
}

const FORMAT = 'One line for each key: id:base64 of 32 random bytes, the current key first.'

async function readOrCreate(path: string): Promise<string> {
  const read = async (): Promise<string> =>
    (await readPrivateFile(path, { maxBytes: MAX_FILE_BYTES })).toString('utf8')
  try {
    return await read()
  } catch (error) {
    if (!hasCode(error, 'not_found')) throw error
  }
  try {
    await createPrivateFile(path, newKeyLine().line)
  } catch (error) {
    // Another process that started at once was first: its key is the one.
    if (!hasCode(error, 'conflict')) throw error
  }
  return await read()
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
