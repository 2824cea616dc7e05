/** Encryption of what is kept, in the database and in certcache's state: AES-256-GCM, bound to the place where it lies. */
import { createCipheriv, createDecipheriv, type KeyObject, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const IV_BYTES = 12
const TAG_BYTES = 16

/** The key, 32 bytes, and what the content is bound to: it opens nowhere else. */
export interface Sealing {
  readonly key: KeyObject | Uint8Array
  readonly associatedData: Uint8Array
}

/** Encrypts. @returns initialisation vector (random), tag and ciphertext in one: a form that lies on disks, so it stays */
export function sealBytes({ key, associatedData }: Sealing, content: Uint8Array): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv(ALGORITHM, key, iv, { authTagLength: TAG_BYTES })
  cipher.setAAD(associatedData)
  const ciphertext = Buffer.concat([cipher.update(content), cipher.final()])
  return Buffer.concat([iv, cipher.getAuthTag(), ciphertext])
}

/**
 * Decrypts what `sealBytes` made under the same key for the same place.
 *
 * @throws {Error} of node:crypto when anything differs or is missing; the caller says whose content it was
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
