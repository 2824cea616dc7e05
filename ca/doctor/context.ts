/** The input of the doctor's rules: proxy file and trust directory, with the role of each certificate. */
import type { Asn1Node } from '../asn1.ts'
import { isOneCommonNameLonger } from '../chain-proxy.ts'
import type { Certificate } from '../certificate.ts'
import { type Link, readLink } from '../chain-link.ts'
import { formatSlashDn } from '../name-text.ts'
import type { ProxyFile } from '../proxy-file.ts'
import { proxyKind } from '../proxy-info.ts'
import type { TrustDirectory } from '../trust-directory.ts'
import type { RelyingParty } from './relying-parties.ts'
import { isSignedBy } from './signatures.ts'
import { certificatesByHash, certificatesOfName, sameNode } from './trust-lookup.ts'

/** Permissions and owner of the proxy file, and its text. */
export interface FileFacts {
  /** Permission bits, for instance 0o600. */
  readonly mode: number
  readonly ownerUid: number
  /** Numeric id of the user who would read it. */
  readonly uid: number
  readonly text: string
}

export interface Examination {
  readonly proxyFile: ProxyFile
  /** Undefined: rules about the file on disk are skipped. */
  readonly fileFacts?: FileFacts
  /** Undefined: rules about trust anchors and CRLs are skipped. */
  readonly trustAnchors?: TrustDirectory
  readonly now: Date
}

export interface DoctorContext extends Examination {
  /** All certificates in file order. */
  readonly links: readonly Link[]
  /** All proxies, of any kind, in file order. */
  readonly proxies: readonly Link[]
  /**
   * The certificate that the private key is for: the proxy furthest from the EEC, or the EEC when there is no proxy.
   */
  readonly leaf: Link
  /** Undefined when it is not in the file. */
  readonly endEntity: Link | undefined
  /** CAs above the EEC, nearest first, as far as they were found in the trust directory or in the file. */
  readonly authorities: readonly Link[]
  /** Leaf first: the proxies that lead to the EEC, the EEC and its CAs, however many. */
  readonly chain: readonly Link[]
}

/** One problem that a rule finds. */
export interface Problem {
  readonly sentence: string
  /** If not those of the rule. */
  readonly relyingParties?: readonly RelyingParty[]
  /** If not that of the rule. */
  readonly severity?: 'refuses' | 'warns'
  /** If not that of the rule. */
  readonly remedy?: string
}

/** One rule. To add a rule, add an object to the table of its topic. */
export interface DoctorRule {
  /** Topic and what is wrong. */
  readonly id: string
  readonly severity: 'refuses' | 'warns'
  readonly relyingParties: readonly RelyingParty[]
  /** Returns the problems, mostly one sentence each; empty when there are none. */
  check(context: DoctorContext): readonly (string | Problem)[]
  /** What to do, a full sentence. */
  readonly remedy: string
}

/** Finds the role of every certificate of a file, in whatever order they are. */
export function buildContext(examination: Examination): DoctorContext {
  const links = examination.proxyFile.certificates.map(readLink)
  const proxies = links.filter((link) => isProxyOf(links, link))
  // The leaf is the proxy that did not issue another one; it may be further down in files that begin with the EEC.
  const leaf = proxies.find((link) => !proxies.some((other) => issued(link, other))) ?? links[0]
  if (leaf === undefined) throw new TypeError('a proxy file has a certificate')
  const endEntity = findEndEntity(links, proxies)
  const others = links.filter((link) => !proxies.includes(link) && link !== endEntity)
  const authorities = findAuthorities(endEntity, { examination, others })
  return {
    ...examination,
    links,
    proxies,
    leaf,
    endEntity,
    authorities,
    chain: [
      ...findProxyPath(leaf, proxies),
      ...(endEntity && !proxies.includes(endEntity) ? [endEntity] : []),
      ...authorities,
    ],
  }
}

