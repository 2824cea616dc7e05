/**
 * Reads the facts about a certificate (extensions, key, signature) that chain validation, proxies and the doctor use.
 */
import { type Asn1Node, Tag } from './asn1.ts'
import {
  bitStringBytes,
  childrenOf,
  contentOf,
  decode,
  hasTag,
  isTrue,
  namedBitsOf,
  oidOf,
  smallIntegerOf,
} from './asn1-read.ts'
import type { Certificate } from './certificate.ts'
import { CaError, malformed } from './errors.ts'
import {
  extensionOids,
  type KeyUsage,
  keyUsageBits,
  proxyPolicyLanguages,
  type ProxyType,
} from './extensions.ts'

/** ProxyCertInfo (RFC 3820 section 3.8). */
export interface ProxyCertInfo {
  readonly critical: boolean
  readonly pathLength: number | undefined
  /** The policy language; `other` is one that is not issued here, for example anyLanguage. */
  readonly type: ProxyType | 'other'
  readonly hasPolicy: boolean
}

/** Kind and size of a public key, without using it. */
export interface KeyFacts {
  readonly family: 'RSA' | 'EC' | 'other'
  /** Bits of the modulus or of the curve's field; 0 when unknown. */
  readonly bits: number
}

/** How a certificate was signed. */
export interface SignatureFacts {
  readonly scheme: 'PKCS#1 v1.5' | 'RSA-PSS' | 'ECDSA' | 'other'
  /** `SHA-256`, `SHA-1`, …; undefined where the algorithm identifier does not contain it. */
  readonly digest: string | undefined
}

/** The facts about a certificate; undefined means that the extension is absent. */
export interface CertificateFacts {
  readonly authority: boolean
  /** basicConstraints pathLenConstraint. */
  readonly pathLength: number | undefined
  readonly keyUsage: readonly KeyUsage[] | undefined
  /** extKeyUsage identifiers, dotted. */
  readonly extendedKeyUsage: readonly string[] | undefined
  readonly proxyCertInfo: ProxyCertInfo | undefined
  readonly key: KeyFacts
  readonly signature: SignatureFacts
  /** Identifiers (dotted) of extensions that occur more than once. */
  readonly duplicates: readonly string[]
  /** Names of extensions that cannot be read. */
  readonly unreadable: readonly string[]
}

/** Reads all facts; an extension that cannot be read is listed in `unreadable` and treated as absent. */
export function certificateFacts(certificate: Certificate): CertificateFacts {
  const unreadable: string[] = []
  const read = <T>(name: keyof typeof extensionOids, parse: ExtensionParser<T>): T | undefined => {
    const found = certificate.extensions.find(({ oid }) => oid === extensionOids[name])
    if (found === undefined) return undefined
    try {
      return parse(decode(found.value, name), found.critical)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      unreadable.push(name)
      return undefined
    }
  }
  const constraints = read('basicConstraints', readBasicConstraints)
  const identifiers = certificate.extensions.map(({ oid }) => oid)
  return {
    authority: constraints?.authority ?? false,
    pathLength: constraints?.pathLength,
    keyUsage: read('keyUsage', readKeyUsage),
    extendedKeyUsage: read('extKeyUsage', (node) =>
      childrenOf(node, 'extKeyUsage', Tag.sequence).map((purpose) => oidOf(purpose, 'purpose')),
    ),
    proxyCertInfo: read('proxyCertInfo', readProxyCertInfo),
    key: keyFacts(certificate.publicKeyInfo),
    signature: signatureSchemes.get(certificate.signatureAlgorithm) ?? unknownSignature,
    duplicates: identifiers.filter((oid, index) => identifiers.indexOf(oid) !== index),
    unreadable,
  }
}

type ExtensionParser<T> = (node: Asn1Node, critical: boolean) => T

