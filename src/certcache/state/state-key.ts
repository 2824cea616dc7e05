/** The state key, and the encryption of records with it: AES-256-GCM, bound to cluster and record name. */
import { randomBytes } from 'node:crypto'
import { TtsError } from '../../base/errors.ts'
import { createPrivateFile, readPrivateFile } from '../../files/private-file.ts'
import { openBytes, sealBytes } from '../../sealing/aes-gcm.ts'
import type { RecordName, StateOptions } from './state-store.ts'

const KEY_BYTES = 32
const keyFile = { maxBytes: 1024, readers: 'root_for_group' } as const
/** First byte of an encrypted record. */
const FORMAT = 1

/**
 * Reads the key. If there is none and `mayCreate` is true, creates a random one with mode 0600.
 *
 * @throws {TtsError} `configuration` when it is missing, other users can read it, or it is not a key
 */
export async function loadStateKey(path: string, mayCreate: boolean): Promise<Buffer> {
  try {
    return parseKey(path, await readPrivateFile(path, keyFile))
  } catch (error) {
    if (!(error instanceof TtsError) || error.code !== 'not_found') throw error
    if (!mayCreate) throw missingKey(path, error)
  }
  try {
    await createPrivateFile(path, `${randomBytes(KEY_BYTES).toString('base64')}\n`)
  } catch (error) {
    // Another certcache that starts at the same time created a key first: use that one.
    if (!(error instanceof TtsError) || error.code !== 'conflict') throw error
  }
  return parseKey(path, await readPrivateFile(path, keyFile))
}

function parseKey(path: string, content: Buffer): Buffer {
  const key = Buffer.from(content.toString('latin1').trim(), 'base64')
  if (key.length === KEY_BYTES) return key
  throw new TtsError(
    'configuration',
    `state.key_file: ${path} does not hold a key of 32 bytes in base64`,
    {
      check: 'state_key',
      remedy: 'Write 32 random bytes in base64 into it: `head -c 32 /dev/urandom | base64`.',
    },
  )
}

function missingKey(path: string, cause: TtsError): TtsError {
  return new TtsError('configuration', `state.key_file: the key ${path} is missing`, {
    check: 'state_key',
    remedy:
      'Restore it. If it is lost, delete the state (the .sealed files, or the rows of the cluster) and supply a new token. With PostgreSQL, create one key for all certcaches: `head -c 32 /dev/urandom | base64`.',
    cause,
  })
}

/** Encrypts a record. */
export function sealRecord(
  { cluster, key }: StateOptions,
  record: RecordName,
  content: Uint8Array,
): Buffer {
  const sealed = sealBytes({ key, associatedData: recordContext(cluster, record) }, content)
  return Buffer.concat([Buffer.of(FORMAT), sealed])
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
    if (sealed[0] !== FORMAT) throw new TypeError('unknown format')
    return openBytes({ key, associatedData: recordContext(cluster, record) }, sealed.subarray(1))
  } catch (cause) {
    throw new TtsError(
      'configuration',
      `the state (record ${record} of cluster ${cluster}) cannot be decrypted`,
      {
        check: 'state_sealed',
        remedy:
          'Restore the right key (state.key_file), or delete the state and supply a new token. The record was written with another key, or was changed.',
        cause,
      },
    )
  }
}

const recordContext = (cluster: string, record: RecordName): Buffer =>
  Buffer.from(`certcache state v1\0${cluster}\0${record}`)
