/** Public keys from outside, and the key policy. */
import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import {
  type Asn1Node,
  bitString,
  encode,
  encodedSequence,
  nullValue,
  oid,
  sequence,
  Tag,
} from './asn1.ts'
import { bitStringBytes, childrenOf, contentOf, decode, hasTag, oidOf } from './asn1-read.ts'
import { CaError, type CaErrorDetails, malformed } from './errors.ts'
import { toPem } from './pem.ts'
import { type ModulusWeakness, weaknessOf } from './weak-modulus.ts'

/** A public key that passed the key policy, in the forms that issuing needs. */
export interface PublicKey {
  readonly key: KeyObject
  /** SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) in DER, encoded by this library. */
  readonly info: Buffer
  /** SHA-1 of the key's BIT STRING: the key identifier (RFC 5280 section 4.2.1.2, method 1). */
  readonly keyId: Buffer
  /** For example `rsa-2048` or `ec-p256`. */
  readonly kind: string
}

const rsaEncryption = '1.2.840.113549.1.1.1'
const ecPublicKey = '1.2.840.10045.2.1'
const curves = new Map([
  ['1.2.840.10045.3.1.7', { kind: 'ec-p256', pointBytes: 65 }],
  ['1.3.132.0.34', { kind: 'ec-p384', pointBytes: 97 }],
])

/**
 * The public key of a key of `node:crypto`, private or public, under the key policy: RSA of 2048 to 8192 bits with an
 * odd exponent of 65537 or more and a modulus that is not known to be weak, or EC on P-256 or P-384.
 *
 * @throws {CaError} `weak_key`, `malformed`
 * @see RFC 5280 section 4.1.2.7
 * @example
 * const publicKey = importPublicKey(await generatePrivateKey('ec-p384'))
 * publicKey.kind // => 'ec-p384'
 */
export function importPublicKey(key: KeyObject): PublicKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  return readPublicKey(decode(publicKey.export({ type: 'spki', format: 'der' }), 'public key'))
}

/**
 * Reads a SubjectPublicKeyInfo and applies the key policy: RSA of 2048 to 8192 bits with an odd exponent of 65537 or
 * more and a modulus that is not known to be weak (see weak-modulus.ts), or a point on P-256 or P-384.
 *
 * @throws {CaError} `weak_key`, `malformed`
 */
export function readPublicKey(info: Asn1Node | undefined): PublicKey {
  const [algorithm, keyBits, ...rest] = childrenOf(info, 'public key', Tag.sequence)
  const [algorithmOid, parameters, ...more] = childrenOf(
    algorithm,
    'public key algorithm',
    Tag.sequence,
  )
  if (rest.length > 0 || more.length > 0) throw malformed('public key', 'unexpected parts')
  const bits = bitStringBytes(keyBits, 'public key bits')
  const name = oidOf(algorithmOid, 'public key algorithm')
  const keyId = hash('sha1', bits, 'buffer')
  if (name === rsaEncryption) return { ...readRsaKey(bits, parameters), keyId }
  if (name === ecPublicKey) return { ...readEcKey(bits, parameters), keyId }
  throw new CaError(
    'weak_key',
    'the public key is neither RSA (rsaEncryption) nor EC; use RSA-2048 or P-256',
    { field: 'public key algorithm', reason: 'unsupported' },
  )
}

function readRsaKey(bits: Buffer, parameters: Asn1Node | undefined): Omit<PublicKey, 'keyId'> {
  if (!hasTag(parameters, Tag.null))
    throw malformed('RSA public key', 'its parameters are not NULL')
  const [modulusNode, exponentNode, ...rest] = childrenOf(
    decode(bits, 'RSA public key'),
    'RSA public key',
    Tag.sequence,
  )
  if (rest.length > 0) throw malformed('RSA public key', 'unexpected parts')
  const modulusBits = checkModulus(contentOf(modulusNode, 'RSA modulus', Tag.integer))
  checkExponent(contentOf(exponentNode, 'RSA exponent', Tag.integer))
  const info = publicKeyInfo(sequence(oid('1.2.840.113549.1.1.1'), nullValue()), bits)
  // In PKCS#1 OpenSSL reads an RSA key three times as fast as in a SubjectPublicKeyInfo.
  return { key: importKey('RSA PUBLIC KEY', bits), info, kind: `rsa-${modulusBits}` }
}

