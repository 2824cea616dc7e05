/** Requests that no tool would make: any part can be replaced, the signature is made over what results. */
import { createPublicKey, type KeyObject, sign } from 'node:crypto'
import {
  type Asn1Node,
  bitString,
  encode,
  implicitConstructed,
  integer,
  nullValue,
  oid,
  sequence,
  smallInteger,
} from '../../ca/asn1.ts'
import { bitStringBytes, childrenOf, decode } from '../../ca/asn1-read.ts'
import { nameNode } from '../../ca/name.ts'

export const signatureOids = {
  rsaMd5: '1.2.840.113549.1.1.4',
  rsaSha1: '1.2.840.113549.1.1.5',
  rsaSha256: '1.2.840.113549.1.1.11',
  rsaSha512: '1.2.840.113549.1.1.13',
  rsaPss: '1.2.840.113549.1.1.10',
  ecdsaSha1: '1.2.840.10045.4.1',
  ecdsaSha256: '1.2.840.10045.4.3.2',
  ecdsaSha384: '1.2.840.10045.4.3.3',
  ed25519: '1.3.101.112',
} as const

export interface CsrPlan {
  /** Signs; by default it is also the key that the request is for. */
  readonly key: KeyObject
  readonly info?: Asn1Node
  readonly version?: Asn1Node
  readonly hash?: string | null
  readonly algorithm?: string
  readonly more?: readonly Asn1Node[]
}

/** DER of a request. */
export function buildCsr(plan: CsrPlan): Buffer {
  const { key, hash = 'sha256' } = plan
  const isEc = key.asymmetricKeyType === 'ec'
  const algorithm = plan.algorithm ?? (isEc ? signatureOids.ecdsaSha256 : signatureOids.rsaSha256)
  const info = sequence(
    plan.version ?? smallInteger(0),
    nameNode([]),
    plan.info ?? keyInfo(key),
    implicitConstructed(0, []),
  )
  const signature = bitString(sign(hash, encode(info), key))
  const parameters = algorithm.startsWith('1.2.840.113549') ? nullValue() : undefined
  return encode(
    sequence(info, sequence(oid(algorithm), parameters), signature, ...(plan.more ?? [])),
  )
}

/** SubjectPublicKeyInfo of a key. */
export function keyInfo(key: KeyObject): Asn1Node {
  return decode(createPublicKey(key).export({ type: 'spki', format: 'der' }), 'key')
}

/** The bytes inside of the key's BIT STRING. */
export function keyBits(key: KeyObject): Buffer {
  return bitStringBytes(childrenOf(keyInfo(key), 'key')[1], 'key')
}

/** SubjectPublicKeyInfo of an RSA key with this modulus and exponent. */
export function rsaInfo(
  modulus: bigint | Asn1Node,
  exponent: bigint | Asn1Node = 65537n,
): Asn1Node {
  const numbers = [modulus, exponent].map((number) =>
    typeof number === 'bigint' ? integer(bytesOf(number)) : number,
  )
  const algorithm = sequence(oid('1.2.840.113549.1.1.1'), nullValue())
  return sequence(algorithm, bitString(encode(sequence(...numbers))))
}

/** SubjectPublicKeyInfo of an EC key with these bits. */
export function ecInfo(bits: Buffer, curve: Asn1Node = oid('1.2.840.10045.3.1.7')): Asn1Node {
  return sequence(sequence(oid('1.2.840.10045.2.1'), curve), bitString(bits))
}

/** The modulus of an RSA key. */
export function modulusOf(key: KeyObject): bigint {
  const [modulus] = childrenOf(decode(keyBits(key), 'RSA key'), 'RSA key')
  return typeof modulus?.value === 'string'
    ? BigInt(`0x${Buffer.from(modulus.value, 'latin1').toString('hex')}`)
    : 0n
}

function bytesOf(number: bigint): Buffer {
  const hex = number.toString(16)
  return Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
}
