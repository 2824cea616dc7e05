/** Checks the proxies of a path and their issuers by RFC 3820. */
import type { ChainProblem, ChainProblemCode, Link } from './chain-link.ts'
import { extensionOids } from './extensions.ts'
import { type DistinguishedName, lastCommonName, sameName } from './name.ts'
import { formatSlashDn } from './name-text.ts'

const alternativeNames = new Set<string>([extensionOids.subjectAltName, '2.5.29.18'])

/** Returns all problems of the proxies of a path, leaf first. */
export function proxyProblems(
  links: readonly Link[],
  allowProxies: boolean,
): readonly ChainProblem[] {
  return links.flatMap((link, index) => {
    if (!link.isProxy) return []
    const problems: ChainProblem[] = []
    const name = formatSlashDn(link.certificate.subject)
    const fail = (code: ChainProblemCode, what: string): void => {
      problems.push({ code, certificateIndex: index, message: `the proxy ${name} ${what}` })
    }
    if (!allowProxies) fail('proxy_not_allowed', 'is where no proxy is allowed')
    checkProxyCertInfo(link, fail)
    checkProfile(link, fail)
    checkProxyIssuer(link, links[index + 1], fail)
    checkPathLength(links, index, fail)
    return problems
  })
}

type Fail = (code: ChainProblemCode, what: string) => void

function checkProxyCertInfo({ facts: { proxyCertInfo } }: Link, fail: Fail): void {
  // An unreadable one is reported as a malformed extension.
  if (proxyCertInfo === undefined) return
  if (!proxyCertInfo.critical)
    fail('proxy_cert_info_not_critical', 'has a ProxyCertInfo that is not critical (section 3.8)')
  if (proxyCertInfo.type === 'other')
    fail('proxy_policy_unknown', 'has a policy language that is not known here (section 3.8.2)')
  else if (proxyCertInfo.hasPolicy)
    fail(
      'proxy_policy_not_absent',
      'has a policy, which its language does not allow (section 3.8.2)',
    )
}

function checkProfile({ certificate, facts }: Link, fail: Fail): void {
  if (!isOneCommonNameLonger(certificate.subject, certificate.issuer))
    fail('proxy_subject', "has a subject that is not its issuer's plus one CN (section 3.4)")
  const usage = facts.keyUsage
  if (usage && (usage.includes('keyCertSign') || usage.includes('nonRepudiation')))
    fail('proxy_key_usage', 'has keyUsage keyCertSign or nonRepudiation (section 3.6)')
  if (usage && !usage.includes('digitalSignature'))
    fail('proxy_key_usage', 'lacks keyUsage digitalSignature (section 3.6)')
  if (certificate.extensions.some(({ oid }) => alternativeNames.has(oid)))
    fail('proxy_alternative_name', 'has an alternative name (sections 3.2 and 3.5)')
  if (facts.authority) fail('proxy_is_ca', 'is a CA (section 3.7)')
}

/** Whether the name is the issuer's, which must not be empty, with one more RDN that is a single CN. */
export function isOneCommonNameLonger(name: DistinguishedName, issuer: DistinguishedName): boolean {
  return (
    issuer.length > 0 &&
    name.length === issuer.length + 1 &&
    lastCommonName(name) !== undefined &&
    sameName(name.slice(0, -1), issuer)
  )
}

function checkProxyIssuer({ facts }: Link, issuer: Link | undefined, fail: Fail): void {
  if (issuer === undefined) return
  if (!issuer.isProxy && issuer.facts.authority)
    fail('proxy_issuer_is_ca', 'was signed by a CA (section 3.1)')
  if (issuer.facts.keyUsage && !issuer.facts.keyUsage.includes('digitalSignature'))
    fail('proxy_issuer_key_usage', 'was signed by a key without digitalSignature (section 3.6)')
  const type = facts.proxyCertInfo?.type
  // A limited proxy must not delegate more than it has; an independent one has none of its issuer's rights.
  if (issuer.facts.proxyCertInfo?.type === 'limited' && type === 'impersonation')
    fail('limited_signs_full', 'was signed by a limited proxy but is not limited')
}

function checkPathLength(links: readonly Link[], index: number, fail: Fail): void {
  const allowed = links[index]?.facts.proxyCertInfo?.pathLength
  // Everything below a proxy is a proxy; other certificates there are reported as `not_a_ca`.
  if (allowed !== undefined && index > allowed)
    fail('proxy_path_length', `allows ${allowed} proxies below it but has ${index}`)
}