function readBasicConstraints(node: Asn1Node): { authority: boolean; pathLength?: number } {
  const parts = childrenOf(node, 'basicConstraints', Tag.sequence)
  const length = parts.find((part) => hasTag(part, Tag.integer))
  return {
    authority: isTrue(parts[0]),
    ...(length === undefined ? {} : { pathLength: smallIntegerOf(length, 'path length') }),
  }
}

function readKeyUsage(node: Asn1Node): readonly KeyUsage[] {
  const bits = namedBitsOf(node, 'keyUsage')
  return (Object.keys(keyUsageBits) as KeyUsage[]).filter((usage) =>
    bits.includes(keyUsageBits[usage]),
  )
}

const proxyTypes = new Map<string, ProxyType>(
  (Object.keys(proxyPolicyLanguages) as ProxyType[]).map((type) => [
    proxyPolicyLanguages[type],
    type,
  ]),
)

function readProxyCertInfo(node: Asn1Node, critical: boolean): ProxyCertInfo {
  const parts = [...childrenOf(node, 'proxyCertInfo', Tag.sequence)]
  const length = hasTag(parts[0], Tag.integer) ? parts.shift() : undefined
  const [language, policy, ...rest] = childrenOf(parts[0], 'proxyPolicy', Tag.sequence)
  if (parts.length !== 1 || rest.length > 0) throw malformed('proxyCertInfo', 'unexpected parts')
  return {
    critical,
    pathLength: length && smallIntegerOf(length, 'proxy path length'),
    type: proxyTypes.get(oidOf(language, 'policy language')) ?? 'other',
    hasPolicy: policy !== undefined,
  }
}

const curveBits = new Map([
  ['1.2.840.10045.3.1.7', 256],
  ['1.3.132.0.34', 384],
  ['1.3.132.0.35', 521],
])

/**
 * Kind and size of the key in a SubjectPublicKeyInfo; does no computation with it, so that a huge key costs nothing.
 */
export function keyFacts(info: Asn1Node): KeyFacts {
  try {
    const [algorithm, bits] = childrenOf(info, 'public key', Tag.sequence)
    const [name, parameters] = childrenOf(algorithm, 'key algorithm', Tag.sequence)
    const family = oidOf(name, 'key algorithm')
    if (family === '1.2.840.10045.2.1') {
      const curve = hasTag(parameters, Tag.oid) ? oidOf(parameters, 'curve') : ''
      return { family: 'EC', bits: curveBits.get(curve) ?? 0 }
    }
    if (family !== '1.2.840.113549.1.1.1') return { family: 'other', bits: 0 }
    const key = decode(bitStringBytes(bits, 'public key'), 'RSA public key')
    const modulus = contentOf(childrenOf(key, 'RSA public key')[0], 'modulus', Tag.integer)
    return { family: 'RSA', bits: BigInt(`0x${modulus.toString('hex')}`).toString(2).length }
  } catch (error) {
    if (error instanceof CaError) return { family: 'other', bits: 0 }
    throw error
  }
}

const unknownSignature: SignatureFacts = { scheme: 'other', digest: undefined }
const signatureSchemes = new Map<string, SignatureFacts>([
  ...(
    [
      ['1.2.840.113549.1.1.4', 'MD5'],
      ['1.2.840.113549.1.1.5', 'SHA-1'],
      ['1.2.840.113549.1.1.11', 'SHA-256'],
      ['1.2.840.113549.1.1.12', 'SHA-384'],
      ['1.2.840.113549.1.1.13', 'SHA-512'],
    ] as const
  ).map(([oid, digest]) => [oid, { scheme: 'PKCS#1 v1.5', digest }] as const),
  ...(
    [
      ['1.2.840.10045.4.1', 'SHA-1'],
      ['1.2.840.10045.4.3.2', 'SHA-256'],
      ['1.2.840.10045.4.3.3', 'SHA-384'],
      ['1.2.840.10045.4.3.4', 'SHA-512'],
    ] as const
  ).map(([oid, digest]) => [oid, { scheme: 'ECDSA', digest }] as const),
  ['1.2.840.113549.1.1.10', { scheme: 'RSA-PSS', digest: undefined }],
])
