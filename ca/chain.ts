/**
 * Validates a chain of certificates, proxies included, by RFC 5280 section 6.1 and RFC 3820 section 4, and lists all
 * its problems. Name constraints and policy constraints are not evaluated: a chain that has them is refused.
 */
import type { Certificate } from './certificate.ts'
import { certificateProblems } from './chain-certificate.ts'
import {
  type ChainProblem,
  type ChainProblemCode,
  type Link,
  MAX_CHAIN_LENGTH,
  readLink,
} from './chain-link.ts'
import { buildPath } from './chain-path.ts'
import { proxyProblems } from './chain-proxy.ts'
import { revocationProblems } from './chain-revocation.ts'
import type { Crl } from './crl.ts'
import type { DistinguishedName } from './name.ts'

export interface ChainRequest {
  /** Leaf first; those above it in any order. */
  readonly certificates: readonly Certificate[]
  /** Trusted CA certificates: roots, and intermediates that need not be sent along. */
  readonly anchors: readonly Certificate[]
  /**
   * If given, every certificate except proxies is looked up, including the root (like `openssl verify -crl_check_all`).
   */
  readonly crls?: readonly Crl[]
  readonly now: Date
  readonly allowProxies: boolean
}

export interface ChainVerdict {
  readonly ok: boolean
  readonly problems: readonly ChainProblem[]
  /** From the leaf to the root, as far as it could be found. */
  readonly path: readonly Certificate[]
  /** Name of the first certificate that is not a proxy: the identity that the proxies act for. */
  readonly identity: DistinguishedName | undefined
  /** Number of proxies in the path, including the leaf. */
  readonly proxyDepth: number
  /** Whether any proxy of the chain is limited: it may move data but not start jobs. */
  readonly limited: boolean
  /** Whether any proxy of the chain is independent: it has none of its issuer's rights. */
  readonly independent: boolean
}

/** Maximum number of trust anchors and CRLs; the trust directory of all IGTF CAs has about 100. */
export const MAX_ANCHORS = 2000

/**
 * Validates a chain of at most 20 certificates. Never throws because of its content.
 *
 * @see RFC 5280 section 6.1, RFC 3820 section 4
 * @example
 * const certificates = [proxy, endEntity.certificate]
 * const anchors = [authority.certificate]
 * const verdict = validateChain({ certificates, anchors, now, allowProxies: true })
 * verdict.problems // => []
 * formatSlashDn(verdict.identity) // => '/C=EU/O=Example/CN=Alice'
 */
export function validateChain(request: ChainRequest): ChainVerdict {
  if (request.certificates.length > MAX_CHAIN_LENGTH) {
    return refused('chain_too_long', `there are more than ${MAX_CHAIN_LENGTH} certificates`)
  }
  if (request.anchors.length + (request.crls?.length ?? 0) > MAX_ANCHORS) {
    return refused('chain_too_long', `there are more than ${MAX_ANCHORS} trust anchors and CRLs`)
  }
  const { path, problems: pathProblems } = buildPath(request.certificates, request.anchors)
  const links = path.map(readLink)
  const problems = [
    ...pathProblems,
    ...certificateProblems(links, request.now),
    ...proxyProblems(links, request.allowProxies),
    ...(request.crls === undefined ? [] : revocationProblems(links, request.crls, request.now)),
  ]
  const proxies = proxiesOf(links)
  const has = (type: string): boolean =>
    proxies.some(({ facts }) => facts.proxyCertInfo?.type === type)
  return {
    ok: problems.length === 0,
    problems: problems.sort((left, right) => left.certificateIndex - right.certificateIndex),
    path,
    identity: path[proxies.length]?.subject,
    proxyDepth: proxies.length,
    limited: has('limited'),
    independent: has('independent'),
  }
}

function proxiesOf(links: readonly Link[]): readonly Link[] {
  const first = links.findIndex(({ isProxy }) => !isProxy)
  return first === -1 ? links : links.slice(0, first)
}

function refused(code: ChainProblemCode, message: string): ChainVerdict {
  return {
    ok: false,
    problems: [{ code, certificateIndex: 0, message }],
    path: [],
    identity: undefined,
    proxyDepth: 0,
    limited: false,
    independent: false,
  }
}
