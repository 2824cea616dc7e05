/** The input of the doctor's rules: proxy file and trust directory, with the role of each certificate. */
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
  readonly verdict: ChainVerdict
}

/** One rule. To add a rule, add an object to the table of its topic. */
export interface DoctorRule {
  /** Topic and what is wrong. */
  readonly id: string
  readonly severity: 'refuses' | 'warns'
  readonly relyingParties: readonly RelyingParty[]
  /** Returns the problems, one sentence each; empty when there are none. */
  check(context: DoctorContext): readonly string[]
  /** What to do, a full sentence. */
  readonly remedy: string
}

/** Finds the role of every certificate of a file, in whatever order they are. */
export function buildContext(examination: Examination): DoctorContext {
  const { proxyFile, trustAnchors, now } = examination
  const links = proxyFile.certificates.map(readLink)
  const proxies = links.filter((link) => proxyKind(link) !== undefined)
  // The leaf is the proxy that did not issue another one; it may be further down in files that begin with the EEC.
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
