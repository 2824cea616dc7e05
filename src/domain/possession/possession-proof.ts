/** A request that is signed with a proxy's key: for where TLS ends before us, and no handshake shows who holds the key. */
import { createHash } from 'node:crypto'
import { type Certificate, fingerprint } from '../../../ca/certificate.ts'
import { CaError } from '../../../ca/errors.ts'
import { verifySignature } from '../../../ca/key.ts'
import { readPublicKey } from '../../../ca/public-key.ts'
import { TtsError } from '../../base/errors.ts'
import type { Store } from '../store.ts'

/** What was signed, and the signature: SHA-256 with RSA (PKCS#1 v1.5) or ECDSA (DER). */
export interface PossessionRequest {
  /** As it came: the signature is over these characters. */
  readonly at: string
  /** SHA-256 over the DER of the CSR, lower-case hex. */
  readonly csrDigest: string
  readonly signature: Buffer
}

/** How far the caller's clock and the way to us may be off, on either side. */
const WINDOW_MS = 5 * 60_000
/** RFC 3339 with seconds and a zone. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

/** The text whose signature shows that the proxy's key is the caller's. */
export function signedText({ at, csrDigest }: Pick<PossessionRequest, 'at' | 'csrDigest'>): string {
  return `tts successor v1\n${at}\n${csrDigest}`
}

/**
 * The signature is by the proxy's key, of now, and was not shown before.
 *
 * @throws {TtsError} `invalid_token`, checks `proof_time`, `proof_signature`, `proof_replayed`
 */
export async function requireSignedNow(
  { store, now }: { readonly store: Pick<Store, 'claimProof'>; readonly now: () => Date },
  proxy: Certificate,
  signed: PossessionRequest,
): Promise<void> {
  const at = TIME.test(signed.at) ? Date.parse(signed.at) : NaN
  // Written so that NaN is refused.
  if (!(Math.abs(now().getTime() - at) <= WINDOW_MS)) {
    throw refused('proof_time', `at: must be the present time, such as ${now().toISOString()}`)
  }
  if (!(await isSigned(proxy, signed)))
    throw refused('proof_signature', "the signature is not by the proxy's key over this request")
  // By what was signed, not by the signature: ECDSA signatures can be written in two ways.
  const digest = createHash('sha256')
    .update(`${fingerprint(proxy.der)}\n${signedText(signed)}`)
    .digest('hex')
  const expiresAt = new Date(at + 2 * WINDOW_MS)
  if (!(await store.claimProof(digest, expiresAt)))
    throw refused('proof_replayed', 'this request was made before: sign a new one')
}

async function isSigned(proxy: Certificate, signed: PossessionRequest): Promise<boolean> {
  try {
    const { key } = readPublicKey(proxy.publicKeyInfo)
    const data = Buffer.from(signedText(signed))
    return await verifySignature('sha256', { data, signature: signed.signature }, key)
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}

function refused(check: string, message: string): TtsError {
  return new TtsError('invalid_token', message, { check })
}