/** A certificate that the EEC signed was meant as a proxy, even if it does not say so. */
function isProxyOf(links: readonly Link[], link: Link): boolean {
  const { certificate, facts } = link
  return (
    proxyKind(link) !== undefined ||
    (!facts.authority &&
      isOneCommonNameLonger(certificate.subject, certificate.issuer) &&
      links.some((other) => !other.facts.authority && issued(other, link)))
  )
}

/** The proxies from the leaf up, as far as one issued the other. */
function findProxyPath(leaf: Link, proxies: readonly Link[]): readonly Link[] {
  if (!proxies.includes(leaf)) return []
  const path = [leaf]
  for (let current = leaf; ;) {
    const next = proxies.find((proxy) => issued(proxy, current) && !path.includes(proxy))
    if (next === undefined) return path
    path.push(next)
    current = next
  }
}

function issued(issuer: Link, link: Link): boolean {
  return issuer !== link && sameNode(issuer.certificate.subjectNode, link.certificate.issuerNode)
}

function findEndEntity(links: readonly Link[], proxies: readonly Link[]): Link | undefined {
  const others = links.filter((link) => !proxies.includes(link))
  if (proxies.length === 0) return others.find(({ facts }) => !facts.authority) ?? others[0]
  return others.find((link) => proxies.some((proxy) => issued(link, proxy)))
}

const MAX_AUTHORITIES = 10
/** Number of certificates of one name that are tried. */
const MAX_SAME_NAME = 20

function findAuthorities(
  endEntity: Link | undefined,
  sources: { readonly examination: Examination; readonly others: readonly Link[] },
): readonly Link[] {
  const found: Link[] = []
  const names: Asn1Node[] = []
  let current = endEntity
  while (current && found.length < MAX_AUTHORITIES) {
    const { certificate }: Link = current
    if (sameNode(certificate.issuerNode, certificate.subjectNode)) break
    names.push(certificate.issuerNode)
    const issuer = findIssuer(certificate, names, sources)
    if (
      issuer === undefined ||
      found.some((one) => one.certificate.der.equals(issuer.certificate.der))
    )
      break
    found.push(issuer)
    current = issuer
  }
  return found
}

/** Prefers what OpenSSL finds, then other files of the directory, then the proxy file; and the key that signed. */
function findIssuer(
  child: Certificate,
  names: readonly Asn1Node[],
  { examination: { trustAnchors }, others }: Parameters<typeof findAuthorities>[1],
): Link | undefined {
  const name = child.issuerNode
  const trusted = trustAnchors
    ? [...certificatesByHash(trustAnchors, names), ...certificatesOfName(trustAnchors, name)]
    : []
  const candidates = [
    ...trusted.map(({ value }) => value),
    ...others.map(({ certificate }) => certificate),
  ]
    .filter(({ subjectNode }) => sameNode(subjectNode, name))
    .slice(0, MAX_SAME_NAME)
  const issuer = candidates.find((candidate) => isSignedBy(child, candidate)) ?? candidates[0]
  return issuer && readLink(issuer)
}

/** Returns the name of a certificate for use in sentences. */
export function nameOf(link: Link): string {
  return formatSlashDn(link.certificate.subject)
}

/** One sentence for each certificate that fails; `what` follows its role and name. */
export function eachOf(
  role: string,
  links: readonly Link[],
  what: (link: Link) => string | undefined,
): readonly string[] {
  return links.flatMap((link) => {
    const problem = what(link)
    return problem === undefined ? [] : [`The ${role} ${nameOf(link)} ${problem}.`]
  })
}

/** The EEC in a list, empty when it is not in the file. */
export function endEntityOf({ endEntity }: DoctorContext): readonly Link[] {
  return endEntity ? [endEntity] : []
}

/** Proxies, EEC and CAs alike, with one sentence for each that fails. */
export function eachCertificate(
  context: DoctorContext,
  what: (link: Link) => string | undefined,
): readonly string[] {
  return [
    ...eachOf('proxy', context.proxies, what),
    ...eachOf('EEC', endEntityOf(context), what),
    ...eachOf('CA', context.authorities, what),
  ]
}

/** One sentence, or none. */
export function when(condition: boolean, sentence: string): readonly string[] {
  return condition ? [sentence] : []
}
