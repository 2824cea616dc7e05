/**
 * Encryption of stored data, in the database and in certcache's state: AES-256-GCM, bound to where the data is stored.
 */
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16

/**
 * The key (32 bytes), and the associated data that the content is bound to: it cannot be decrypted with other
 * associated data.
 */
export interface Sealing {
  readonly key: KeyObject | Uint8Array
  readonly associatedData: Uint8Array
}

/**
 * Encrypts. @returns random initialisation vector, tag and ciphertext, concatenated. This format is on disks and must
 * not change.
 */
export function sealBytes({ key, associatedData }: Sealing, content: Uint8Array): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(associatedData)
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), ciphertext])
}

/**
 * Decrypts the result of `sealBytes` with the same key and associated data.
 *
 * @throws {Error} of node:crypto, if anything differs or is missing; callers must convert it
 * @see NIST SP 800-38D section 7.2
 */
export function openBytes({ key, associatedData }: Sealing, sealed: Uint8Array): Buffer {
  const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
  const decipher = createDecipheriv(ALGORITHM, key, bytes.subarray(0, IV_BYTES), {
    authTagLength: TAG_BYTES,
  })
  decipher.setAAD(associatedData)
  decipher.setAuthTag(bytes.subarray(IV_BYTES, IV_BYTES + TAG_BYTES))
  return Buffer.concat([decipher.update(bytes.subarray(IV_BYTES + TAG_BYTES)), decipher.final()])
}
