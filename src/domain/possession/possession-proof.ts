/** Proof of possession by a signature with the proxy's key, for set-ups where TLS ends at a reverse proxy. */
import { createHash } from 'node:crypto'
import { type Certificate, fingerprint } from '../../../ca/certificate.ts'
import { CaError } from '../../../ca/errors.ts'
import { verifySignature } from '../../../ca/key.ts'
import { readPublicKey } from '../../../ca/public-key.ts'
import { TtsError } from '../../base/errors.ts'
import type { Store } from '../store.ts'

/** A signed request: SHA-256 with RSA (PKCS#1 v1.5) or ECDSA (DER). */
export interface PossessionRequest {
  /** Time of the request exactly as sent: `text` has these characters. */
  readonly at: string
  /** What was signed: `at`, and all that decides which rights the caller gets. Lifetimes are not in it. */
  readonly text: string
  readonly signature: Buffer
}

/** Largest accepted difference between `at` and our clock, in either direction. */
const WINDOW_MS = 5 * 60_000
/** RFC 3339 with seconds and a zone. */
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

/**
 * Returns the text that is signed for a successor.
 *
 * @param csrDigest SHA-256 over the DER of the CSR, lower-case hex
 */
export function successorText(at: string, csrDigest: string): string {
  return `tts successor v1\n${at}\n${csrDigest}`
}

/** Returns the text that is signed for an access token. `scope` is empty when none is requested. */
export function accessTokenText(
  at: string,
  { audiences, scope }: { readonly audiences: readonly string[]; readonly scope: string },
): string {
  return `tts access token v1\n${at}\n${audiences.join(' ')}\n${scope}`
}

/**
 * Checks that the request was signed with the proxy's key, within five minutes of now, and not used before.
 *
 * @throws {TtsError} `invalid_token`, check `proof_time`, `proof_signature` or `proof_replayed`; `store_unavailable`
 */
export async function requireSignedNow(
  { store, now }: { readonly store: Pick<Store, 'claimProof'>; readonly now: () => Date },
  proxy: Certificate,
  signed: PossessionRequest,
): Promise<void> {
  const at = TIME.test(signed.at) ? Date.parse(signed.at) : NaN
  // Negated so that NaN is refused.
  if (!(Math.abs(now().getTime() - at) <= WINDOW_MS)) {
    throw refused('proof_time', `at: must be the current time, such as ${now().toISOString()}`)
  }
  if (!(await isSigned(proxy, signed)))
    throw refused(
      'proof_signature',
      "the signature of this request was not made with the proxy's key",
    )
  // Digest of what was signed, not of the signature: an ECDSA signature can be changed into another valid one.
  const digest = createHash('sha256')
    .update(`${fingerprint(proxy.der)}\n${signed.text}`)
    .digest('hex')
  const expiresAt = new Date(at + 2 * WINDOW_MS)
  if (!(await store.claimProof(digest, expiresAt)))
    throw refused('proof_replayed', 'this request was used before: sign a new one')
}

async function isSigned(proxy: Certificate, signed: PossessionRequest): Promise<boolean> {
  try {
    const { key } = readPublicKey(proxy.publicKeyInfo)
    const data = Buffer.from(signed.text)
    return await verifySignature('sha256', { data, signature: signed.signature }, key)
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}

function refused(check: string, message: string): TtsError {
  return new TtsError('invalid_token', message, { check })
}
