/** The renewal secret of a delegation: shown once, stored as a digest. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { RENEWAL_SECRET_PREFIX } from '../../service/own-secrets.ts'

const SECRET_BYTES = 32

/** Makes a secret of 256 random bits and returns it with its SHA-256 digest, lower-case hex. */
export function newRenewalSecret(randomBytes: (size: number) => Buffer): {
  readonly secret: string
  readonly hash: string
} {
  const secret = `${RENEWAL_SECRET_PREFIX}${randomBytes(SECRET_BYTES).toString('base64url')}`
  return { secret, hash: digestOf(secret).toString('hex') }
}

/** Whether a bearer credential has the form of a renewal secret, not of a token. */
export function isRenewalSecret(text: string): boolean {
  return text.startsWith(RENEWAL_SECRET_PREFIX)
}

/** Compares in constant time. Without a hash it takes as long, and returns false. */
export function isSecretOf(hash: string | undefined, secret: string): boolean {
  // A fast digest suffices because the secret has 256 random bits.
  const expected = hash === undefined ? Buffer.alloc(32) : Buffer.from(hash, 'hex')
  return timingSafeEqual(expected, digestOf(secret)) && hash !== undefined
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
