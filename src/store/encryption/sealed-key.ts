import { TtsError } from '../../base/errors.ts'
import { openBytes, sealBytes } from '../../sealing/aes-gcm.ts'
import type { MasterKeys } from './master-keys.ts'

/** A secret as it stands in the database: iv, tag and ciphertext of AES-256-GCM in one. */
export interface SealedKey {
  readonly masterKeyId: string
  readonly sealed: Uint8Array
}

/** Whose key it is; bound to the ciphertext, so that no row's key can be passed off as another's. */
export interface KeyOwner {
  readonly serial: string
  readonly identityId: string
}

/** What a sealed secret is bound to, and how to speak of it when it cannot be opened. */
export interface SealedPlace {
  readonly associatedData: Buffer
  readonly name: string
  readonly remedy: string
}

/** Encrypts a private key (PKCS#8 DER) under the current master key. */
export function sealKey(
  masterKeys: MasterKeys,
  owner: KeyOwner,
  privateKeyDer: Uint8Array,
): SealedKey {
  return seal(masterKeys, keyPlace(owner), privateKeyDer)
}

/**
 * Decrypts a private key.
 *
 * @throws TtsError `internal` with check `master_key_unknown` or `held_key_tampered`.
 */
export function openKey(masterKeys: MasterKeys, owner: KeyOwner, sealed: SealedKey): Buffer {
  return unseal(masterKeys, keyPlace(owner), sealed)
}

/** Encrypts under the current master key. */
export function seal(
  { currentId, keys }: MasterKeys,
  { associatedData }: SealedPlace,
  secret: Uint8Array,
): SealedKey {
  const masterKey = keys.get(currentId)
  if (masterKey === undefined)
    throw new TypeError('the current master key is not among the master keys')
  return { masterKeyId: currentId, sealed: sealBytes({ key: masterKey, associatedData }, secret) }
}

/**
 * Decrypts what `seal` made for the same place.
 *
 * @throws TtsError `internal` with check `master_key_unknown` or `held_key_tampered`.
 */
export function unseal(
  { keys }: MasterKeys,
  place: SealedPlace,
  { masterKeyId, sealed }: SealedKey,
): Buffer {
  const masterKey = keys.get(masterKeyId)
  if (masterKey === undefined) throw unknownMasterKey('internal', masterKeyId)
  try {
    return openBytes({ key: masterKey, associatedData: place.associatedData }, sealed)
  } catch (error) {
    throw new TtsError('internal', `${place.name} cannot be decrypted`, {
      check: 'held_key_tampered',
      remedy: `The row was changed in the database, or the master key is not the one of that id. ${place.remedy}`,
      cause: error,
    })
  }
}

/** The error for a key in the database whose master key is not at hand. */
export function unknownMasterKey(
  code: 'internal' | 'configuration',
  masterKeyId: string,
): TtsError {
  return new TtsError(
    code,
    `a stored key or refresh token is encrypted under the unknown master key ${masterKeyId}`,
    {
      check: 'master_key_unknown',
      remedy: `Put its line back into the file of master keys, on each replica. If the key is lost for ever, run \`tts master-key forget ${masterKeyId}\`.`,
    },
  )
}

function keyPlace({ serial, identityId }: KeyOwner): SealedPlace {
  return {
    associatedData: Buffer.from(`tts held end-entity key v1\0${serial}\0${identityId}`),
    name: `The held key of certificate ${serial}`,
    remedy: 'Revoke the credential.',
  }
}
