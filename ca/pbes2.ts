/**
 * Encryption by a passphrase: PBES2 (RFC 8018) with PBKDF2-HMAC-SHA-256 and AES-256-CBC.
 *
 * Written here because `KeyObject.export` fixes the PBKDF2 count at 2048. PBKDF2 and not scrypt: OpenSSL refuses
 * scrypt above 32 MiB when it reads a key, and older tools know no scrypt at all.
 */
import { createCipheriv, pbkdf2, randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import { type Asn1Node, nullValue, octetString, oid, sequence, smallInteger } from './asn1.ts'

const derive = promisify(pbkdf2)

/** Encrypted data, and the AlgorithmIdentifier with which it can be decrypted. */
export interface PasswordEncrypted {
  readonly scheme: Asn1Node
  readonly encrypted: Buffer
}

/**
 * Encrypts data by a passphrase, under a new salt.
 *
 * @param iterations of PBKDF2
 * @see RFC 8018 section 6.2
 */
export async function encryptByPassword(
  clear: Uint8Array,
  passphrase: string,
  iterations: number,
): Promise<PasswordEncrypted> {
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const secret = await derive(passphrase, salt, iterations, 32, 'sha256')
  const cipher = createCipheriv('aes-256-cbc', secret, iv)
  const encrypted = Buffer.concat([cipher.update(clear), cipher.final()])
  secret.fill(0)
  const prf = sequence(oid('1.2.840.113549.2.9'), nullValue())
  const parameters = sequence(octetString(salt), smallInteger(iterations), prf)
  const keyDerivation = sequence(oid('1.2.840.113549.1.5.12'), parameters)
  const encryption = sequence(oid('2.16.840.1.101.3.4.1.42'), octetString(iv))
  const scheme = sequence(oid('1.2.840.113549.1.5.13'), sequence(keyDerivation, encryption))
  return { scheme, encrypted }
}

/** Returns the EncryptedPrivateKeyInfo of an encrypted PKCS#8 key (RFC 5958 section 3). */
export function encryptedPrivateKeyInfo({ scheme, encrypted }: PasswordEncrypted): Asn1Node {
  return sequence(scheme, octetString(encrypted))
}
