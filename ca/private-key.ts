/** Private keys at rest: PKCS#8, encrypted by a passphrase (`pbes2.ts`). */
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { encode } from './asn1.ts'
import { CaError } from './errors.ts'
import { encryptByPassword, encryptedPrivateKeyInfo } from './pbes2.ts'
import { toPem } from './pem.ts'

/** PBKDF2 iterations, as recommended by OWASP for HMAC-SHA-256. */
export const PBKDF2_ITERATIONS = 600_000

/**
 * The key as `ENCRYPTED PRIVATE KEY` PEM: AES-256-CBC under PBKDF2-HMAC-SHA-256.
 *
 * @param iterations of PBKDF2; default `PBKDF2_ITERATIONS`, 600,000; lower in tests only
 * @see RFC 8018 section 6.2
 * @example
 * const pem = await encryptPrivateKey(privateKey, 'correct horse')
 * decryptPrivateKey(pem, 'correct horse').type // => 'private'
 */
export async function encryptPrivateKey(
  key: KeyObject,
  passphrase: string,
  iterations = PBKDF2_ITERATIONS,
): Promise<string> {
  const clear = key.export({ type: 'pkcs8', format: 'der' })
  const encrypted = await encryptByPassword(clear, passphrase, iterations)
  clear.fill(0)
  return toPem('ENCRYPTED PRIVATE KEY', encode(encryptedPrivateKeyInfo(encrypted)))
}

/**
 * An RSA key as `RSA PRIVATE KEY` PEM with a DEK-Info line (AES-256-CBC): the form that every OpenSSL since 0.9.7 and
 * Java's grid libraries read. It derives the cipher's key by one round of MD5, so the passphrase must be random and
 * long.
 */
export function traditionalPrivateKeyPem(key: KeyObject, passphrase: string): string {
  return key.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase }).toString()
}

/**
 * Reads a private key in PEM, encrypted in any form that OpenSSL reads, or unencrypted if `passphrase` is undefined.
 *
 * @throws {CaError} `bad_authority` when it is not a key, or the passphrase is wrong
 * @see RFC 5958 section 3
 * @example
 * const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
 * decryptPrivateKey(pem, undefined).equals(privateKey) // => true
 */
export function decryptPrivateKey(pem: string, passphrase: string | undefined): KeyObject {
  try {
    return createPrivateKey(passphrase === undefined ? pem : { key: pem, passphrase })
  } catch (cause) {
    throw new CaError('bad_authority', 'the private key cannot be read with this passphrase', {
      field: 'private key',
      reason: 'bad_encoding',
      cause,
    })
  }
}
