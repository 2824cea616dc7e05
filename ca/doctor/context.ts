/** What a rule of the doctor looks at: the proxy file and the trust directory, with each certificate in its role. */
import { type ChainVerdict, validateChain } from '../chain.ts'
import { type Link, readLink } from '../chain-link.ts'
import { canonicalName } from '../name-hash.ts'
import { formatSlashDn } from '../name-text.ts'
import type { ProxyFile } from '../proxy-file.ts'
import { proxyKind } from '../proxy-info.ts'
import type { TrustDirectory } from '../trust-directory.ts'
import type { RelyingParty } from './relying-parties.ts'

/** Permissions and owner of the proxy file, and its text. */
export interface FileFacts {
  /** Permission bits, for instance 0o600. */
  readonly mode: number
  readonly ownerUid: number
  /** Who would read it. */
  readonly uid: number
  readonly text: string
}

export interface Examination {
  readonly proxyFile: ProxyFile
  /** Rules about the file on disk are left out when undefined. */
  readonly fileFacts?: FileFacts
  /** Rules about trust anchors and CRLs are left out when undefined. */
  readonly trustAnchors?: TrustDirectory
  readonly now: Date
}

export interface DoctorContext extends Examination {
  /** All certificates in file order. */
  readonly links: readonly Link[]
  /** All proxies, of any kind, in file order. */
  readonly proxies: readonly Link[]
  /** The certificate that the private key is for: the proxy furthest from the EEC, or the EEC when there is no proxy. */
  readonly leaf: Link
  /** Undefined when it is not in the file. */
  readonly endEntity: Link | undefined
  /** CAs above the EEC, nearest first, as far as they were found in the trust directory or else in the file. */
  readonly authorities: readonly Link[]
  readonly verdict: ChainVerdict
}

/** One rule: adding a rule is adding one object to the table of its topic. */
export interface DoctorRule {
  /** Topic and what is wrong. */
  readonly id: string
  readonly severity: 'refuses' | 'warns'
  readonly relyingParties: readonly RelyingParty[]
  /** What is wrong, one sentence each; nothing when the rule is kept. */
  check(context: DoctorContext): readonly string[]
  /** What to do about it. */
  readonly remedy: string
}

/** Puts every certificate of a file into its role, whatever its place. */
export function buildContext(examination: Examination): DoctorContext {
  const { proxyFile, trustAnchors, now } = examination
  const links = proxyFile.certificates.map(readLink)
  const proxies = links.filter((link) => proxyKind(link) !== undefined)
  // The leaf is the one that issued no other: files with the EEC first have it further down.
  const leaf = proxies.find((link) => !proxies.some((other) => issued(link, other))) ?? links[0]
  if (leaf === undefined) throw new TypeError('a proxy file has a certificate')
  const endEntity = findEndEntity(links, proxies)
  const trusted = (trustAnchors?.certificates ?? []).map(({ value }) => readLink(value))
  const others = links.filter((link) => !proxies.includes(link) && link !== endEntity)
  const rest = proxyFile.certificates.filter((certificate) => certificate !== leaf.certificate)
  return {
    ...examination,
    links,
    proxies,
    leaf,
    endEntity,
    authorities: findAuthorities(endEntity, [...trusted, ...others]),
    verdict: validateChain({
      certificates: [leaf.certificate, ...rest],
      // Without a trust directory its rules are left out, but signatures within the file are still verified.
      anchors: trusted.map(({ certificate }) => certificate),
      now,
      allowProxies: true,
    }),
  }
}

function issued(issuer: Link, link: Link): boolean {
  return (
    issuer !== link &&
    canonicalName(issuer.certificate.subjectNode).equals(canonicalName(link.certificate.issuerNode))
  )
}

function findEndEntity(links: readonly Link[], proxies: readonly Link[]): Link | undefined {
  const others = links.filter((link) => !proxies.includes(link))
  if (proxies.length === 0) return others.find(({ facts }) => !facts.authority) ?? others[0]
  return others.find((link) => proxies.some((proxy) => issued(link, proxy)))
}

const MAX_AUTHORITIES = 10

function findAuthorities(
  endEntity: Link | undefined,
  candidates: readonly Link[],
): readonly Link[] {
  const found: Link[] = []
  let current = endEntity
  while (current && found.length < MAX_AUTHORITIES) {
    const child: Link = current
    const issuer = candidates.find((candidate) => issued(candidate, child))
    if (issuer === undefined || found.includes(issuer)) break
    found.push(issuer)
    current = issuer
  }
  return found
}

/** Name of a certificate for sentences. */
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
