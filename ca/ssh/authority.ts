/** The key that signs SSH certificates: Ed25519, ECDSA on P-256, or RSA with SHA-512. */
import {
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  sign as nodeSign,
  verify as nodeVerify,
} from 'node:crypto'
import { promisify } from 'node:util'
import { CaError } from '../errors.ts'
import { generatePrivateKey } from '../key.ts'
import { type SshPublicKey, sshPublicKeyOf } from './public-key.ts'
import { wireMpint, wireReader, wireString } from './wire.ts'

/** Kinds of CA keys. The first is Ed25519: it is the fastest, and every sshd since 2014 accepts it. */
export const sshAuthorityKeyKinds = ['ed25519', 'ec-p256', 'rsa-3072', 'rsa-4096'] as const
export type SshAuthorityKeyKind = (typeof sshAuthorityKeyKinds)[number]

/** An SSH CA that signs. */
export interface SshAuthority {
  readonly publicKey: SshPublicKey
  /** The signature in wire form: algorithm and signature, each a string. */
  sign(data: Buffer): Promise<Buffer>
}

/** How each type of key signs. SHA-1 (`ssh-rsa` as an algorithm) is neither written nor accepted. */
const algorithms = {
  'ssh-ed25519': { name: 'ssh-ed25519', hash: null },
  'ecdsa-sha2-nistp256': { name: 'ecdsa-sha2-nistp256', hash: 'sha256' },
  'ssh-rsa': { name: 'rsa-sha2-512', hash: 'sha512' },
} as const

/**
 * A new key for an SSH CA.
 *
 * @see RFC 8709 section 3, RFC 5656 section 3
 * @example
 * const key = await generateSshAuthorityKey('ed25519')
 * key.asymmetricKeyType // => 'ed25519'
 */
export async function generateSshAuthorityKey(kind: SshAuthorityKeyKind): Promise<KeyObject> {
  if (kind !== 'ed25519') return generatePrivateKey(kind)
  return (await promisify(generateKeyPair)('ed25519')).privateKey
}

/**
 * Opens an SSH CA with its private key.
 *
 * @throws {CaError} `bad_authority` (unsupported type of key), `weak_key`
 * @see RFC 8709 section 6, RFC 5656 section 3.1.2, RFC 8332 section 3
 * @example
 * const sshAuthority = openSshAuthority(await generateSshAuthorityKey('ec-p256'))
 * sshAuthority.publicKey.type // => 'ecdsa-sha2-nistp256'
 */
export function openSshAuthority(privateKey: KeyObject): SshAuthority {
  if (privateKey.type !== 'private')
    throw new CaError('bad_authority', 'an SSH CA key must be a private key', {
      field: 'private key',
      reason: 'unsupported',
    })
  const publicKey = sshPublicKeyOf(createPublicKey(privateKey))
  const { name, hash } = algorithmOf(publicKey)
  return {
    publicKey,
    async sign(data) {
      const key = { key: privateKey, dsaEncoding: 'ieee-p1363' } as const
      const raw = await new Promise<Buffer>((resolve, reject) => {
        nodeSign(hash, data, key, (error, signature) => {
          if (error) reject(error)
          else resolve(signature)
        })
      })
      const value = publicKey.kind.startsWith('ec') ? ecdsaToWire(raw) : raw
      return Buffer.concat([wireString(name), wireString(value)])
    },
  }
}

function algorithmOf({ type }: SshPublicKey) {
  if (type === 'ssh-ed25519' || type === 'ecdsa-sha2-nistp256' || type === 'ssh-rsa')
    return algorithms[type]
  throw new CaError('bad_authority', 'an SSH CA key must be Ed25519, ECDSA on P-256, or RSA', {
    field: 'private key',
    reason: 'unsupported',
  })
}

/** Two halves of 32 octets become two numbers (RFC 5656 section 3.1.2). */
function ecdsaToWire(halves: Buffer): Buffer {
  return Buffer.concat([wireMpint(halves.subarray(0, 32)), wireMpint(halves.subarray(32))])
}

function ecdsaFromWire(signature: Buffer): Buffer {
  const reader = wireReader(signature, 'ECDSA signature')
  const halves = [reader.mpint(32), reader.mpint(32)]
  reader.end()
  return Buffer.concat(halves.flatMap((half) => [Buffer.alloc(32 - half.length), half]))
}

/**
 * Checks a signature in wire form by the public key of a CA.
 *
 * @throws {CaError} `bad_signature`, `malformed`, `bad_authority`
 */
export async function verifySshSignature(
  publicKey: SshPublicKey,
  { data, signature }: { readonly data: Buffer; readonly signature: Buffer },
): Promise<void> {
  const { name, hash } = algorithmOf(publicKey)
  const reader = wireReader(signature, 'SSH signature')
  if (reader.text(64) !== name)
    throw new CaError('bad_signature', `the signature algorithm must be ${name}`, {
      field: 'signature algorithm',
      reason: 'mismatch',
    })
  const value = reader.string(1024)
  reader.end()
  const raw = publicKey.kind.startsWith('ec') ? ecdsaFromWire(value) : value
  const key = { key: publicKey.key, dsaEncoding: 'ieee-p1363' } as const
  const valid = await new Promise<boolean>((resolve) => {
    nodeVerify(hash, data, key, raw, (error, result) => {
      resolve(error === null && result)
    })
  })
  if (!valid)
    throw new CaError('bad_signature', 'the signature is not that of this SSH CA', {
      field: 'signature',
      reason: 'not_verified',
    })
}
