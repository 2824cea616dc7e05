/** Looks up every certificate of a path, except proxies, in the CRL of its issuer (RFC 5280 section 6.3). */
import { verify } from 'node:crypto'
import type { Certificate } from './certificate.ts'
import type { ChainProblem, ChainProblemCode, Link } from './chain-link.ts'
import type { Crl, CrlOutline } from './crl.ts'
import { CaError } from './errors.ts'
import { readPublicKey } from './public-key.ts'
import { sameName } from './name.ts'
import { formatSlashDn } from './name-text.ts'

/** Hashes of the signature algorithms that a CRL may have. */
const crlHashes = new Map([
  ['1.2.840.113549.1.1.11', 'sha256'],
  ['1.2.840.113549.1.1.12', 'sha384'],
  ['1.2.840.113549.1.1.13', 'sha512'],
  ['1.2.840.10045.4.3.2', 'sha256'],
  ['1.2.840.10045.4.3.3', 'sha384'],
  ['1.2.840.10045.4.3.4', 'sha512'],
])

/** Returns the problems that the CRLs show, leaf first. Proxies are not in CRLs: revoking the EEC revokes them. */
export function revocationProblems(
  links: readonly Link[],
  crls: readonly Crl[],
  now: Date,
): readonly ChainProblem[] {
  return links.flatMap((link, index) => {
    // The root is also looked up, in its own CRL, as `openssl verify -crl_check_all` does.
    const issuer = links[index + 1] ?? link
    if (link.isProxy) return []
    const problems: ChainProblem[] = []
    const fail = (code: ChainProblemCode, message: string): void => {
      problems.push({ code, certificateIndex: index, message })
    }
    const crl = bestCrl(crls, issuer.certificate)
    if (crl === undefined) fail('crl_missing', `the CRL of ${nameOf(issuer)} is missing`)
    else {
      checkCrl(crl, { issuer, now }, fail)
      if (crl.revoked.has(link.certificate.serial))
        fail('revoked', `${nameOf(link)} is revoked by the CRL of its issuer`)
    }
    return problems
  })
}

const nameOf = ({ certificate }: Link): string => formatSlashDn(certificate.subject)

/** Returns the newest CRL of an issuer that its key verifies; if there is none, the newest. */
function bestCrl(crls: readonly Crl[], issuer: Certificate): Crl | undefined {
  const named = crls
    .filter((crl) => sameName(crl.issuer, issuer.subject))
    .sort((left, right) => right.thisUpdate.getTime() - left.thisUpdate.getTime())
  return named.length > 1 ? (named.find((crl) => verifyCrl(crl, issuer)) ?? named[0]) : named[0]
}

type Fail = (code: ChainProblemCode, message: string) => void

function checkCrl(
  crl: Crl,
  { issuer, now }: { readonly issuer: Link; readonly now: Date },
  fail: Fail,
): void {
  const name = `the CRL of ${nameOf(issuer)}`
  if (!verifyCrl(crl, issuer.certificate))
    fail('crl_bad_signature', `${name} is not signed by its key`)
  if (issuer.facts.keyUsage && !issuer.facts.keyUsage.includes('cRLSign'))
    fail('crl_issuer_key_usage', `${nameOf(issuer)} may not sign CRLs (keyUsage lacks cRLSign)`)
  if (crl.thisUpdate > now)
    fail('crl_not_yet_valid', `${name} is not valid before ${crl.thisUpdate.toISOString()}`)
  if (crl.nextUpdate === undefined || crl.nextUpdate <= now)
    fail('crl_expired', `${name} expired at ${crl.nextUpdate?.toISOString() ?? 'an unknown time'}`)
  if (crl.criticalExtensions.length > 0)
    fail('crl_unknown_critical_extension', `${name} has a critical extension that is not known`)
}

/** Whether the CA's key signed the CRL; false for a key that the key policy refuses. */
export function verifyCrl(crl: CrlOutline, issuer: Certificate): boolean {
  const hash = crlHashes.get(crl.signatureAlgorithm)
  if (hash === undefined) return false
  try {
    return verify(hash, crl.tbs, readPublicKey(issuer.publicKeyInfo).key, crl.signature)
  } catch (error) {
    if (error instanceof CaError) return false
    throw error
  }
}
