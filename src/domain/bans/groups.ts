/** The groups of a token, as bans of groups see them. */
import { type Claims, findClaim, wordsOf } from '../../tokens/claim-values.ts'

/** Claims that hold groups: those of IAM, Keycloak and most providers, and that of the WLCG profile. */
export const GROUP_CLAIMS = ['groups', 'wlcg.groups'] as const

/** Returns the groups in the claims, without a leading slash, sorted. */
export function groupsInClaims(claims: Claims): readonly string[] {
  const values = GROUP_CLAIMS.flatMap((name) => {
    const value = findClaim(claims, name)
    if (typeof value === 'string') return wordsOf(value)
    return Array.isArray(value) ? value.filter((entry) => typeof entry === 'string') : []
  })
  return [...new Set(values.map(normalised))].sort()
}

/** Whether a ban of this group holds for somebody with these groups. Keycloak writes groups with a slash. */
export function isGroupOf(group: string, groups: readonly string[]): boolean {
  return groups.includes(normalised(group))
}

const normalised = (group: string): string => group.replace(/^\//, '')
