/** Finds files of a trust directory as relying parties find them: by the hash of a name, and a number. */
import type { Asn1Node } from '../asn1.ts'
import type { Certificate } from '../certificate.ts'
import type { Crl } from '../crl.ts'
import { canonicalName, subjectHash, subjectHashOld } from '../name-hash.ts'
import type { PemFault } from '../pem-lines.ts'
import type { HashedFile, TrustDirectory } from '../trust-directory.ts'

export const sameNode = (one: Asn1Node, other: Asn1Node): boolean =>
  canonicalName(one).equals(canonicalName(other))

/**
 * Returns what OpenSSL reads under a hash: it opens number 0, 1 and so on, and stops at the first number that is
 * missing and at the first file that it cannot read.
 */
function readableInOrder<Value>(
  files: readonly HashedFile<Value>[],
  hash: string,
): readonly HashedFile<Value>[] {
  const found: HashedFile<Value>[] = []
  for (let number = 0; ; number += 1) {
    const same = files.filter((file) => file.hash === hash && file.number === number)
    if (same.length === 0 || same.some(isUnreadableToOpenssl)) return found
    found.push(...same)
  }
}

const javaOnly = new Set<PemFault['kind']>(['trailing_space', 'byte_order_mark'])
const opensslOnly = new Set<PemFault['kind']>(['blank_line', 'carriage_returns'])

/** The first line for which OpenSSL does not read a file. */
export function opensslFault(file: { readonly faults: readonly PemFault[] }): PemFault | undefined {
  return file.faults.find(({ kind }) => !javaOnly.has(kind))
}

/** The first line for which Java does not read a file. */
export function javaFault(file: { readonly faults: readonly PemFault[] }): PemFault | undefined {
  return file.faults.find(({ kind }) => !opensslOnly.has(kind))
}

function isUnreadableToOpenssl(file: HashedFile<unknown>): boolean {
  return file.format === 'DER' || opensslFault(file) !== undefined
}

/**
 * Returns the certificates of a name that OpenSSL finds, those of files that it reads for other names included, for
 * instance a root behind its intermediate.
 */
export function certificatesByHash(
  { certificates }: TrustDirectory,
  names: readonly Asn1Node[],
): readonly HashedFile<Certificate>[] {
  return names.flatMap((name) => readableInOrder(certificates, subjectHash(name)))
}

/** Returns the CRLs of a CA that OpenSSL and Globus find. */
export function crlsByHash({ crls }: TrustDirectory, name: Asn1Node): readonly HashedFile<Crl>[] {
  return readableInOrder(crls, subjectHash(name))
}

/** Returns the CA certificates of a name anywhere in the directory, under whatever file name. */
export function certificatesOfName(
  { certificates }: TrustDirectory,
  name: Asn1Node,
): readonly HashedFile<Certificate>[] {
  return certificates.filter(({ value }) => sameNode(value.subjectNode, name))
}

/** Whether Java finds a CA: it reads the first certificate of each number of one hash, and fails at a broken file. */
export function javaFinds(trust: TrustDirectory, name: Asn1Node, hash: string): boolean {
  const { certificates, unreadable } = trust
  if (unreadable.some((file) => new RegExp(`^${hash}\\.\\d+$`).test(file.name))) return false
  return certificates.some(
    (file) =>
      file.hash === hash &&
      file.format === 'PEM' &&
      file.position === 0 &&
      javaFault(file) === undefined &&
      sameNode(file.value.subjectNode, name),
  )
}

/**
 * Returns the certificate that XRootD reads over root:// for a CA: number 0 of either hash, which must have only one
 * certificate.
 */
export function findForXrootd(
  { certificates }: TrustDirectory,
  name: Asn1Node,
): Certificate | undefined {
  return [subjectHash(name), subjectHashOld(name)]
    .map((hash) => certificates.filter((file) => file.hash === hash && file.number === 0))
    .flatMap((files) => {
      const [file] = files
      const isUsable =
        file !== undefined &&
        files.length === 1 &&
        !file.isTrustedForm &&
        !isUnreadableToOpenssl(file)
      return isUsable && sameNode(file.value.subjectNode, name) ? [file.value] : []
    })[0]
}
