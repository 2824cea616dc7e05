/** The key of the state, and how a record is encrypted under it: AES-256-GCM, bound to its cluster and its name. */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { TtsError } from '../../errors.ts'
import { createPrivateFile, readPrivateFile } from '../../files/private-file.ts'
import type { RecordName, StateOptions } from './state-store.ts'

const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const MAX_KEY_FILE_BYTES = 1024
/** The first byte tells the form, should there be another one some day. */
const FORM = 1

/**
 * Reads the key; makes one at random, 0600, where there is none and `mayCreate`.
 *
 * @throws {TtsError} `configuration` when it is missing, can be read by others, or is no key
 */
export async function loadStateKey(path: string, mayCreate: boolean): Promise<Buffer> {
  try {
    return parseKey(path, await readPrivateFile(path, { maxBytes: MAX_KEY_FILE_BYTES }))
  } catch (error) {
    if (!(error instanceof TtsError) || error.code !== 'not_found') throw error
    if (!mayCreate) throw missing(path, error)
  }
  try {
    await createPrivateFile(path, `${randomBytes(KEY_BYTES).toString('base64')}\n`)
  } catch (error) {
    // Another certcache that starts now was quicker: its key is taken.
    if (!(error instanceof TtsError) || error.code !== 'conflict') throw error
  }
  return parseKey(path, await readPrivateFile(path, { maxBytes: MAX_KEY_FILE_BYTES }))
}

function parseKey(path: string, content: Buffer): Buffer {
  const key = Buffer.from(content.toString('latin1').trim(), 'base64')
  if (key.length === KEY_BYTES) return key
  throw new TtsError('configuration', `state.key_file: ${path} does not hold a key`, {
    check: 'state_key',
    remedy: 'wanted: 32 random bytes in base64, made with: head -c 32 /dev/urandom | base64',
  })
}

function missing(path: string, cause: TtsError): TtsError {
  return new TtsError('configuration', `the key of the state, ${path}, is missing`, {
    check: 'state_key',
    remedy:
      'put it back. When it is lost, remove the state (the .sealed files or the rows of the cluster) and give certcache a token; for PostgreSQL make one for all: head -c 32 /dev/urandom | base64',
    cause,
  })
}

/** Encrypts a record. */
export function sealRecord(
  { cluster, key }: StateOptions,
  record: RecordName,
  content: Uint8Array,
): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(place(cluster, record))
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()])
  return Buffer.concat([Buffer.of(FORM), iv, cipher.getAuthTag(), ciphertext])
}

/**
 * Decrypts a record.
 *
 * @throws {TtsError} `configuration` with check `state_sealed`
 */
export function openRecord(
  { cluster, key }: StateOptions,
  record: RecordName,
  sealed: Buffer,
): Buffer {
  try {
    if (sealed[0] !== FORM) throw new TypeError('another form')
    const iv = sealed.subarray(1, 1 + IV_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', key, iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(place(cluster, record))
    decipher.setAuthTag(sealed.subarray(1 + IV_BYTES, 1 + IV_BYTES + TAG_BYTES))
    const ciphertext = sealed.subarray(1 + IV_BYTES + TAG_BYTES)
    return Buffer.concat([decipher.update(ciphertext), decipher.final()])
  } catch (cause) {
    throw new TtsError(
      'configuration',
      `the state (record ${record} of cluster ${cluster}) cannot be decrypted`,
      {
        check: 'state_sealed',
        remedy:
          'state.key_file is not the key that it was written under, or it was changed: put the right key back, or remove the state and give certcache a token',
        cause,
      },
    )
  }
}

const place = (cluster: string, record: RecordName): Buffer =>
  Buffer.from(`certcache state v1\0${cluster}\0${record}`)
