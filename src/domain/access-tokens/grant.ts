/** Which scopes and groups an access token gets. */
import { TtsError } from '../../base/errors.ts'
import { wordsOf } from '../../tokens/claim-values.ts'
import { GROUP_CLAIMS } from '../bans/groups.ts'
import type { KnownGroups } from '../voms/records.ts'

/** The scope that asks for the groups (WLCG Common JWT Profiles 1.0, section "Group Based Authorization"). */
export const GROUPS_SCOPE = 'wlcg.groups'
/** Syntax of a group in the WLCG profile. */
const WLCG_GROUP = /^(\/[A-Za-z0-9][A-Za-z0-9_.-]*)+$/

/**
 * Returns the groups for a token, as the WLCG profile writes them; empty when none are known that are fresh enough at
 * the end of the token. Groups with names that the profile does not allow are left out.
 *
 * @param limits.expiresAt end of the token, in seconds since 1970
 */
export function grantedGroups(
  known: KnownGroups | undefined,
  limits: { readonly groupsMaximumAgeSeconds: number; readonly expiresAt: number },
): readonly string[] {
  if (known === undefined) return []
  const knownUntil = known.statedAt.getTime() / 1000 + limits.groupsMaximumAgeSeconds
  if (knownUntil < limits.expiresAt) return []
  const stated = GROUP_CLAIMS.flatMap((claim) => known.groups[claim] ?? [])
  const groups = [...new Set(stated)].map((group) => `/${group}`)
  return groups.filter((group) => WLCG_GROUP.test(group)).toSorted()
}

/**
 * Returns the scopes of a token: those requested, or `wlcg.groups` if there are groups.
 *
 * @throws {TtsError} `invalid_request`, check `scope`
 */
export function grantedScopes(
  { scopes }: { readonly scopes: readonly string[] },
  { asked, groups }: { readonly asked: string | undefined; readonly groups: readonly string[] },
): readonly string[] {
  if (asked === undefined) return groups.length > 0 ? [GROUPS_SCOPE] : []
  const wanted = [...new Set(wordsOf(asked))]
  for (const scope of wanted) {
    if (scope === GROUPS_SCOPE) continue
    if (!scopes.includes(scope)) throw refused('scope: one of the scopes is not offered')
  }
  if (wanted.includes(GROUPS_SCOPE) && groups.length === 0)
    throw refused(
      'scope: no groups of yours are known: get a proxy with an access token that has them, or leave out wlcg.groups',
    )
  return wanted
}

function refused(message: string): TtsError {
  return new TtsError('invalid_request', message, {
    check: 'scope',
    remedy:
      'See access_tokens.scopes, and access_tokens.groups_maximum_age_seconds for how long groups are known.',
  })
}
