/** Builds the path from a leaf to a trusted root and verifies each signature. */
import type { Certificate } from './certificate.ts'
import { MAX_CHAIN_LENGTH, type ChainProblem } from './chain-link.ts'
import { CaError } from './errors.ts'
import { readPublicKey } from './public-key.ts'
import { canonicalName } from './name-hash.ts'
import { formatSlashDn } from './name-text.ts'
import { verifyIssued } from './signature.ts'

/** Number of issuers with the same name that are tried: a CA may have changed its key a few times. */
const MAX_SAME_NAME = 4

/** Returns the path as far as it can be built, leaf first, and its problems. */
export function buildPath(
  certificates: readonly Certificate[],
  anchors: readonly Certificate[],
): { readonly path: readonly Certificate[]; readonly problems: readonly ChainProblem[] } {
  const [leaf] = certificates
  if (leaf === undefined) {
    const message = 'there is no certificate'
    return { path: [], problems: [{ code: 'empty_chain', certificateIndex: 0, message }] }
  }
  const path = [leaf]
  const problems: ChainProblem[] = []
  const judgeKey = keyJudge()
  for (let current = leaf; ;) {
    const certificateIndex = path.length - 1
    const fail = (code: ChainProblem['code'], message: string): void => {
      problems.push({ code, certificateIndex, message })
    }
    const weakness = judgeKey(current)
    if (weakness !== undefined) fail('weak_key', `the key of ${nameOf(current)}: ${weakness}`)
    const found = findIssuer(current, [...anchors, ...certificates], judgeKey)
    if (found?.verified === false) {
      fail('bad_signature', `the signature of ${nameOf(current)} is not that of its issuer's key`)
    }
    if (found === undefined || sameCertificate(found.issuer, current)) {
      if (found === undefined || !anchors.some((anchor) => sameCertificate(anchor, current))) {
        fail('untrusted', untrustedMessage(current, found !== undefined))
      }
      return { path, problems }
    }
    if (
      path.length === MAX_CHAIN_LENGTH ||
      path.some((seen) => sameCertificate(seen, found.issuer))
    ) {
      fail(
        'chain_too_long',
        `the chain is circular or has more than ${MAX_CHAIN_LENGTH} certificates`,
      )
      return { path, problems }
    }
    path.push(found.issuer)
    current = found.issuer
  }
}

function untrustedMessage(current: Certificate, selfIssued: boolean): string {
  return selfIssued
    ? `${nameOf(current)} is self-signed and not among the trust anchors`
    : `no trust anchor is named ${formatSlashDn(current.issuer)}, the issuer of ${nameOf(current)}`
}

const nameOf = (certificate: Certificate): string => formatSlashDn(certificate.subject)

const sameCertificate = (left: Certificate, right: Certificate): boolean =>
  left === right || left.der.equals(right.der)

type KeyJudge = (certificate: Certificate) => string | undefined

/** Returns a function that says why the key policy refuses a key; it checks each certificate once. */
function keyJudge(): KeyJudge {
  const known = new Map<Certificate, string | undefined>()
  return (certificate) => {
    if (!known.has(certificate)) known.set(certificate, keyWeakness(certificate))
    return known.get(certificate)
  }
}

function keyWeakness(certificate: Certificate): string | undefined {
  try {
    readPublicKey(certificate.publicKeyInfo)
    return undefined
  } catch (error) {
    if (error instanceof CaError) return error.message
    throw error
  }
}

/**
 * Finds the issuer by name and prefers one whose key verifies the signature. A key that the policy refuses is not
 * used, so that its size cannot cost much; the chain is refused because of it anyway (`verified` is then undefined).
 */
function findIssuer(
  certificate: Certificate,
  candidates: readonly Certificate[],
  judgeKey: KeyJudge,
): { readonly issuer: Certificate; readonly verified: boolean | undefined } | undefined {
  const issuerName = canonicalName(certificate.issuerNode)
  const named = candidates
    .filter(({ subjectNode }) => canonicalName(subjectNode).equals(issuerName))
    .slice(0, MAX_SAME_NAME)
  const tried = named.map((issuer) => ({
    issuer,
    verified: judgeKey(issuer) === undefined ? verifyIssued(certificate, issuer) : undefined,
  }))
  return tried.find(({ verified }) => verified) ?? tried[0]
}
