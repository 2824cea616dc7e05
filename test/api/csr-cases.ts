/** CSRs that must be refused, made with real tools or by hand. */
import { execFileSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Asn1Node,
  bitString,
  encode,
  implicitConstructed,
  integer,
  nullValue,
  octetString,
  oid,
  sequence,
  set,
  smallInteger,
} from '../../ca/asn1.ts'
import { childrenOf, decode } from '../../ca/asn1-read.ts'
import { toPem } from '../../ca/pem.ts'

/** A PEM CSR from the real openssl for a key in PEM. */
function opensslCsr(keyPem: string, ...options: string[]): string {
  const directory = mkdtempSync(join(tmpdir(), 'tts-csr-'))
  try {
    const path = join(directory, 'key.pem')
    writeFileSync(path, keyPem, { mode: 0o600 })
    const args = ['req', '-new', '-key', path, '-subj', '/CN=root', ...options]
    return execFileSync('openssl', args, { encoding: 'utf8', stdio: 'pipe' })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()

export function rsaCsr(modulusLength: number, ...options: string[]): string {
  return opensslCsr(pemOf(generateKeyPairSync('rsa', { modulusLength }).privateKey), ...options)
}

export function smallExponentCsr(): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 })
  return opensslCsr(pemOf(privateKey))
}

export function dsaCsr(): string {
  const { privateKey } = generateKeyPairSync('dsa', { modulusLength: 2048, divisorLength: 256 })
  return opensslCsr(pemOf(privateKey))
}

export function ed25519Csr(): string {
  return opensslCsr(pemOf(generateKeyPairSync('ed25519').privateKey))
}

export function curveCsr(namedCurve: string): string {
  return opensslCsr(pemOf(generateKeyPairSync('ec', { namedCurve }).privateKey))
}

/** Asks for everything that a CSR must not get. */
export function greedyCsr(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return opensslCsr(
    pemOf(privateKey),
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-addext',
    'keyUsage=critical,keyCertSign,cRLSign',
    '-addext',
    'subjectAltName=DNS:evil.example.org,email:root@example.org',
  )
}

interface Changes {
  readonly version?: number
  /** Replaces the SubjectPublicKeyInfo. */
  readonly info?: (sound: Asn1Node) => Asn1Node
  readonly hash?: string
  readonly algorithm?: string
  readonly breakSignature?: boolean
  readonly attributes?: readonly Asn1Node[]
  readonly trailing?: Buffer
  readonly more?: readonly Asn1Node[]
}

/** A P-256 CSR by hand, sound but for the changes; signed after them unless the signature is to be broken. */
export function builtCsr(changes: Changes = {}): Buffer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const sound = decode(publicKey.export({ type: 'spki', format: 'der' }), 'test')
  const info = sequence(
    smallInteger(changes.version ?? 0),
    sequence(),
    changes.info?.(sound) ?? sound,
    implicitConstructed(0, changes.attributes ?? []),
  )
  const signature = sign(changes.hash ?? 'sha256', encode(info), privateKey)
  if (changes.breakSignature) signature[signature.length - 1]! ^= 1
  const algorithm = sequence(oid(changes.algorithm ?? '1.2.840.10045.4.3.2'))
  const request = encode(sequence(info, algorithm, bitString(signature), ...(changes.more ?? [])))
  return Buffer.concat([request, changes.trailing ?? Buffer.alloc(0)])
}

/** The SubjectPublicKeyInfo of an RSA key with any numbers at all. */
export function rsaInfo(modulus: Buffer, exponent: Buffer): Asn1Node {
  return sequence(
    sequence(oid('1.2.840.113549.1.1.1'), nullValue()),
    bitString(encode(sequence(integer(modulus), integer(exponent)))),
  )
}

export function rsaModulus(): Buffer {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  return Buffer.from(publicKey.export({ format: 'jwk' }).n ?? '', 'base64url')
}

/** A point that is on no curve. */
export function strayPoint(sound: Asn1Node): Asn1Node {
  const [algorithm] = childrenOf(sound, 'test')
  return sequence(algorithm, bitString(Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 7)])))
}

/** An EC key that says its curve by parameters of its own. */
export function explicitCurve(sound: Asn1Node): Asn1Node {
  const [, bits] = childrenOf(sound, 'test')
  return sequence(sequence(oid('1.2.840.10045.2.1'), sequence(smallInteger(1))), bits)
}

/** Lists within lists, as deep as fit. */
export function deepDer(): Buffer {
  let der = Buffer.from([0x05, 0x00])
  for (let depth = 0; depth < 3000; depth += 1) {
    const length =
      der.length < 128
        ? Buffer.from([der.length])
        : Buffer.from([0x82, der.length >> 8, der.length & 255])
    der = Buffer.concat([Buffer.from([0x30]), length, der])
  }
  return der
}

export function challengeAttribute(bytes: number): Asn1Node {
  return sequence(oid('1.2.840.113549.1.9.7'), set(octetString(Buffer.alloc(bytes, 65))))
}

export const asPem = (der: Buffer): string => toPem('CERTIFICATE REQUEST', der)

export function notACsr(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return pemOf(createPrivateKey(pemOf(privateKey)))
}
