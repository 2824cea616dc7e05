/**
 * Chains for tests, good by default; any part of any certificate can be made bad. Signs what it is told, unlike the
 * library, which refuses to.
 */
import { createHash, createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import {
  type Asn1Node,
  bitString,
  encode,
  explicit,
  integer,
  nullValue,
  oid,
  sequence,
  smallInteger,
  time,
} from '../../ca/asn1.ts'
import { bitStringBytes, childrenOf, decode } from '../../ca/asn1-read.ts'
import type { Authority } from '../../ca/authority.ts'
import { type Certificate, readCertificate } from '../../ca/certificate.ts'
import {
  authorityKeyIdentifier,
  basicConstraints,
  clientAuthentication,
  extensionsField,
  keyUsage,
  proxyCertInfo,
  subjectKeyIdentifier,
} from '../../ca/extensions.ts'
import { createSigner } from '../../ca/key.ts'
import { type DistinguishedName, nameNode, withCommonName } from '../../ca/name.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { formatProxyFile } from '../../ca/proxy-file.ts'

/** The instant of all tests that do not run a tool with a clock of its own. */
export const NOW = new Date('2026-11-23T12:00:00.000Z')

export type TestKeyKind = 'rsa-512' | 'rsa-1024' | 'rsa-2048' | 'rsa-3072' | 'ec-p256' | 'ec-p384'
export type TestSignature = 'sha256' | 'sha1' | 'md5' | 'pss'

/** What shall differ from a good certificate. */
export interface Plan {
  readonly key?: TestKeyKind
  /** The private key itself, for instance one that is used twice. */
  readonly privateKey?: KeyObject
  readonly subject?: DistinguishedName
  readonly issuer?: DistinguishedName
  /** Seconds from now. */
  readonly begins?: number
  readonly ends?: number
  readonly serial?: Buffer
  readonly version?: number
  readonly signature?: TestSignature
  readonly brokenSignature?: boolean
  /** By name; undefined leaves one out, others are added. */
  readonly extensions?: Readonly<Record<string, Asn1Node | undefined>>
}

export interface ChainPlan {
  readonly now?: Date
  readonly authority?: Plan
  /** None when undefined. */
  readonly intermediate?: Plan
  readonly endEntity?: Plan
  /** The first one stands on the EEC; one good one when undefined. */
  readonly proxies?: readonly Plan[]
}

export interface Built {
  readonly certificate: Certificate
  readonly privateKey: KeyObject
}

export interface BuiltChain {
  readonly authority: Built
  readonly intermediate: Built | undefined
  readonly endEntity: Built
  readonly proxies: readonly Built[]
  /** Leaf first, without the root. */
  readonly certificates: readonly Certificate[]
  /** Root, and intermediate when there is one. */
  readonly anchors: readonly Certificate[]
  /** The proxy file. */
  readonly text: string
}

export const baseName = parseSlashDn('/C=EU/O=INDIGO/OU=TTS')
export const authorityName = withCommonName(baseName, 'TTS-CA')
export const intermediateName = withCommonName(baseName, 'TTS-Issuing-CA')
export const userName = withCommonName(
  baseName,
  '9E499E0E-CE25-485B-9353-D19726FD287A@indigo-iam-test',
)

const generate = promisify(generateKeyPair)
const keys = new Map<string, Promise<KeyObject>>()

/** One key for each role and kind, made once per test file. */
export function testKey(role: string, kind: TestKeyKind = 'rsa-2048'): Promise<KeyObject> {
  const name = `${role} ${kind}`
  const known = keys.get(name)
  if (known) return known
  const [family, size] = kind.split('-')
  const made =
    family === 'rsa'
      ? generate('rsa', { modulusLength: Number(size) })
      : generate('ec', { namedCurve: size === 'p256' ? 'P-256' : 'P-384' })
  const key = made.then(({ privateKey }) => privateKey)
  keys.set(name, key)
  return key
}

/** Builds a whole chain: CA, EEC and one proxy, all good, but for what the plan says. */
export async function buildChain(plan: ChainPlan = {}): Promise<BuiltChain> {
  const now = plan.now ?? NOW
  const authority = await build('authority', { now, plan: plan.authority ?? {} })
  const intermediate =
    plan.intermediate &&
    (await build('intermediate', { now, plan: plan.intermediate, above: authority }))
  const issuing = intermediate ?? authority
  const endEntity = await build('endEntity', { now, plan: plan.endEntity ?? {}, above: issuing })
  const proxies: Built[] = []
  for (const [depth, proxy] of (plan.proxies ?? [{}]).entries()) {
    proxies.push(
      await build('proxy', { now, plan: proxy, above: proxies.at(-1) ?? endEntity, depth }),
    )
  }
  const certificates = [...proxies.toReversed(), endEntity, ...(intermediate ? [intermediate] : [])]
  const [leaf = endEntity, ...rest] = certificates
  return {
    authority,
    intermediate,
    endEntity,
    proxies,
    certificates: certificates.map(({ certificate }) => certificate),
    anchors: [authority, ...(intermediate ? [intermediate] : [])].map(
      ({ certificate }) => certificate,
    ),
    text: formatProxyFile(
      leaf.certificate.der,
      leaf.privateKey,
      rest.map(({ certificate }) => certificate.der),
    ),
  }
}

/** The CA of a built chain as the library opens it. */
export function asAuthority(built: Built, chain: readonly Certificate[] = []): Authority {
  return { certificate: built.certificate, chain, signer: createSigner(built.privateKey) }
}

type Role = 'authority' | 'intermediate' | 'endEntity' | 'proxy'

interface BuildRequest {
  readonly now: Date
  readonly plan: Plan
  readonly above?: Built
  readonly depth?: number
}

const DAY = 86_400
const lifetimes: Readonly<Record<Role, number>> = {
  authority: 7300 * DAY,
  intermediate: 3650 * DAY,
  endEntity: 11 * DAY,
  proxy: 4 * DAY,
}

async function build(role: Role, { now, plan, above, depth = 0 }: BuildRequest): Promise<Built> {
  const privateKey = plan.privateKey ?? (await testKey(`${role}${depth}`, plan.key))
  const parent = above?.certificate
  const serial = plan.serial ?? Buffer.from([0x40 + depth, ...Buffer.from(role).subarray(0, 6)])
  const subject = plan.subject ?? defaultSubject(role, parent, serial)
  const signingKey = above?.privateKey ?? privateKey
  const at = (seconds: number): Date => new Date(now.getTime() + seconds * 1000)
  const extensions: Readonly<Record<string, Asn1Node | undefined>> = {
    ...defaultExtensions(role, keyId(privateKey), keyId(signingKey)),
    ...plan.extensions,
  }
  const issuer = plan.issuer ? nameNode(plan.issuer) : (parent?.subjectNode ?? nameNode(subject))
  const algorithm = signatureNode(plan.signature ?? 'sha256', signingKey)
  const listed = Object.values(extensions).filter((node) => node !== undefined)
  const tbs = sequence(
    plan.version === 1 ? undefined : explicit(0, smallInteger((plan.version ?? 3) - 1)),
    integer(serial),
    algorithm,
    issuer,
    sequence(time(at(plan.begins ?? -300)), time(at(plan.ends ?? lifetimes[role]))),
    nameNode(subject),
    publicKeyInfo(privateKey),
    listed.length > 0 ? extensionsField(listed) : undefined,
  )
  const signature = signBytes(encode(tbs), plan.signature ?? 'sha256', signingKey)
  if (plan.brokenSignature) signature[20] = (signature[20] ?? 0) ^ 1
  const der = encode(sequence(tbs, algorithm, bitString(signature)))
  return { certificate: readCertificate(der), privateKey }
}

function defaultSubject(
  role: Role,
  parent: Certificate | undefined,
  serial: Buffer,
): DistinguishedName {
  if (role === 'authority') return authorityName
  if (role === 'intermediate') return intermediateName
  if (role === 'endEntity') return userName
  return withCommonName(parent?.subject ?? [], BigInt(`0x${serial.toString('hex')}`).toString())
}

function defaultExtensions(
  role: Role,
  ownKeyId: Buffer,
  issuerKeyId: Buffer,
): Record<string, Asn1Node> {
  const authorityKey = { authorityKeyIdentifier: authorityKeyIdentifier(issuerKeyId) }
  if (role === 'proxy')
    return {
      keyUsage: keyUsage(['digitalSignature', 'keyEncipherment']),
      proxyCertInfo: proxyCertInfo('impersonation', undefined),
      ...authorityKey,
    }
  const subjectKey = { subjectKeyIdentifier: subjectKeyIdentifier(ownKeyId) }
  if (role === 'endEntity')
    return {
      basicConstraints: basicConstraints(),
      keyUsage: keyUsage(['digitalSignature', 'keyEncipherment']),
      extKeyUsage: clientAuthentication(),
      ...subjectKey,
      ...authorityKey,
    }
  return {
    basicConstraints: basicConstraints({ pathLength: role === 'authority' ? undefined : 0 }),
    keyUsage: keyUsage(['keyCertSign', 'cRLSign']),
    ...subjectKey,
    ...authorityKey,
  }
}

function publicKeyInfo(privateKey: KeyObject): Asn1Node {
  return decode(createPublicKey(privateKey).export({ type: 'spki', format: 'der' }), 'key')
}

/** SHA-1 of the key's bits, as key identifiers are made. */
export function keyId(privateKey: KeyObject): Buffer {
  const [, bits] = childrenOf(publicKeyInfo(privateKey), 'key')
  return createHash('sha1').update(bitStringBytes(bits, 'key')).digest()
}

const rsaOids = {
  sha256: '1.2.840.113549.1.1.11',
  sha1: '1.2.840.113549.1.1.5',
  md5: '1.2.840.113549.1.1.4',
} as const

function signatureNode(signature: TestSignature, key: KeyObject): Asn1Node {
  if (key.asymmetricKeyType === 'ec') return sequence(oid('1.2.840.10045.4.3.2'))
  if (signature !== 'pss') return sequence(oid(rsaOids[signature]), nullValue())
  const sha256 = sequence(oid('2.16.840.1.101.3.4.2.1'), nullValue())
  const mask = sequence(oid('1.2.840.113549.1.1.8'), sha256)
  return sequence(
    oid('1.2.840.113549.1.1.10'),
    sequence(explicit(0, sha256), explicit(1, mask), explicit(2, smallInteger(32))),
  )
}

function signBytes(data: Buffer, signature: TestSignature, key: KeyObject): Buffer {
  if (signature === 'pss') return sign('sha256', data, { key, padding: 6, saltLength: 32 })
  return sign(key.asymmetricKeyType === 'ec' ? 'sha256' : signature, data, key)
}
