/** Remembers the groups in the newest verified token of each identity. */
import { LRUCache } from 'lru-cache'
import type { Claims } from '../../tokens/claim-values.ts'
import { groupsInClaims } from '../bans/groups.ts'
import type { LatestGroupRecords, LatestGroups } from './records.ts'

export interface LatestGroupsMemory {
  /**
   * Records the groups of a verified token.
   *
   * @param claims undefined for callers without a token: nothing is recorded
   * @throws {TtsError} `store_unavailable`
   */
  remember(identityId: string, claims: Claims | undefined): Promise<void>
}

const MAX_IN_MEMORY = 50_000
/** The same groups are written again after this time only. Until then the older time counts, on the safe side. */
const WRITE_AGAIN_MS = 60_000
/** Groups of one token; tokens are limited too, but answers of introspection are larger. */
const MAX_GROUPS = 2000

/** Returns the groups in the claims of a token. A token without `iat` counts as issued now. */
export function statedGroups(claims: Claims, now: Date): LatestGroups {
  const { iat } = claims
  const issuedMs = typeof iat === 'number' && iat >= 0 ? iat * 1000 : Infinity
  return {
    groups: groupsInClaims(claims).slice(0, MAX_GROUPS),
    statedAt: new Date(Math.min(issuedMs, now.getTime())),
  }
}

export function createLatestGroupsMemory({
  records,
  now,
}: {
  readonly records: Pick<LatestGroupRecords, 'remember'>
  readonly now: () => Date
}): LatestGroupsMemory {
  /** What this replica has written, by identity. */
  const written = new LRUCache<string, { readonly text: string; readonly statedMs: number }>({
    max: MAX_IN_MEMORY,
  })
  return {
    async remember(identityId, claims) {
      if (claims === undefined) return
      const latest = statedGroups(claims, now())
      const text = latest.groups.join('\n')
      const statedMs = latest.statedAt.getTime()
      const before = written.get(identityId)
      const againMs = before && before.statedMs + (before.text === text ? WRITE_AGAIN_MS : 0)
      if (againMs !== undefined && statedMs < againMs) return
      await records.remember(identityId, latest)
      written.set(identityId, { text, statedMs })
    },
  }
}
