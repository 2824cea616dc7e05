import { generateKeyPairSync, type KeyObject, verify } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  type Asn1Node,
  bitString,
  characterString,
  encode,
  nullValue,
  oid,
  sequence,
  smallInteger,
  Tag,
} from '../../ca/asn1.ts'
import { decode } from '../../ca/asn1-read.ts'
import { algorithmNode, createSigner, keyKinds, verifySignature } from '../../ca/key.ts'
import { readPublicKey } from '../../ca/public-key.ts'
import { ecInfo, keyBits, keyInfo, modulusOf, rsaInfo } from '../support/csr-builder.ts'
import { sharedKey, sharedSigner } from '../support/keys.ts'
import { openssl } from '../support/openssl.ts'

const refusal = (code: string, message: RegExp): Error =>
  expect.objectContaining({
    name: 'CaError',
    code,
    message: expect.stringMatching(message) as string,
  }) as Error

const made = (type: string, options: object): Asn1Node => keyInfo(generate(type, options))
const generate = (type: string, options: object): KeyObject =>
  (generateKeyPairSync as (type: string, options: object) => { privateKey: KeyObject })(
    type,
    options,
  ).privateKey

let modulus: bigint
let point: Buffer
let rsaBits: Buffer
beforeAll(async () => {
  modulus = modulusOf(await sharedKey('rsa-2048'))
  point = keyBits(await sharedKey('ec-p256'))
  rsaBits = keyBits(await sharedKey('rsa-2048'))
})

describe('RSA keys that are refused', () => {
  const bits = (length: number): bigint => (1n << BigInt(length - 1)) + 1n
  const ofBytes = (hex: string): Asn1Node => characterString(Tag.integer, Buffer.from(hex, 'hex'))
  test.for<readonly [string, () => Asn1Node, RegExp]>([
    ['1024 bits', () => made('rsa', { modulusLength: 1024 }), /1024 bits; at least 2048/],
    ['2047 bits', () => made('rsa', { modulusLength: 2047 }), /2047 bits; at least 2048/],
    ['8193 bits', () => rsaInfo(bits(8193)), /8193 bits; at most 8192/],
    ['64,000 bits', () => rsaInfo(bits(64_000)), /64000 bits; at most 8192/],
    ['modulus 0', () => rsaInfo(0n), /has 0 bits/],
    ['modulus 1', () => rsaInfo(1n), /has 1 bits/],
    ['a negative modulus', () => rsaInfo(ofBytes(`ff7f${'55'.repeat(256)}`)), /negative/],
    ['an empty modulus', () => rsaInfo(ofBytes('')), /negative/],
    ['an even modulus', () => rsaInfo(modulus - 1n), /small factor/],
    ['a modulus with the factor 3', () => rsaInfo(multiple(3n)), /small factor/],
    ['a modulus with the factor 751', () => rsaInfo(multiple(751n)), /small factor/],
    ['a power of 3', () => rsaInfo(3n ** 1300n), /small factor/],
    ['exponent 0', () => rsaInfo(modulus, 0n), /exponent/],
    ['exponent 1', () => rsaInfo(modulus, 1n), /exponent/],
    ['exponent 3', () => made('rsa', { modulusLength: 2048, publicExponent: 3 }), /exponent/],
    ['exponent 65535', () => rsaInfo(modulus, 65535n), /exponent/],
    ['exponent 65536', () => rsaInfo(modulus, 65536n), /exponent/],
    ['exponent 2^32', () => rsaInfo(modulus, 1n << 32n), /exponent/],
    ['exponent 2^32 + 1', () => rsaInfo(modulus, (1n << 32n) + 1n), /exponent/],
    ['an exponent as long as the modulus', () => rsaInfo(modulus, modulus - 2n), /exponent/],
    ['a negative exponent', () => rsaInfo(modulus, ofBytes('ff0001')), /exponent/],
    ['an empty exponent', () => rsaInfo(modulus, ofBytes('')), /exponent/],
  ])('%s', ([, info, message]) => {
    expect(() => readPublicKey(info())).toThrow(refusal('weak_key', message))
  })

  const divides = (prime: number, number: bigint): boolean => number % BigInt(prime) === 0n
  const primes = Array.from({ length: 4098 }, (_, index) => index + 2).filter(
    (candidate, _, all) => !all.some((less) => less < candidate && candidate % less === 0),
  )
  /** As long as the modulus, but for a chance of 1 in 2^2000, and without another factor below 4100. */
  const multiple = (factor: bigint): bigint => {
    let cofactor = (modulus / factor) | 1n
    while (primes.some((prime) => divides(prime, cofactor))) cofactor -= 2n
    return factor * cofactor
  }

  test('every prime below 4096 is found as a factor, the next one is not looked for', () => {
    const refused = primes.filter((prime) => {
      try {
        return readPublicKey(rsaInfo(multiple(BigInt(prime)))).kind === ''
      } catch {
        return true
      }
    })
    expect(primes.slice(-3)).toEqual([4091, 4093, 4099])
    expect(refused).toEqual(primes.slice(0, -1))
  })

  test.for([65537n, 65539n, (1n << 32n) - 1n])('exponent %d is taken', (exponent) => {
    expect(readPublicKey(rsaInfo(modulus, exponent)).kind).toBe('rsa-2048')
  })
})

