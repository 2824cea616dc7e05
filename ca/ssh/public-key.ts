/**
 * Public keys of SSH (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f) under
 * the key policy of the CA: Ed25519, ECDSA on the NIST curves, RSA as for X.509, and keys in security keys. No DSA.
 */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { bitString, encode, integer, nullValue, oid, sequence } from '../asn1.ts'
import { decode } from '../asn1-read.ts'
import { CaError, malformed, tooLarge } from '../errors.ts'
import { readPublicKey } from '../public-key.ts'
import { checkEd25519Point } from './ed25519-point.ts'
import { type WireReader, wireMpint, wireReader, wireString } from './wire.ts'

/** Types of public keys that can be certified. */
export const sshKeyTypes = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'ssh-rsa',
  'sk-ssh-ed25519@openssh.com',
  'sk-ecdsa-sha2-nistp256@openssh.com',
] as const
export type SshKeyType = (typeof sshKeyTypes)[number]

/** A public key that passed the policy. */
export interface SshPublicKey {
  readonly type: SshKeyType
  /** Wire form, encoded by this library. */
  readonly blob: Buffer
  /** The wire form without the type in front. */
  readonly fields: Buffer
  readonly key: KeyObject
  /** For example `ed25519`, `ec-p256`, `rsa-3072`; with `sk-` in front for a security key. */
  readonly kind: string
}

/** Longest line that is read: an RSA key of 8192 bits has 1,400 characters, the rest is for the comment. */
export const MAX_PUBLIC_KEY_CHARACTERS = 4096
/** Longest wire form that is read. */
export const MAX_PUBLIC_KEY_BYTES = 2048
const MAX_RSA_BYTES = 1024
const MAX_APPLICATION_BYTES = 255

const curves = {
  nistp256: { oid: '1.2.840.10045.3.1.7', pointBytes: 65, kind: 'ec-p256' },
  nistp384: { oid: '1.3.132.0.34', pointBytes: 97, kind: 'ec-p384' },
  nistp521: { oid: '1.3.132.0.35', pointBytes: 133, kind: 'ec-p521' },
} as const

/**
 * Reads a public key as `id_ed25519.pub` and authorized_keys have it (type, base64, comment), at most 4096
 * characters. The comment is dropped.
 *
 * @throws {CaError} `too_large`, `malformed`, `weak_key`
 * @see RFC 4253 section 6.6, RFC 8709 section 4
 * @example
 * const line = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti user@host'
 * readSshPublicKeyLine(line).kind // => 'ed25519'
 */
export function readSshPublicKeyLine(text: string): SshPublicKey {
  if (text.length > MAX_PUBLIC_KEY_CHARACTERS) {
    throw tooLarge('public key', 'characters', {
      actual: text.length,
      limit: MAX_PUBLIC_KEY_CHARACTERS,
    })
  }
  refuseOtherFiles(text)
  const line = text.replace(/^[ \t]+|[ \t\r\n]+$/g, '')
  // A line end or NUL that is left is inside the line.
  if (/\p{Cc}/u.test(line.replaceAll('\t', ' '))) {
    throw malformed('public key', 'it must be one line of text')
  }
  const [type = '', base64 = ''] = line.split(/[ \t]+/, 2)
  checkType(type)
  const blob = Buffer.from(base64, 'base64')
  // Buffer.from skips invalid characters, so the text is valid base64 only if encoding gives it back.
  if (base64 === '' || blob.toString('base64') !== base64) {
    throw malformed('public key', 'it must be "type base64 comment"')
  }
  const key = readSshPublicKey(blob)
  if (key.type !== type) {
    throw malformed('public key', `it is labelled ${type} and holds a key of another type`, {
      reason: 'mismatch',
    })
  }
  return key
}

