/** SSH keys for tests: of every kind that is certified, made once a file; and keys that must be refused. */
import {
  createHash,
  generateKeyPairSync,
  type KeyObject,
  type KeyPairKeyObjectResult,
} from 'node:crypto'
import { sshPublicKeyOf } from '../../ca/ssh/public-key.ts'
import { wireReader, wireString } from '../../ca/ssh/wire.ts'

const makers = {
  ed25519: () => generateKeyPairSync('ed25519'),
  'ec-p256': () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  'ec-p384': () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  'ec-p521': () => generateKeyPairSync('ec', { namedCurve: 'P-521' }),
  'rsa-2048': () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
  'rsa-3072': () => generateKeyPairSync('rsa', { modulusLength: 3072 }),
} satisfies Record<string, () => KeyPairKeyObjectResult>

export type TestKeyKind = keyof typeof makers
export const testKeyKinds = Object.keys(makers) as TestKeyKind[]

const pairs = new Map<string, KeyPairKeyObjectResult>()

/** The key pair of this kind; another owner has another one. */
export function sshKeyPair(kind: TestKeyKind, owner = 'someone'): KeyPairKeyObjectResult {
  const name = `${kind} ${owner}`
  const made = pairs.get(name) ?? makers[kind]()
  pairs.set(name, made)
  return made
}

/** Wire form of that public key. */
export function sshBlob(kind: TestKeyKind): Buffer {
  return sshPublicKeyOf(sshKeyPair(kind).publicKey).blob
}

/** Values joined, each as a string of the wire. */
export function strings(...values: readonly (string | Uint8Array)[]): Buffer {
  return Buffer.concat(values.map(wireString))
}

/** Line of a blob: its own type, base64, comment. */
export function lineOf(blob: Buffer, comment = 'someone@somewhere'): string {
  const type = wireReader(blob, 'blob').string(100).toString('latin1')
  return `${type} ${blob.toString('base64')} ${comment}`
}

/** A public key as if it were in a security key. */
export function securityKeyBlob(kind: 'ed25519' | 'ec-p256', application = 'ssh:'): Buffer {
  const type =
    kind === 'ed25519' ? 'sk-ssh-ed25519@openssh.com' : 'sk-ecdsa-sha2-nistp256@openssh.com'
  const fields = sshPublicKeyOf(sshKeyPair(kind).publicKey).fields
  return Buffer.concat([wireString(type), fields, wireString(application)])
}

/** An OpenSSH private key file (PROTOCOL.key), not encrypted, of an Ed25519 key: what `ssh -i` reads. */
export function openSshPrivateKey(privateKey: KeyObject): string {
  const { x = '', d = '' } = privateKey.export({ format: 'jwk' })
  const [point, seed] = [x, d].map((value) => Buffer.from(value, 'base64url'))
  if (!point || !seed || seed.length !== 32) throw new Error('not an Ed25519 key')
  const blob = strings('ssh-ed25519', point)
  const check = createHash('sha256').update(blob).digest().subarray(0, 4)
  const clear = Buffer.concat([
    check,
    check,
    strings('ssh-ed25519', point, Buffer.concat([seed, point]), 'test'),
  ])
  const padding = Buffer.from([1, 2, 3, 4, 5, 6, 7]).subarray(0, (8 - (clear.length % 8)) % 8)
  const file = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    strings('none', 'none', ''),
    Buffer.of(0, 0, 0, 1),
    strings(blob, Buffer.concat([clear, padding])),
  ])
  const lines = file.toString('base64').replace(/.{1,70}/g, '$&\n')
  return `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines}-----END OPENSSH PRIVATE KEY-----\n`
}
