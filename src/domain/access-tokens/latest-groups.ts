/** Remembers the groups in the newest verified token of each identity. */
import { LRUCache } from 'lru-cache'
import type { Claims } from '../../tokens/claim-values.ts'
import { groupsInClaims } from '../bans/groups.ts'
import type { LatestGroupRecords } from './records.ts'

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
/** The same groups are written again after this time only: another replica may have written others meanwhile. */
const WRITE_AGAIN_MS = 60_000
/** Groups of one token; tokens are limited too, but answers of introspection are larger. */
const MAX_GROUPS = 2000

export function createLatestGroupsMemory({
  records,
  now,
  nowMs = () => performance.now(),
}: {
  readonly records: Pick<LatestGroupRecords, 'remember'>
  readonly now: () => Date
  readonly nowMs?: () => number
}): LatestGroupsMemory {
  const written = new LRUCache<string, { readonly text: string; readonly atMs: number }>({
    max: MAX_IN_MEMORY,
  })
  return {
    async remember(identityId, claims) {
      if (claims === undefined) return
      const groups = groupsInClaims(claims).slice(0, MAX_GROUPS)
      const text = groups.join('\n')
      const before = written.get(identityId)
      const atMs = nowMs()
      if (before?.text === text && atMs - before.atMs < WRITE_AGAIN_MS) return
      await records.remember(identityId, { groups, seenAt: now() })
      written.set(identityId, { text, atMs })
    },
  }
}