/** Recognises files that people send instead of a public key. */
function refuseOtherFiles(text: string): void {
  if (/-----BEGIN [A-Z0-9 ]*PRIVATE KEY/.test(text) || text.startsWith('PuTTY-User-Key-File')) {
    throw malformed(
      'public key',
      'this is a private key, which must never be sent; make a new key pair, and send the file that ends in .pub',
      { reason: 'not_allowed' },
    )
  }
  if (/^-{4,5} ?BEGIN /.test(text)) {
    throw malformed(
      'public key',
      'it must be in the format of OpenSSH; `ssh-keygen -i -f FILE` (with -m PKCS8 for PEM) converts it',
      { reason: 'unsupported' },
    )
  }
}

function unsupportedType(message: string, cause?: unknown): CaError {
  return new CaError('weak_key', message, { field: 'public key', reason: 'unsupported', cause })
}

function checkType(type: string): asserts type is SshKeyType {
  if ((sshKeyTypes as readonly string[]).includes(type)) return
  if (/-cert-v0[01]@openssh\.com$/.test(type)) {
    throw malformed('public key', 'this is a certificate; send the public key itself', {
      reason: 'unsupported',
    })
  }
  if (type === 'ssh-dss') {
    throw unsupportedType('DSA keys are not accepted; use ssh-ed25519')
  }
  if (/^(ssh|ecdsa|sk|webauthn)-[a-z0-9@.-]{1,60}$/.test(type)) {
    throw unsupportedType('keys of this type are not accepted; use ssh-ed25519')
  }
  throw malformed('public key', 'it must begin with its type, for example ssh-ed25519')
}

/**
 * Reads a public key in wire form.
 *
 * @throws {CaError} `too_large`, `malformed`, `weak_key`
 */
export function readSshPublicKey(blob: Uint8Array): SshPublicKey {
  if (blob.length > MAX_PUBLIC_KEY_BYTES) {
    throw tooLarge('public key', 'bytes', { actual: blob.length, limit: MAX_PUBLIC_KEY_BYTES })
  }
  const reader = wireReader(blob, 'public key')
  const type = reader.text(64)
  checkType(type)
  const key = readKeyFields(type, reader)
  reader.end()
  return key
}

/**
 * Reads what follows the type: at the end of a public key, in the middle of a certificate.
 *
 * @throws {CaError} `malformed`, `weak_key`
 */
export function readKeyFields(type: SshKeyType, reader: WireReader): SshPublicKey {
  switch (type) {
    case 'ssh-ed25519':
      return readEd25519(type, reader)
    case 'sk-ssh-ed25519@openssh.com':
      return withApplication(readEd25519(type, reader), reader)
    case 'ecdsa-sha2-nistp256':
    case 'ecdsa-sha2-nistp384':
    case 'ecdsa-sha2-nistp521':
      return readEcdsa(type, reader)
    case 'sk-ecdsa-sha2-nistp256@openssh.com':
      return withApplication(readEcdsa(type, reader), reader)
    case 'ssh-rsa':
      return readRsa(reader)
  }
}

function made(
  type: SshKeyType,
  fields: readonly Buffer[],
  { key, kind }: { readonly key: KeyObject; readonly kind: string },
): SshPublicKey {
  const joined = Buffer.concat(fields)
  return { type, blob: Buffer.concat([wireString(type), joined]), fields: joined, key, kind }
}

function readEd25519(type: SshKeyType, reader: WireReader): SshPublicKey {
  const point = reader.string(32)
  checkEd25519Point(point)
  const info = sequence(sequence(oid('1.3.101.112')), bitString(point))
  return made(type, [wireString(point)], { key: importKey(encode(info)), kind: 'ed25519' })
}

