/** The CAs that a chain needs, whether they are in the trust directory or not. */
import type { Asn1Node } from '../asn1.ts'
import type { Certificate } from '../certificate.ts'
import { subjectHash, subjectHashOld } from '../name-hash.ts'
import { formatSlashDn } from '../name-text.ts'
import type { TrustDirectory } from '../trust-directory.ts'
import type { DoctorContext, Problem } from './context.ts'
import { sameNode } from './trust-lookup.ts'

export interface NeededAuthority {
  readonly name: string
  readonly node: Asn1Node
  readonly hash: string
  readonly oldHash: string
  /** The certificate that it signed. */
  readonly signed: Certificate
  /** Names of this CA and of those below it: OpenSSL has read their files when it looks for this one. */
  readonly names: readonly Asn1Node[]
  /** Whether it signed the EEC. */
  readonly nearest: boolean
}

/** Returns the issuers of EEC and CAs, nearest first. */
export function neededAuthorities({ endEntity, authorities }: DoctorContext): NeededAuthority[] {
  const issued = [...(endEntity ? [endEntity] : []), ...authorities]
    .map(({ certificate }) => certificate)
    .filter(({ issuerNode, subjectNode }) => !sameNode(issuerNode, subjectNode))
  return issued.map((certificate, index) => ({
    name: formatSlashDn(certificate.issuer),
    node: certificate.issuerNode,
    hash: subjectHash(certificate.issuerNode),
    oldHash: subjectHashOld(certificate.issuerNode),
    signed: certificate,
    names: issued.slice(0, index + 1).map(({ issuerNode }) => issuerNode),
    nearest: index === 0,
  }))
}

/** The problems with each CA that the chain needs; none without a trust directory. */
export function eachNeeded(
  context: DoctorContext,
  check: (
    needed: NeededAuthority,
    trust: TrustDirectory,
  ) => string | Problem | readonly (string | Problem)[] | undefined,
): readonly (string | Problem)[] {
  const { trustAnchors } = context
  if (trustAnchors === undefined) return []
  return neededAuthorities(context).flatMap((needed) => check(needed, trustAnchors) ?? [])
}
