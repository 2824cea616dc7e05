/** The facts that grid-proxy-info prints of a proxy file, and its layout. */
import type { KeyFacts, ProxyCertInfo } from './certificate-facts.ts'
import type { Certificate } from './certificate.ts'
import { type Link, readLink } from './chain-link.ts'
import { isOneCommonNameLonger } from './chain-proxy.ts'
import { lastCommonName } from './name.ts'
import { formatSlashDn } from './name-text.ts'
import type { ProxyFile } from './proxy-file.ts'
import { ifReadable } from './readable.ts'
import { vomsOids } from './voms/oids.ts'
import { attributeCertificatesOf } from './voms/read-attributes.ts'

/** The facts that grid-proxy-info prints, and some more. */
export interface ProxyFacts {
  /** Names are slash-DNs. */
  readonly subject: string
  readonly issuer: string
  /** The identity as Globus sees it: an independent proxy is its own identity. */
  readonly identity: string
  /** For example `RFC 3820 compliant impersonation proxy`. */
  readonly type: string
  readonly limited: boolean
  readonly keyFamily: KeyFacts['family']
  readonly strengthBits: number
  readonly path: string
  /** How many further proxies may follow; undefined: no limit. */
  readonly pathLength: number | undefined
  /** The latest beginning of all certificates in the file: the proxy is not valid before it. */
  readonly notBefore: Date
  /** The earliest end of all certificates in the file: the proxy is not valid after it. */
  readonly notAfter: Date
  readonly state: 'valid' | 'expired' | 'not yet valid'
  /** Whole seconds until `notAfter`; 0 unless it is valid now. */
  readonly timeLeftSeconds: number
  readonly certificates: readonly CertificateLifetime[]
  /** VOMS attributes, of the proxy nearest to the leaf that has some: those further up do not count any more. */
  readonly attributes: readonly AttributesFacts[]
}

/** The VOMS attributes of one VO. */
export interface AttributesFacts {
  readonly vo: string
  /** Without `Role=NULL` and `Capability=NULL`; the first one is the primary FQAN. */
  readonly fqans: readonly string[]
  /** Slash-DN of the attribute authority. */
  readonly issuer: string
  /** Its VOMS server, `host:port`. */
  readonly server: string
  readonly notAfter: Date
  /** 0 when they have ended. */
  readonly timeLeftSeconds: number
}

/** One certificate of the file. */
export interface CertificateLifetime {
  readonly subject: string
  readonly kind: 'proxy' | 'end entity' | 'CA'
  readonly notBefore: Date
  readonly notAfter: Date
  readonly timeLeftSeconds: number
}

/**
 * Describes a proxy file without checking it. `path` is the path to print.
 *
 * @throws {TypeError} for a file without certificates, which `parseProxyFile` refuses
 * @see RFC 3820 section 3.8
 * @example
 * const file = { certificates: [proxy, endEntity.certificate] }
 * const facts = describeProxy(file, { now, path: '/tmp/x509up_u1000' })
 * facts.type // => 'RFC 3820 compliant impersonation proxy'
 * facts.timeLeftSeconds // => 12 * 3600
 */
export function describeProxy(
  file: Pick<ProxyFile, 'certificates'>,
  { now, path }: { readonly now: Date; readonly path: string },
): ProxyFacts {
  const links = file.certificates.map(readLink)
  const [leaf] = links
  if (leaf === undefined) throw new TypeError('a proxy file has a certificate')
  const { certificate, facts } = leaf
  const ends = links.map((link) => link.certificate.validity.notAfter.getTime())
  const notAfter = new Date(Math.min(...ends))
  const begins = links.map((link) => link.certificate.validity.notBefore.getTime())
  const notBefore = new Date(Math.max(...begins))
  const state = stateAt(now, { notBefore, notAfter })
  return {
    subject: formatSlashDn(certificate.subject),
    issuer: formatSlashDn(certificate.issuer),
    identity: formatSlashDn(identityOf(links)),
    type: proxyTypeText(leaf),
    limited: links.some((link) => proxyKind(link)?.includes('limited')),
    keyFamily: facts.key.family,
    strengthBits: facts.key.bits,
    path,
    pathLength: remainingPathLength(links),
    notBefore,
    notAfter,
    state,
    timeLeftSeconds: state === 'valid' ? secondsUntil(notAfter, now) : 0,
    certificates: links.map((link) => lifetime(link, now)),
    attributes: attributesOf(links, now),
  }
}

/** Attributes that cannot be read are left out; the doctor tells of them. */
function attributesOf(links: readonly Link[], now: Date): readonly AttributesFacts[] {
  const holder = links.find(({ certificate }) =>
    certificate.extensions.some(({ oid }) => oid === vomsOids.attributeCertificates),
  )
  const found = holder && ifReadable(() => attributeCertificatesOf(holder.certificate))
  return (found ?? []).map(({ vo, fqans, issuer, uri, validity: { notAfter } }) => ({
    vo,
    fqans: fqans.map((fqan) => fqan.replace(/(\/Role=NULL)?(\/Capability=NULL)?$/, '')),
    issuer: formatSlashDn(issuer),
    server: uri,
    notAfter,
    timeLeftSeconds: secondsUntil(notAfter, now),
  }))
}

