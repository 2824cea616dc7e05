/** Reads a trust-anchor directory for the doctor: its files, and what a relying party finds by hash. */
import { type Certificate, readCertificate } from './certificate.ts'
import { type Crl, MAX_CRL_BYTES, readCrl } from './crl.ts'
import { CaError, malformed } from './errors.ts'
import { readPem } from './pem.ts'
import { readSigningPolicy, type SigningPolicy } from './signing-policy.ts'

/** A file of a directory, or the target of a link. */
export interface DirectoryFile {
  readonly name: string
  readonly content: Buffer
}

/** A certificate or CRL under a hash name. */
export interface HashedFile<Value> {
  readonly name: string
  /** The part before the dot. */
  readonly hash: string
  readonly format: 'PEM' | 'DER'
  readonly value: Value
}

/** A directory as relying parties see it. */
export interface TrustDirectory {
  /** `HASH.0` and the like. */
  readonly certificates: readonly HashedFile<Certificate>[]
  /** `HASH.r0` and the like. */
  readonly crls: readonly HashedFile<Crl>[]
  /** By hash. */
  readonly signingPolicies: ReadonlyMap<string, SigningPolicy>
  /** Hashes with a namespaces file. */
  readonly namespaces: ReadonlySet<string>
  /** Files that could not be read, with the reason. */
  readonly unreadable: readonly { readonly name: string; readonly reason: string }[]
}

const hashName = /^([0-9a-f]{8})\.(r?)\d{1,3}$/
const policyName = /^([0-9a-f]{8})\.(signing_policy|namespaces)$/

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
  const namespaces = new Set<string>()
  const unreadable: { name: string; reason: string }[] = []
  for (const { name, content } of files) {
    const [, hash = '', revocation] = hashName.exec(name) ?? []
    const [, policyHash = '', kind] = policyName.exec(name) ?? []
    try {
      if (revocation === '') certificates.push({ name, hash, ...readObject(content, certificate) })
      else if (revocation === 'r') crls.push({ name, hash, ...readObject(content, revocationList) })
      else if (kind === 'signing_policy')
        signingPolicies.set(policyHash, readSigningPolicy(content.toString('latin1')))
      else if (kind === 'namespaces') namespaces.add(policyHash)
    } catch (error) {
      if (!(error instanceof CaError)) throw error
      unreadable.push({ name, reason: error.message })
    }
  }
  return { certificates, crls, signingPolicies, namespaces, unreadable }
}

const certificate = { label: 'CERTIFICATE', read: readCertificate }
const revocationList = { label: 'X509 CRL', read: readCrl }
/** As text a CRL of `MAX_CRL_BYTES` is a third longer. */
const MAX_PEM_LENGTH = Math.ceil(1.4 * MAX_CRL_BYTES)

function readObject<Value>(
  content: Buffer,
  { label, read }: { readonly label: string; readonly read: (der: Buffer) => Value },
): { readonly format: 'PEM' | 'DER'; readonly value: Value } {
  if (content[0] === 0x30) return { format: 'DER', value: read(content) }
  const [block] = readPem(content.toString('latin1'), label, MAX_PEM_LENGTH).filter(
    (one) => one.label === label,
  )
  if (block === undefined) throw malformed(label, 'the file contains none', { reason: 'missing' })
  return { format: 'PEM', value: read(block.der) }
}