describe('EC and other keys that are refused', () => {
  const compressed = (): Buffer =>
    Buffer.from([2 + ((point.at(-1) ?? 0) & 1), ...point.subarray(1, 33)])
  const hybrid = (): Buffer => Buffer.from([6 + ((point.at(-1) ?? 0) & 1), ...point.subarray(1)])
  const offCurve = (): Buffer =>
    Buffer.from(point.map((byte, index) => (index === 64 ? byte ^ 1 : byte)))
  const p384 = oid('1.3.132.0.34')
  test.for<readonly [string, () => Asn1Node | undefined, string, RegExp]>([
    [
      'P-521',
      () => made('ec', { namedCurve: 'P-521' }),
      'weak_key',
      /curve of the EC key is not supported/,
    ],
    [
      'secp256k1',
      () => made('ec', { namedCurve: 'secp256k1' }),
      'weak_key',
      /curve of the EC key is not supported/,
    ],
    [
      'P-224',
      () => made('ec', { namedCurve: 'secp224r1' }),
      'weak_key',
      /curve of the EC key is not supported/,
    ],
    [
      'explicit parameters',
      () => made('ec', { namedCurve: 'P-256', paramEncoding: 'explicit' }),
      'weak_key',
      /curve of the EC key/,
    ],
    [
      'no curve',
      () => sequence(sequence(oid('1.2.840.10045.2.1')), bitString(point)),
      'weak_key',
      /curve of the EC key/,
    ],
    ['implicit curve', () => ecInfo(point, nullValue()), 'weak_key', /curve of the EC key/],
    ['a compressed point', () => ecInfo(compressed()), 'malformed', /not an uncompressed point/],
    ['a hybrid point', () => ecInfo(hybrid()), 'malformed', /not an uncompressed point/],
    ['the point at infinity', () => ecInfo(Buffer.of(0)), 'malformed', /not an uncompressed point/],
    ['infinity in 65 bytes', () => ecInfo(Buffer.alloc(65)), 'malformed', /not an uncompressed/],
    ['no point', () => ecInfo(Buffer.alloc(0)), 'malformed', /not an uncompressed/],
    [
      'a point one byte short',
      () => ecInfo(point.subarray(0, 64)),
      'malformed',
      /not an uncompressed/,
    ],
    ['a point of the other curve', () => ecInfo(point, p384), 'malformed', /not an uncompressed/],
    [
      'a point that is not on the curve',
      () => ecInfo(offCurve()),
      'weak_key',
      /OpenSSL does not accept/,
    ],
    [
      'the point (0, 0)',
      () => ecInfo(Buffer.from([4, ...Buffer.alloc(64)])),
      'weak_key',
      /OpenSSL/,
    ],
    [
      'coordinates over the prime',
      () => ecInfo(Buffer.from([4, ...Buffer.alloc(64, 0xff)])),
      'weak_key',
      /OpenSSL/,
    ],
    ['Ed25519', () => made('ed25519', {}), 'weak_key', /neither RSA .* nor EC/],
    ['X25519', () => made('x25519', {}), 'weak_key', /neither RSA/],
    ['RSA-PSS', () => made('rsa-pss', { modulusLength: 2048 }), 'weak_key', /neither RSA/],
    [
      'DSA',
      () => sequence(sequence(oid('1.2.840.10040.4.1'), sequence()), bitString(Buffer.of(2, 1, 5))),
      'weak_key',
      /neither RSA/,
    ],
    [
      'rsaEncryption with 2^32 added to an arc',
      () =>
        sequence(sequence(oid('1.2.840.113549.1.1.4294967297'), nullValue()), bitString(rsaBits)),
      'weak_key',
      /neither RSA/,
    ],
    [
      'RSA without NULL',
      () => sequence(sequence(oid('1.2.840.113549.1.1.1')), bitString(rsaBits)),
      'malformed',
      /parameters are not NULL/,
    ],
    [
      'RSA with a third number',
      () =>
        sequence(
          sequence(oid('1.2.840.113549.1.1.1'), nullValue()),
          bitString(encode(sequence(smallInteger(5), smallInteger(5), smallInteger(5)))),
        ),
      'malformed',
      /unexpected parts/,
    ],
    [
      'RSA with a byte behind',
      () =>
        sequence(
          sequence(oid('1.2.840.113549.1.1.1'), nullValue()),
          bitString(Buffer.concat([rsaBits, Buffer.of(0)])),
        ),
      'malformed',
      /one complete DER/,
    ],
    [
      'unused bits',
      () => sequence(sequence(oid('1.2.840.113549.1.1.1'), nullValue()), bitString(rsaBits, 1)),
      'malformed',
      /whole number of bytes/,
    ],
    [
      'a third part',
      () => sequence(...sequenceParts(rsaInfo(modulus)), smallInteger(1)),
      'malformed',
      /unexpected parts/,
    ],
    ['no parts', () => sequence(), 'malformed', /public key algorithm/],
    ['a number', () => smallInteger(1), 'malformed', /public key/],
    ['nothing', () => undefined, 'malformed', /it is missing/],
  ])('%s', ([, info, code, message]) => {
    expect(() => readPublicKey(info())).toThrow(refusal(code, message))
  })
})

