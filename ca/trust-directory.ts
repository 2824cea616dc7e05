/** Reads a trust-anchor directory for the doctor: its files, and what a relying party finds by hash. */
import { type Certificate, readCertificate } from './certificate.ts'
import { type Crl, MAX_CRL_BYTES, readCrl } from './crl.ts'
import { CaError, malformed } from './errors.ts'
import { readNamespaces, type Namespaces } from './namespaces.ts'
import { readPem } from './pem.ts'
import { pemFaults, type PemFault, withCurrentLabels, withoutByteOrderMark } from './pem-lines.ts'
import { readSigningPolicy, type SigningPolicy } from './signing-policy.ts'

/** A file of a directory, or the target of a link. */
export interface DirectoryFile {
  readonly name: string
  /** Empty when there is a problem. */
  readonly content: Buffer
  /** Why the file cannot be read. */
  readonly problem?: string
}

/** A certificate or CRL in a file with a hash name. */
export interface HashedFile<Value> {
  readonly name: string
  /** The part before the dot. */
  readonly hash: string
  /** N of `HASH.N` or `HASH.rN`; NaN with a leading zero, which parties that count do not open. */
  readonly number: number
  readonly format: 'PEM' | 'DER'
  readonly value: Value
  /** Whether a block is a TRUSTED CERTIFICATE, which OpenSSL reads and XRootD does not. */
  readonly isTrustedForm: boolean
  /** Position among the objects of the file, from 0. */
  readonly position: number
  /** Lines for which relying parties do not read this file although `readPem` does. */
  readonly faults: readonly PemFault[]
}

/** A directory as relying parties see it. */
export interface TrustDirectory {
  /** All certificates of `HASH.0` and the like; a file with several has one entry for each, in order. */
  readonly certificates: readonly HashedFile<Certificate>[]
  /** The CRLs of `HASH.r0` and the like. */
  readonly crls: readonly HashedFile<Crl>[]
  /** By hash. */
  readonly signingPolicies: ReadonlyMap<string, SigningPolicy>
  /** By hash. */
  readonly namespaces: ReadonlyMap<string, Namespaces>
  /** Files that could not be read, with the reason. */
  readonly unreadable: readonly { readonly name: string; readonly reason: string }[]
}

const hashName = /^([0-9a-f]{8})\.(r?)(\d{1,3})$/
const policyName = /^([0-9a-f]{8})\.(signing_policy|namespaces)$/

/** Largest signing_policy or namespaces file. Those of the IGTF have at most a few kB. */
const MAX_POLICY_BYTES = 256 * 1024

/**
 * Reads the files with hash names of a trust-anchor directory; skips other files, which are the targets of links.
 * Lists files that cannot be read in `unreadable`.
 *
 * @see RFC 5280 section 7.1 (names are hashed in the form in which they are compared)
 * @example
 * const content = Buffer.from(toPem('CERTIFICATE', authority.certificate.der))
 * const { certificates } = readTrustAnchors([{ name: '0a1b2c3d.0', content }])
 * certificates[0].format // => 'PEM'
 */
export function readTrustAnchors(files: readonly DirectoryFile[]): TrustDirectory {
  const certificates: HashedFile<Certificate>[] = []
  const crls: HashedFile<Crl>[] = []
  const signingPolicies = new Map<string, SigningPolicy>()
  const namespaces = new Map<string, Namespaces>()
  const unreadable: { name: string; reason: string }[] = []
  for (const { name, content, problem } of files) {
    const [, hash = '', revocation, digits] = hashName.exec(name) ?? []
    const [, policyHash = '', kind] = policyName.exec(name) ?? []
    const place = { name, hash, number: numberOf(digits) }
    if (problem !== undefined) {
      unreadable.push({ name, reason: problem })
      continue
    }
    try {
      if (revocation === '') certificates.push(...readObjects(place, content, certificate))
      else if (revocation === 'r') crls.push(...readObjects(place, content, revocationList))
      else if (kind !== undefined && content.length > MAX_POLICY_BYTES)
        unreadable.push({ name, reason: `it is larger than ${MAX_POLICY_BYTES / 1024} KiB` })
      else if (kind === 'signing_policy')
        signingPolicies.set(policyHash, readSigningPolicy(content.toString('latin1')))
      else if (kind === 'namespaces')
        namespaces.set(policyHash, readNamespaces(content.toString('latin1')))
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      unreadable.push({ name, reason: error.message })
    }
  }
  return { certificates, crls, signingPolicies, namespaces, unreadable }
}

const numberOf = (digits = ''): number => (/^0\d/.test(digits) ? Number.NaN : Number(digits))

interface ObjectKind<Value> {
  readonly label: string
  readonly read: (der: Buffer) => Value
}
const certificate = { label: 'CERTIFICATE', read: readCertificate }
const revocationList = { label: 'X509 CRL', read: readCrl }
/** As text a CRL of `MAX_CRL_BYTES` is a third longer. */
const MAX_PEM_LENGTH = Math.ceil(1.4 * MAX_CRL_BYTES)

function readObjects<Value>(
  place: { readonly name: string; readonly hash: string; readonly number: number },
  content: Buffer,
  { label, read }: ObjectKind<Value>,
): readonly HashedFile<Value>[] {
  if (content[0] === 0x30)
    return [
      {
        ...place,
        isTrustedForm: false,
        position: 0,
        format: 'DER',
        value: read(content),
        faults: [],
      },
    ]
  const original = content.toString('latin1')
  const text = withCurrentLabels(withoutByteOrderMark(original))
  const blocks = readPem(text, label, MAX_PEM_LENGTH).filter((one) => one.label === label)
  if (blocks.length === 0) throw malformed(label, 'the file contains none', { reason: 'missing' })
  const faults = pemFaults(original)
  const isTrustedForm = original.includes('-----BEGIN TRUSTED CERTIFICATE-----')
  return blocks.map(({ der }, position) => ({
    ...place,
    isTrustedForm,
    position,
    format: 'PEM',
    value: read(der),
    faults,
  }))
}
