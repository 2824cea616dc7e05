/** Checks each certificate of a path by RFC 5280 section 6.1. */
import type { ChainProblem, ChainProblemCode, Link } from './chain-link.ts'
import { extensionOids } from './extensions.ts'
import { canonicalName } from './name-hash.ts'
import { formatSlashDn } from './name-text.ts'

const weakDigests: ReadonlySet<string | undefined> = new Set(['MD5', 'SHA-1'])

/**
 * Constraints that are not evaluated here. Chains with them are refused: ignoring them would extend what a CA may sign.
 */
const constraintOids = new Map([
  ['2.5.29.30', 'nameConstraints'],
  ['2.5.29.36', 'policyConstraints'],
  ['2.5.29.54', 'inhibitAnyPolicy'],
])

/** Supported extensions, which may therefore be critical. */
const understood = new Set<string>([
  extensionOids.basicConstraints,
  extensionOids.keyUsage,
  extensionOids.extKeyUsage,
  extensionOids.subjectKeyIdentifier,
  extensionOids.authorityKeyIdentifier,
  extensionOids.subjectAltName,
  // Without policy constraints every policy is acceptable.
  extensionOids.certificatePolicies,
  extensionOids.proxyCertInfo,
])

/** Returns all problems of the certificates of a path by RFC 5280, leaf first. */
export function certificateProblems(links: readonly Link[], now: Date): readonly ChainProblem[] {
  return links.flatMap((link, index) => {
    const problems: ChainProblem[] = []
    const name = formatSlashDn(link.certificate.subject)
    const fail = (code: ChainProblemCode, what: string): void => {
      problems.push({ code, certificateIndex: index, message: `${name} ${what}` })
    }
    checkValidity(link, now, fail)
    checkForm(link, fail)
    checkExtensions(link, fail)
    if (index > 0 && links[index - 1]?.isProxy === false) checkIssuer(links, index, fail)
    return problems
  })
}

type Fail = (code: ChainProblemCode, what: string) => void

function checkValidity({ certificate }: Link, now: Date, fail: Fail): void {
  const { notBefore, notAfter } = certificate.validity
  // Both ends are inclusive (section 4.1.2.5), and notAfter covers its whole second.
  if (now < notBefore) fail('not_yet_valid', `is not valid before ${notBefore.toISOString()}`)
  if (now.getTime() >= notAfter.getTime() + 1000)
    fail('expired', `expired at ${notAfter.toISOString()}`)
}

function checkForm({ certificate, facts }: Link, fail: Fail): void {
  if (weakDigests.has(facts.signature.digest))
    fail('weak_digest', `is signed with ${facts.signature.digest}`)
  if (certificate.version !== 3) fail('bad_version', `is of version ${certificate.version}, not 3`)
  if (facts.unreadable.length > 0)
    fail('malformed_extension', `has an unreadable ${facts.unreadable.join(', ')}`)
  if (facts.duplicates.length > 0)
    fail('duplicate_extension', `has an extension twice: ${facts.duplicates.join(', ')}`)
}

function checkExtensions({ certificate }: Link, fail: Fail): void {
  const unknown = certificate.extensions
    .filter(({ oid, critical }) => critical && !understood.has(oid) && !constraintOids.has(oid))
    .map(({ oid }) => oid)
  if (unknown.length > 0)
    fail('unknown_critical_extension', `has an unknown critical extension: ${unknown.join(', ')}`)
  const constraints = certificate.extensions.flatMap(({ oid }) => constraintOids.get(oid) ?? [])
  if (constraints.length > 0)
    fail('constraints_not_evaluated', `has ${constraints.join(', ')}, not evaluated here`)
}

/** Checks a certificate that signed one which is not a proxy. */
function checkIssuer(links: readonly Link[], index: number, fail: Fail): void {
  const facts = links[index]?.facts
  if (facts === undefined) return
  if (!facts.authority) fail('not_a_ca', 'signed a certificate but is not a CA')
  if (facts.keyUsage && !facts.keyUsage.includes('keyCertSign'))
    fail('no_key_cert_sign', 'signed a certificate but must not (keyUsage lacks keyCertSign)')
  // Section 6.1.4 (l): self-issued certificates do not count; nor do proxies (RFC 3820 section 4.1), nor the EEC
  // itself.
  const below = links.slice(firstNonProxy(links) + 1, index)
  const counted = below.filter((link) => !isSelfIssued(link)).length
  if (facts.pathLength !== undefined && counted > facts.pathLength)
    fail('path_length', `allows ${facts.pathLength} CAs below it but has ${counted}`)
}

function firstNonProxy(links: readonly Link[]): number {
  return links.findIndex(({ isProxy }) => !isProxy)
}

function isSelfIssued({ certificate }: Link): boolean {
  return canonicalName(certificate.subjectNode).equals(canonicalName(certificate.issuerNode))
}