function readEcdsa(type: SshKeyType, reader: WireReader): SshPublicKey {
  const name = reader.text(16)
  const curve = Object.hasOwn(curves, name) ? curves[name as keyof typeof curves] : undefined
  if (curve === undefined || !type.includes(`ecdsa-sha2-${name}`)) {
    throw malformed('ECDSA public key', 'its curve is not that of its type', {
      reason: 'mismatch',
    })
  }
  const point = reader.string(curve.pointBytes)
  if (point[0] !== 4 || point.length !== curve.pointBytes) {
    throw malformed('ECDSA public key', 'it is not an uncompressed point of its curve')
  }
  const algorithm = sequence(oid('1.2.840.10045.2.1'), oid(curve.oid))
  // OpenSSL checks here that the point is on the curve.
  const key = importKey(encode(sequence(algorithm, bitString(point))))
  return made(type, [wireString(name), wireString(point)], { key, kind: curve.kind })
}

function readRsa(reader: WireReader): SshPublicKey {
  const exponent = wireMpint(reader.mpint(MAX_RSA_BYTES))
  const modulus = wireMpint(reader.mpint(MAX_RSA_BYTES))
  // An mpint has the content octets of an INTEGER, but for 0, which has none.
  const number = (mpint: Buffer) => integer(mpint.length > 4 ? mpint.subarray(4) : Buffer.alloc(1))
  const bits = encode(sequence(number(modulus), number(exponent)))
  const algorithm = sequence(oid('1.2.840.113549.1.1.1'), nullValue())
  const info = encode(sequence(algorithm, bitString(bits)))
  // The one policy for RSA keys, X.509 or not.
  return made('ssh-rsa', [exponent, modulus], readPublicKey(decode(info, 'RSA public key')))
}

/** A key in a security key is bound to an application, `ssh:` or `ssh:something`; sshd reads its signatures by it. */
function withApplication(key: SshPublicKey, reader: WireReader): SshPublicKey {
  const application = reader.text(MAX_APPLICATION_BYTES)
  if (!/^ssh:[!-~]*$/.test(application)) {
    throw malformed('security key', 'its application must begin with ssh:')
  }
  return made(key.type, [key.fields, wireString(application)], {
    key: key.key,
    kind: `sk-${key.kind}`,
  })
}

function importKey(info: Buffer): KeyObject {
  try {
    return createPublicKey({ key: info, format: 'der', type: 'spki' })
  } catch (cause) {
    throw new CaError('weak_key', 'OpenSSL does not accept the public key', {
      field: 'public key',
      reason: 'bad_value',
      cause,
    })
  }
}

/**
 * The SSH form of a public key of `node:crypto`.
 *
 * @throws {CaError} `weak_key` for a key that SSH or the key policy does not support
 */
export function sshPublicKeyOf(key: KeyObject): SshPublicKey {
  const { crv = '', x = '', y = '', n = '', e = '' } = jwkOf(key)
  const bytes = (value: string): Buffer => Buffer.from(value, 'base64url')
  if (crv === 'Ed25519') return readSshPublicKey(wireStrings('ssh-ed25519', bytes(x)))
  if (n !== '')
    return readSshPublicKey(
      Buffer.concat([wireString('ssh-rsa'), wireMpint(bytes(e)), wireMpint(bytes(n))]),
    )
  const name = `nistp${crv.slice(2)}`
  const point = Buffer.concat([Buffer.of(4), bytes(x), bytes(y)])
  return readSshPublicKey(wireStrings(`ecdsa-sha2-${name}`, name, point))
}

function jwkOf(key: KeyObject) {
  try {
    return key.export({ format: 'jwk' })
  } catch (cause) {
    throw unsupportedType('keys of this type are not accepted; use Ed25519', cause)
  }
}

function wireStrings(...values: readonly (string | Buffer)[]): Buffer {
  return Buffer.concat(values.map(wireString))
}

/** The line of an authorized_keys or TrustedUserCAKeys file. `comment` is ours, never the caller's. */
export function formatSshPublicKey({ type, blob }: SshPublicKey, comment: string): string {
  return `${type} ${blob.toString('base64')} ${comment}\n`
}

/** The fingerprint as OpenSSH prints it: `SHA256:` and base64 without padding. */
export function sshFingerprint({ blob }: Pick<SshPublicKey, 'blob'>): string {
  return `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`
}
