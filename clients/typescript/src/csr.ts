/** Makes a key and a PKCS#10 request for it (RFC 2986). The private key never leaves this process. */
import { generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import type { KeyType } from './key-type.ts'

/** A private key and the request for it. */
export interface KeyAndRequest {
  readonly privateKey: KeyObject
  /** PKCS#10 request in PEM, with an empty subject: the service uses only the public key. */
  readonly csr: string
}

const generate = promisify(generateKeyPair)
const signAsync = promisify(sign)

/** Generates a key and signs a request with it. */
export async function makeKeyAndRequest(keyType: KeyType): Promise<KeyAndRequest> {
  const { publicKey, privateKey } =
    keyType === 'ec-p256'
      ? await generate('ec', { namedCurve: 'P-256' })
      : await generate('rsa', { modulusLength: Number(keyType.slice('rsa-'.length)) })
  const information = der(
    SEQUENCE,
    Buffer.from([INTEGER, 1, 0]),
    der(SEQUENCE),
    publicKey.export({ type: 'spki', format: 'der' }),
    der(ATTRIBUTES),
  )
  const algorithm = Buffer.from(keyType === 'ec-p256' ? ECDSA_WITH_SHA256 : SHA256_WITH_RSA, 'hex')
  const signature = await signAsync('sha256', information, privateKey)
  const request = der(
    SEQUENCE,
    information,
    algorithm,
    der(BIT_STRING, Buffer.from([0]), signature),
  )
  return { privateKey, csr: pem('CERTIFICATE REQUEST', request) }
}

const INTEGER = 0x02
const BIT_STRING = 0x03
const SEQUENCE = 0x30
const ATTRIBUTES = 0xa0

/** AlgorithmIdentifier of sha256WithRSAEncryption (RFC 8017) and of ecdsa-with-SHA256 (RFC 5758). */
const SHA256_WITH_RSA = '300d06092a864886f70d01010b0500'
const ECDSA_WITH_SHA256 = '300a06082a8648ce3d040302'

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const digits = length.toString(16)
  const bytes = Buffer.from(digits.length % 2 === 0 ? digits : `0${digits}`, 'hex')
  const lengthOctets = length < 0x80 ? [length] : [0x80 | bytes.length, ...bytes]
  return Buffer.concat([Buffer.from([tag, ...lengthOctets]), content])
}

function pem(label: string, content: Buffer): string {
  const lines = content.toString('base64').match(/.{1,64}/g) ?? []
  return [`-----BEGIN ${label}-----`, ...lines, `-----END ${label}-----`, ''].join('\n')
}