const sequenceParts = (node: Asn1Node): readonly Asn1Node[] =>
  typeof node.value === 'string' ? [] : node.value

// RSA-4096 takes seconds to make and is tried with requests.
describe.for(keyKinds.filter((kind) => kind !== 'rsa-4096'))('%s', (kind) => {
  test('signs what node:crypto and openssl verify', async () => {
    const signer = await sharedSigner(kind)
    const algorithms = { 'ec-p256': 'ecdsa-with-SHA256', 'ec-p384': 'ecdsa-with-SHA384' }
    expect(signer.publicKey.kind).toBe(kind)
    expect(signer.algorithm).toBe(
      kind in algorithms ? algorithms[kind as 'ec-p256'] : 'sha256WithRSAEncryption',
    )
    const data = Buffer.from('signed')
    const signature = await signer.sign(data)
    const hash = kind === 'ec-p384' ? 'sha384' : 'sha256'
    expect(verify(hash, data, signer.publicKey.key, signature)).toBe(true)
    const pem = signer.publicKey.key.export({ type: 'spki', format: 'pem' }).toString()
    const args = ['dgst', `-${hash}`, '-verify', 'pem', '-signature', 'signature', 'data']
    expect((await openssl(args, { pem, signature, data })).text).toBe('Verified OK\n')
    expect(await verifySignature(hash, { data, signature }, signer.publicKey.key)).toBe(true)
    const other = Buffer.from('other')
    expect(await verifySignature(hash, { data: other, signature }, signer.publicKey.key)).toBe(
      false,
    )
  })

  test('is identified as openssl does it', async () => {
    const { publicKey } = await sharedSigner(kind)
    const request = [
      'req',
      '-x509',
      '-key',
      'key',
      '-subj',
      '/CN=a',
      '-addext',
      'subjectKeyIdentifier=hash',
    ]
    const key = (await sharedKey(kind)).export({ type: 'pkcs8', format: 'pem' }).toString()
    const { stdout: certificate } = await openssl(request, { key })
    const { text } = await openssl(['x509', '-in', 'c', '-noout', '-ext', 'subjectKeyIdentifier'], {
      c: certificate,
    })
    expect(text.replaceAll(':', '').toLowerCase()).toContain(publicKey.keyId.toString('hex'))
  })
})

test('signatures that cannot be checked do not verify', async () => {
  const { publicKey } = await sharedSigner('rsa-2048')
  const nothing = { data: Buffer.alloc(0), signature: Buffer.alloc(0) }
  expect(await verifySignature('sha256', nothing, publicKey.key)).toBe(false)
  expect(
    await verifySignature('sha256', { ...nothing, signature: Buffer.alloc(9000) }, publicKey.key),
  ).toBe(false)
})

test('a weak private key makes no signer', () => {
  const weak = generate('rsa', { modulusLength: 1024 })
  expect(() => createSigner(weak)).toThrow(refusal('weak_key', /1024 bits/))
})

test.for([
  ['sha256WithRSAEncryption', '300d06092a864886f70d01010b0500'],
  ['ecdsa-with-SHA256', '300a06082a8648ce3d040302'],
  ['ecdsa-with-SHA384', '300a06082a8648ce3d040303'],
] as const)('%s is written as RFC 4055 and RFC 5758 want it', ([algorithm, hex]) => {
  expect(encode(algorithmNode(algorithm)).toString('hex')).toBe(hex)
  expect(encode(decode(Buffer.from(hex, 'hex'), 'algorithm')).toString('hex')).toBe(hex)
})
