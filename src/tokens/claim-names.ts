/** Reads groups, scopes and the user name from the claims that the operator names (`providers.<id>.claims`). */
import type { ProviderSettings } from '../config/provider-schema.ts'
import { type Claims, findClaim } from './claim-values.ts'
import { namesServiceAccount } from './identity-checks.ts'

/** The usual claims; the first gets the value, and the others are removed. */
const USUAL = {
  groups: ['groups'],
  scopes: ['scope', 'scp'],
  user_name: ['preferred_username', 'username'],
} as const satisfies Record<keyof ProviderSettings['claims'], readonly string[]>

/**
 * Returns the claims under their usual names. If a claim is named and missing, the usual one is missing too: the
 * operator said that it is not the one to trust. The name of Keycloak's user of a client stays, because it shows that
 * the token is not a person's.
 */
export function withUsualNames(claims: Claims, { claims: names }: ProviderSettings): Claims {
  const changes = (Object.keys(USUAL) as (keyof typeof USUAL)[]).flatMap((purpose) => {
    const name = names[purpose]
    if (name === undefined || (purpose === 'user_name' && namesServiceAccount(claims))) return []
    const value = findClaim(claims, name)
    return USUAL[purpose].map((usual, index) => [usual, index === 0 ? value : undefined] as const)
  })
  if (changes.length === 0) return claims
  const renamed = { ...claims, ...Object.fromEntries(changes) }
  return Object.fromEntries(Object.entries(renamed).filter(([, value]) => value !== undefined))
}
