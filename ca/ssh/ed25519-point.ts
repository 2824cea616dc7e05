/** What OpenSSL does not check when it imports an Ed25519 public key (RFC 8032 section 5.1.3). */
import { CaError, malformed } from '../errors.ts'

const prime = (1n << 255n) - 19n

/**
 * The y coordinates of the points of small order. Signatures that verify under such a key can be made without a
 * private key, so a certificate for it would admit anybody who finds it.
 */
const smallOrder: ReadonlySet<bigint> = new Set([
  0n,
  1n,
  prime - 1n,
  0x7a03ac9277fdc74ec6cc392cfa53202a0f67100d760b3cba4fd84d3d706a17c7n,
  0x05fc536d880238b13933c6d305acdfd5f098eff289f4c345b027b2c28f95e826n,
])

/**
 * Refuses encodings that are not of 32 octets, not canonical, or of a point of small order. Not checked: that there is
 * such a point; where there is none, no signature verifies.
 *
 * @throws {CaError} `malformed`, `weak_key`
 */
export function checkEd25519Point(encoded: Buffer): void {
  if (encoded.length !== 32) throw malformed('Ed25519 public key', 'it must have 32 octets')
  const bigEndian = Buffer.from(encoded).reverse()
  bigEndian[0] = (bigEndian[0] ?? 0) & 0x7f
  const y = BigInt(`0x${bigEndian.toString('hex')}`)
  if (y >= prime) throw malformed('Ed25519 public key', 'it is not in canonical form')
  if (smallOrder.has(y))
    throw new CaError(
      'weak_key',
      'the Ed25519 key is a point of small order, which anyone can use',
      {
        field: 'Ed25519 public key',
        reason: 'small_order',
      },
    )
}
