/**
 * Keys: kinds, generation and signatures. The policy for public keys is in `public-key.ts`. `node:crypto` does the
 * work, outside the event loop unless `calling-thread` is requested.
 */
import {
  generateKeyPair as nodeGenerateKeyPair,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto'
import { promisify } from 'node:util'
import { type Asn1Node, nullValue, oid, sequence } from './asn1.ts'
import { CaError } from './errors.ts'
import { importPublicKey, type PublicKey } from './public-key.ts'

/** Kinds of keys that can be generated. */
export const keyKinds = ['rsa-2048', 'rsa-3072', 'rsa-4096', 'ec-p256', 'ec-p384'] as const
export type KeyKind = (typeof keyKinds)[number]

/** Signs with a private key in memory (`createSigner`), or with one kept elsewhere, for example in an HSM. */
export interface Signer {
  /** Public key of the signing key; made by `importPublicKey`. */
  readonly publicKey: PublicKey
  /** RSA and P-256 keys sign with SHA-256, P-384 keys with SHA-384. */
  readonly algorithm: SignatureAlgorithm
  /**
   * Returns the signature of `data`, which is not hashed yet: RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2), or ECDSA as DER
   * (RFC 5480 appendix A). Every signature is verified before it is used.
   */
  sign(data: Buffer): Promise<Buffer>
}

/** The key of a CA: a private key in memory, or a signer. */
export type SigningKey = KeyObject | Signer

/** Signature algorithms for signing; others are only read. */
export type SignatureAlgorithm =
  'sha256WithRSAEncryption' | 'ecdsa-with-SHA256' | 'ecdsa-with-SHA384'

const algorithms = {
  sha256WithRSAEncryption: { oid: '1.2.840.113549.1.1.11', hash: 'sha256', withNull: true },
  'ecdsa-with-SHA256': { oid: '1.2.840.10045.4.3.2', hash: 'sha256', withNull: false },
  'ecdsa-with-SHA384': { oid: '1.2.840.10045.4.3.3', hash: 'sha384', withNull: false },
} as const satisfies Record<SignatureAlgorithm, unknown>

/**
 * Where signatures are computed: in Node's thread pool, which keeps the event loop free, or in the calling thread,
 * which is faster for a thread that does nothing else.
 */
export type SigningPlace = 'pool' | 'calling-thread'

/** Signed data and its signature. */
export interface SignedData {
  readonly data: Buffer
  readonly signature: Buffer
}

/** The hash of a signature algorithm, by the name that node:crypto knows. */
export function hashOf(algorithm: SignatureAlgorithm): string {
  return algorithms[algorithm].hash
}

/** AlgorithmIdentifier of a signature (RFC 4055, RFC 5758). */
export function algorithmNode(algorithm: SignatureAlgorithm): Asn1Node {
  const { oid: dotted, withNull } = algorithms[algorithm]
  return sequence(oid(dotted), withNull ? nullValue() : undefined)
}

const generate = promisify(nodeGenerateKeyPair)

/**
 * Generates a private key in the thread pool. RSA always has the public exponent 65537.
 *
 * @param kind `rsa-` with the bits of the modulus, or `ec-` with the curve
 * @see RFC 8017 section 3.1, RFC 5480 section 2.1.1
 * @example
 * const key = await generatePrivateKey('ec-p256')
 * key.asymmetricKeyType // => 'ec'
 */
export async function generatePrivateKey(kind: KeyKind): Promise<KeyObject> {
  const [family, size] = kind.split('-')
  const { privateKey } =
    family === 'rsa'
      ? await generate('rsa', { modulusLength: Number(size), publicExponent: 0x10001 })
      : await generate('ec', { namedCurve: size === 'p256' ? 'P-256' : 'P-384' })
  return privateKey
}

/**
 * Returns a signer for a private key in memory. RSA keys sign with SHA-256, P-256 with SHA-256, P-384 with SHA-384.
 *
 * @param place `pool` (default): in node's thread pool; `calling-thread`: in the calling thread
 * @throws {CaError} `weak_key` when the key does not pass the policy of `importPublicKey`
 * @see RFC 4055 section 5, RFC 5758 section 3.2
 * @example
 * const signer = createSigner(await generatePrivateKey('rsa-2048'))
 * signer.algorithm // => 'sha256WithRSAEncryption'
 * signer.publicKey.kind // => 'rsa-2048'
 */
export function createSigner(privateKey: KeyObject, place: SigningPlace = 'pool'): Signer {
  const publicKey = importPublicKey(privateKey)
  const algorithm = signatureAlgorithmFor(publicKey.kind)
  const { hash } = algorithms[algorithm]
  return {
    publicKey,
    algorithm,
    sign:
      place === 'calling-thread'
        ? async (data) => nodeSign(hash, data, privateKey)
        : (data) =>
            new Promise((resolve, reject) => {
              nodeSign(hash, data, privateKey, (error, signature) => {
                if (error) reject(error)
                else resolve(signature)
              })
            }),
  }
}

/**
 * Returns the signer for a signing key.
 *
 * @throws {CaError} `weak_key`; `bad_authority` when the algorithm of a signer is not the one for its key
 */
export function signerFor(key: SigningKey): Signer {
  if (!('sign' in key)) return createSigner(key)
  const algorithm = signatureAlgorithmFor(key.publicKey.kind)
  if (key.algorithm === algorithm) return key
  throw new CaError(
    'bad_authority',
    `the algorithm of the signer must be ${algorithm} for its key`,
    {
      field: 'signer.algorithm',
      reason: 'mismatch',
    },
  )
}

function signatureAlgorithmFor(kind: string): SignatureAlgorithm {
  if (kind.startsWith('rsa')) return 'sha256WithRSAEncryption'
  return kind === 'ec-p384' ? 'ecdsa-with-SHA384' : 'ecdsa-with-SHA256'
}

/** Signs and verifies the signature; returns undefined if the signer's public key does not verify it. */
export async function signVerified(signer: Signer, data: Buffer): Promise<Buffer | undefined> {
  const signature = await signer.sign(data)
  const { hash } = algorithms[signer.algorithm]
  const valid = await verifySignature(hash, { data, signature }, signer.publicKey.key)
  return valid ? signature : undefined
}

/** Verifies a signature in the thread pool; `hash` is a name that node:crypto knows. */
export async function verifySignature(
  hash: string,
  signed: SignedData,
  key: KeyObject,
): Promise<boolean> {
  return new Promise((resolve) => {
    nodeVerify(hash, signed.data, key, signed.signature, (error, valid) => {
      resolve(error === null && valid)
    })
  })
}

/** Like `verifySignature`, in the calling thread. */
export function verifySignatureHere(hash: string, signed: SignedData, key: KeyObject): boolean {
  try {
    return nodeVerify(hash, signed.data, key, signed.signature)
  } catch {
    // What OpenSSL cannot verify at all has not verified.
    return false
  }
}
