/** The bans in force, as each replica knows them: read from the database once a second while requests come. */
import { TtsError } from '../../base/errors.ts'
import { createRecentValues } from '../../base/recent-values.ts'
import type { Claims } from '../../tokens/claim-values.ts'
import { groupsInClaims, isGroupOf } from './groups.ts'
import type { Ban, BanRecords, BansInForce } from './records.ts'

/** Somebody who asks for a credential or a delegation. */
export interface Bannable {
  readonly issuer: string
  readonly sub: string
  /** Undefined for renewals without a token. */
  readonly claims: Claims | undefined
}

export interface BanList {
  /**
   * Refuses a banned caller.
   *
   * @param identityId if it is known already
   * @throws {TtsError} `access_denied`, check `banned`; `store_unavailable`
   */
  requireNotBanned(caller: Bannable, identityId?: string): Promise<void>
  /** Records in which groups an identity was seen. @throws {TtsError} `store_unavailable` */
  rememberGroups(caller: Bannable, identityId: string): Promise<void>
}

const READ_AGAIN_MS = 1000
const MAX_IN_MEMORY = 50_000

export function createBanList(
  records: Pick<BanRecords, 'inForce' | 'rememberGroups'>,
  now: () => Date = () => new Date(),
  nowMs: () => number = () => performance.now(),
): BanList {
  let read: { readonly atMs: number; readonly bans: Promise<BansInForce> } | undefined
  /** What this replica has recorded, by identity: the day and the groups. Recorded groups are never taken back. */
  const recorded = createRecentValues<string>(MAX_IN_MEMORY)

  function inForce(): Promise<BansInForce> {
    if (read !== undefined && nowMs() - read.atMs < READ_AGAIN_MS) return read.bans
    const request = { atMs: nowMs(), bans: records.inForce() }
    read = request
    request.bans.catch(() => {
      if (read === request) read = undefined
    })
    return request.bans
  }

  return {
    async requireNotBanned(caller, identityId) {
      const { bans, identityIds } = await inForce()
      if (bans.length === 0) return
      const isListed = identityId !== undefined && identityIds.has(identityId)
      if (isListed || bans.some((ban) => holdsFor(ban, caller))) throw banned()
    },
    async rememberGroups({ claims }, identityId) {
      if (claims === undefined) return
      const groups = groupsInClaims(claims)
      if (groups.length === 0) return
      const at = now()
      const text = [at.toISOString().slice(0, 10), ...groups].join('\n')
      if (recorded.get(identityId) === text) return
      await records.rememberGroups(identityId, groups, at)
      recorded.set(identityId, text)
    },
  }
}

function holdsFor({ target }: Ban, { issuer, sub, claims }: Bannable): boolean {
  if (target.issuer !== undefined && target.issuer !== issuer) return false
  if (target.kind === 'identity') return target.sub === sub
  return claims !== undefined && isGroupOf(target.group, groupsInClaims(claims))
}

/** The error for a banned caller. */
export function banned(): TtsError {
  return new TtsError(
    'access_denied',
    'the operator of this service has banned you, or your group',
    {
      check: 'banned',
      remedy: 'See `tts ban list`. Lift the ban with `tts ban lift ID`.',
    },
  )
}
