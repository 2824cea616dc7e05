/** The key of the state, and how a record is encrypted under it: AES-256-GCM, bound to its cluster and its name. */
import { randomBytes } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import { createPrivateFile, readPrivateFile } from '../../files/private-file.ts'
import { openBytes, sealBytes } from '../../sealing/aes-gcm.ts'
import type { RecordName, StateOptions } from './state-store.ts'

const KEY_BYTES = 32
const keyFile = { maxBytes: 1024, readers: 'root_for_group' } as const
/** The first byte tells the form, should there be another one some day. */
const FORM = 1

/**
 * Reads the key; makes one at random, 0600, where there is none and `mayCreate`.
 *
 * @throws {TtsError} `configuration` when it is missing, can be read by others, or is no key
 */
export async function loadStateKey(path: string, mayCreate: boolean): Promise<Buffer> {
  try {
    return parseKey(path, await readPrivateFile(path, keyFile))
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
  return parseKey(path, await readPrivateFile(path, keyFile))
}

function parseKey(path: string, content: Buffer): Buffer {
  const key = Buffer.from(content.toString('latin1').trim(), 'base64')
  if (key.length === KEY_BYTES) return key
  throw new TtsError('configuration', `state.key_file: ${path} does not hold a key`, {
    check: 'state_key',
    remedy: 'Write 32 random bytes in base64 into it: `head -c 32 /dev/urandom | base64`.',
  })
}

function missing(path: string, cause: TtsError): TtsError {
  return new TtsError('configuration', `the key of the state, ${path}, is missing`, {
    check: 'state_key',
    remedy:
      'Restore the key. If it is lost, remove the state (the .sealed files or the rows of the cluster) and give certcache a token. With PostgreSQL, make one key for all instances: `head -c 32 /dev/urandom | base64`.',
    cause,
  })
}

/** Encrypts a record. */
export function sealRecord(
  { cluster, key }: StateOptions,
  record: RecordName,
  content: Uint8Array,
): Buffer {
  const sealed = sealBytes({ key, associatedData: place(cluster, record) }, content)
  return Buffer.concat([Buffer.of(FORM), sealed])
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
    return openBytes({ key, associatedData: place(cluster, record) }, sealed.subarray(1))
  } catch (cause) {
    throw new TtsError(
      'configuration',
      `the state (record ${record} of cluster ${cluster}) cannot be decrypted`,
      {
        check: 'state_sealed',
        remedy:
          'Restore the right key, or remove the state and give certcache a token: either state.key_file does not hold the key that encrypted the state, or the state was changed.',
        cause,
      },
    )
  }
}

const place = (cluster: string, record: RecordName): Buffer =>
  Buffer.from(`certcache state v1\0${cluster}\0${record}`)