/** Messages for moduli that can be factored. */
const weaknesses: Readonly<Record<ModulusWeakness, string>> = {
  small_factor: 'the RSA modulus has a small factor',
  close_primes: 'the primes of the RSA modulus are too close to each other: anybody can find them',
  roca: 'the RSA key was made by a flawed library (ROCA, CVE-2017-15361): anybody can find its private key',
}

function weakModulus(message: string, details: Omit<CaErrorDetails, 'field'>): CaError {
  return new CaError('weak_key', message, { field: 'RSA modulus', ...details })
}

function checkModulus(content: Buffer): number {
  if ((content[0] ?? 0x80) >= 0x80)
    throw weakModulus('the RSA modulus is negative', { reason: 'bad_value' })
  const magnitude = content[0] === 0 ? content.subarray(1) : content
  const bits = Math.max(magnitude.length * 8 - Math.clz32(magnitude[0] ?? 0) + 24, 0)
  if (bits < 2048)
    throw weakModulus(`the RSA key has ${bits} bits; at least 2048 are required`, {
      reason: 'too_small',
      limit: 2048,
      actual: bits,
    })
  if (bits > 8192)
    throw weakModulus(`the RSA key has ${bits} bits; at most 8192 are accepted`, {
      reason: 'too_large',
      limit: 8192,
      actual: bits,
    })
  const weakness = weaknessOf(BigInt(`0x${magnitude.toString('hex')}`))
  if (weakness !== undefined)
    throw weakModulus(`${weaknesses[weakness]}; make a new key with OpenSSL`, { reason: weakness })
  return bits
}

function checkExponent(content: Buffer): void {
  // Over 4 octets no common library accepts it and each use costs more than it should.
  const exponent =
    content.length > 5 || (content[0] ?? 0x80) >= 0x80 ? 0 : content.readUIntBE(0, content.length)
  if (exponent < 65537 || exponent > 0xffffffff || exponent % 2 === 0) {
    throw new CaError(
      'weak_key',
      'the RSA public exponent must be odd, at least 65537 and at most 32 bits long',
      { field: 'RSA exponent', reason: 'bad_value' },
    )
  }
}

function readEcKey(bits: Buffer, parameters: Asn1Node | undefined): Omit<PublicKey, 'keyId'> {
  const curve = hasTag(parameters, Tag.oid) ? curves.get(oidOf(parameters, 'curve')) : undefined
  if (parameters === undefined || curve === undefined) {
    throw new CaError('weak_key', 'the curve of the EC key is not supported; use P-256 or P-384', {
      field: 'curve',
      reason: 'unsupported',
    })
  }
  if (bits[0] !== 4 || bits.length !== curve.pointBytes) {
    throw malformed('EC public key', 'it is not an uncompressed point of its curve')
  }
  const info = publicKeyInfo(sequence(oid('1.2.840.10045.2.1'), parameters), bits)
  // OpenSSL checks here that the point is on the curve.
  return { key: importKey('PUBLIC KEY', info), info, kind: curve.kind }
}

function importKey(label: 'PUBLIC KEY' | 'RSA PUBLIC KEY', der: Buffer): KeyObject {
  try {
    // As PEM: of DER with its options Node learns by exceptions that it is no KeyObject, which takes 20 us.
    return createPublicKey(toPem(label, der))
  } catch (cause) {
    throw new CaError('weak_key', 'OpenSSL does not accept the public key', {
      field: 'public key',
      reason: 'bad_value',
      cause,
    })
  }
}

function publicKeyInfo(algorithm: Asn1Node, bits: Buffer): Buffer {
  return encodedSequence([encode(algorithm), encode(bitString(bits))])
}