function stateAt(
  now: Date,
  { notBefore, notAfter }: Pick<ProxyFacts, 'notBefore' | 'notAfter'>,
): ProxyFacts['state'] {
  if (now >= notAfter) return 'expired'
  return now < notBefore ? 'not yet valid' : 'valid'
}

function lifetime(link: Link, now: Date): CertificateLifetime {
  const { subject, validity } = link.certificate
  return {
    subject: formatSlashDn(subject),
    kind: proxyKind(link) === undefined ? (link.facts.authority ? 'CA' : 'end entity') : 'proxy',
    notBefore: validity.notBefore,
    notAfter: validity.notAfter,
    timeLeftSeconds: secondsUntil(validity.notAfter, now),
  }
}

function secondsUntil(date: Date, now: Date): number {
  // As tools do that look at a clock of whole seconds.
  return Math.max(0, Math.ceil((date.getTime() - now.getTime()) / 1000))
}

/** For Globus the identity is the first certificate that is not a proxy or that inherits no rights. */
function identityOf(links: readonly Link[]): Certificate['subject'] {
  const candidates = links.filter((link) => {
    const kind = proxyKind(link)
    return kind === undefined || /(independent|restricted) proxy$/.test(kind)
  })
  // A CA may stand before the EEC.
  const person = candidates.find(({ facts }) => !facts.authority) ?? candidates[0]
  if (person) return person.certificate.subject
  // The EEC is missing from the file: the last issuer is the best that is known.
  return links.at(-1)?.certificate.issuer ?? []
}

/** Returns the smallest path length of the proxies, each reduced by the proxies below it. */
function remainingPathLength(links: readonly Link[]): number | undefined {
  const left = links.flatMap(({ facts }, index) => {
    const allowed = facts.proxyCertInfo?.pathLength
    return allowed === undefined ? [] : [Math.max(0, allowed - index)]
  })
  return left.length === 0 ? undefined : Math.min(...left)
}

const policyWords: Readonly<Record<ProxyCertInfo['type'], string>> = {
  impersonation: 'impersonation proxy',
  limited: 'limited proxy',
  independent: 'independent proxy',
  other: 'restricted proxy',
}

/** ProxyCertInfo of the draft that Globus 3 and 4 wrote before RFC 3820. */
export const draftProxyCertInfo = '1.3.6.1.4.1.3536.1.222'

/** The kind of a proxy as grid-proxy-info names it; undefined for a certificate that is not a proxy. */
export function proxyKind(link: Link): string | undefined {
  const { certificate, facts } = link
  if (link.isProxy) return `RFC 3820 compliant ${policyWords[facts.proxyCertInfo?.type ?? 'other']}`
  if (certificate.extensions.some(({ oid }) => oid === draftProxyCertInfo))
    return 'Proxy draft (pre-RFC) compliant impersonation proxy'
  // Before there was a ProxyCertInfo a proxy was known by its name alone.
  if (!isOneCommonNameLonger(certificate.subject, certificate.issuer)) return undefined
  const commonName = lastCommonName(certificate.subject)
  if (commonName === 'proxy') return 'full legacy globus proxy'
  return commonName === 'limited proxy' ? 'limited legacy globus proxy' : undefined
}

function proxyTypeText(link: Link): string {
  return proxyKind(link) ?? (link.facts.authority ? 'CA certificate' : 'end entity credential')
}

/**
 * The facts as grid-proxy-info prints them, line for line.
 *
 * @see RFC 3820 section 3.8
 * @example
 * const file = { certificates: [proxy, endEntity.certificate] }
 * formatProxyInfo(describeProxy(file, { now, path: 'x' })).split('\n')[6] // => 'timeleft : 12:00:00'
 */
export function formatProxyInfo(facts: ProxyFacts): string {
  return [
    `subject  : ${facts.subject}`,
    `issuer   : ${facts.issuer}`,
    `identity : ${facts.identity}`,
    `type     : ${facts.type}`,
    `strength : ${facts.strengthBits} bits`,
    `path     : ${facts.path}`,
    `timeleft : ${formatTimeLeft(facts.timeLeftSeconds)}${stateText(facts)}`,
    ...facts.attributes.map(attributesLine),
    '',
  ].join('\n')
}

/** grid-proxy-info knows no attributes; voms-proxy-info prints them with -all. */
function attributesLine({ fqans, timeLeftSeconds }: AttributesFacts): string {
  const left = timeLeftSeconds > 0 ? `timeleft ${formatTimeLeft(timeLeftSeconds)}` : 'ended'
  return `voms     : ${fqans.join(' ')}  (${left})`
}

/** grid-proxy-info shows the whole lifetime of a proxy that is not valid yet, which hides a wrong clock. */
function stateText({ state, notBefore }: ProxyFacts): string {
  return state === 'not yet valid' ? `  (not valid before ${notBefore.toISOString()})` : ''
}

const DAY_SECONDS = 86_400

/** `95:59:57  (4.0 days)`: hours are not cut at 24, days are given from one day on. */
export function formatTimeLeft(seconds: number): string {
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0')
  const clock = `${Math.floor(seconds / 3600)}:${two((seconds / 60) % 60)}:${two(seconds % 60)}`
  const days = seconds / DAY_SECONDS
  return days > 1 ? `${clock}  (${days.toFixed(1)} days)` : clock
}
