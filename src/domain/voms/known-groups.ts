/**
 * Remembers the groups in the newest token of each identity: for VOs that its provider speaks for, and for access
 * tokens.
 */
import { createRecentValues } from '../../base/recent-values.ts'
import { type Claims, findClaim, wordsOf } from '../../tokens/claim-values.ts'
import type { VirtualOrganisation } from './organisations.ts'
import type { KnownGroups, KnownGroupsRecords } from './records.ts'

/** Groups in one claim; the first ones stay. */
const MAX_GROUPS = 2000
const MAX_GROUP_LENGTH = 255

/** Returns the groups in these claims of a token. A token without `iat` counts as issued now. */
export function statedGroups(claims: Claims, names: readonly string[], now: Date): KnownGroups {
  const { iat } = claims
  const issuedMs = typeof iat === 'number' && iat >= 0 ? iat * 1000 : Infinity
  return {
    statedAt: new Date(Math.min(issuedMs, now.getTime())),
    groups: Object.fromEntries(names.map((name) => [name, groupsIn(findClaim(claims, name))])),
  }
}

function groupsIn(value: unknown): readonly string[] {
  const found = typeof value === 'string' ? wordsOf(value) : Array.isArray(value) ? value : []
  const texts = found.filter((entry): entry is string => typeof entry === 'string')
  // Keycloak and the WLCG profile write groups with a slash, other providers without.
  const groups = texts.map((text) => text.replace(/^\//, ''))
  return [...new Set(groups)]
    .filter((group) => group !== '' && group.length <= MAX_GROUP_LENGTH)
    .slice(0, MAX_GROUPS)
}

/** What the caller's token says. */
interface Stating {
  readonly issuer: string
  /** Undefined for renewals without a token. */
  readonly claims: Claims | undefined
}

export interface GroupMemory {
  /** @throws {TtsError} `store_unavailable` */
  remember(caller: Stating, identityId: string): Promise<void>
}

const MAX_IN_MEMORY = 50_000
/** The same groups are written again only after this time. Until then the older one counts: the safe side. */
const WRITE_AGAIN_MS = 300_000

export function createGroupMemory(dependencies: {
  readonly organisations: Iterable<VirtualOrganisation>
  /** Claims that are remembered for the users of all providers. */
  readonly claimsOfAll: readonly string[]
  readonly records: Pick<KnownGroupsRecords, 'remember'>
  readonly now: () => Date
}): GroupMemory {
  const { organisations, claimsOfAll, records, now } = dependencies
  const claimsByIssuer = new Map<string, string[]>()
  for (const { issuer, claims } of organisations)
    claimsByIssuer.set(
      issuer,
      [...new Set([...claimsOfAll, ...(claimsByIssuer.get(issuer) ?? []), ...claims])].toSorted(),
    )
  /** What this replica has written, by identity. */
  const written = createRecentValues<{ readonly statedAtMs: number; readonly groups: string }>(
    MAX_IN_MEMORY,
  )
  return {
    async remember({ issuer, claims }, identityId) {
      const names = claimsByIssuer.get(issuer) ?? claimsOfAll
      if (names.length === 0 || claims === undefined) return
      const known = statedGroups(claims, names, now())
      const statedAtMs = known.statedAt.getTime()
      const groups = JSON.stringify(known.groups)
      const before = written.get(identityId)
      if (before !== undefined) {
        const againAtMs = before.statedAtMs + (before.groups === groups ? WRITE_AGAIN_MS : 0)
        if (statedAtMs < againAtMs) return
      }
      await records.remember(identityId, known)
      written.set(identityId, { statedAtMs, groups })
    },
  }
}
