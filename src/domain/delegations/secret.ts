/** The renewal secret of a delegation: shown once, kept as a digest. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { RENEWAL_SECRET_PREFIX } from '../../service/own-secrets.ts'

const SECRET_BYTES = 32

/** A new secret, and the digest that is kept of it. */
export function newRenewalSecret(randomBytes: (size: number) => Buffer): {
  readonly secret: string
  readonly hash: string
} {
  const secret = `${RENEWAL_SECRET_PREFIX}${randomBytes(SECRET_BYTES).toString('base64url')}`
  return { secret, hash: digestOf(secret).toString('hex') }
}

/** Whether a bearer credential is a renewal secret and no token. */
export function isRenewalSecret(text: string): boolean {
  return text.startsWith(RENEWAL_SECRET_PREFIX)
}

/** Compares in constant time; with no hash at all it takes as long and is false. */
export function isSecretOf(hash: string | undefined, secret: string): boolean {
  // The secret has 256 random bits: a plain digest is as good as a slow one.
  const kept = hash === undefined ? Buffer.alloc(32) : Buffer.from(hash, 'hex')
  return timingSafeEqual(kept, digestOf(secret)) && hash !== undefined
}

function digestOf(secret: string): Buffer {
  return createHash('sha256').update(secret).digest()
}
