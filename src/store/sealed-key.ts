import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { TtsError } from '../errors.ts'
import type { MasterKeys } from './master-keys.ts'

const IV_BYTES = 12
const TAG_BYTES = 16

/** A private key as it stands in the database: iv, tag and ciphertext of AES-256-GCM in one. */
export interface SealedKey {
  readonly masterKeyId: string
  readonly sealed: Uint8Array
}

/** Whose key it is; bound to the ciphertext, so that no row's key can be passed off as another's. */
export interface KeyOwner {
  readonly serial: string
  readonly identityId: string
}

/** Encrypts a private key (PKCS#8 DER) under the current master key. */
export function sealKey(
  { currentId, keys }: MasterKeys,
  owner: KeyOwner,
  privateKeyDer: Uint8Array,
): SealedKey {
  const masterKey = keys.get(currentId)
  if (masterKey === undefined) throw new TypeError('MasterKeys.currentId names none of its keys')
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', masterKey, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(associatedData(owner))
  const ciphertext = Buffer.concat([cipher.update(privateKeyDer), cipher.final()])
  return { masterKeyId: currentId, sealed: Buffer.concat([iv, cipher.getAuthTag(), ciphertext]) }
}

/**
 * Decrypts a private key.
 *
 * @throws TtsError `internal` with check `master_key_unknown` or `held_key_tampered`.
 */
export function openKey(
  { keys }: MasterKeys,
  owner: KeyOwner,
  { masterKeyId, sealed }: SealedKey,
): Buffer {
  const masterKey = keys.get(masterKeyId)
  if (masterKey === undefined) throw unknownMasterKey('internal', masterKeyId)
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  try {
    const iv = bytes.subarray(0, IV_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', masterKey, iv, { authTagLength: TAG_BYTES })
    decipher.setAAD(associatedData(owner))
    decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
    return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()])
  } catch (error) {
    throw new TtsError(
      'internal',
      `The held key of certificate ${owner.serial} cannot be decrypted`,
      {
        check: 'held_key_tampered',
        remedy:
          'The row was changed in the database, or the master key is not the one of that id. Revoke the credential.',
        cause: error,
      },
    )
  }
}

/** The error for a key in the database whose master key is not at hand. */
export function unknownMasterKey(
  code: 'internal' | 'configuration',
  masterKeyId: string,
): TtsError {
  return new TtsError(
    code,
    `A held key is encrypted under the master key ${masterKeyId}, which is not known`,
    {
      check: 'master_key_unknown',
      remedy:
        'Put its line back into the file of master keys. If it is lost, delete the rows of end_entity_keys that name it: new EECs are then made.',
    },
  )
}

function associatedData({ serial, identityId }: KeyOwner): Buffer {
  return Buffer.from(`tts held end-entity key v1\0${serial}\0${identityId}`)
}
