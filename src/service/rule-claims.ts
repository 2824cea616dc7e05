/** The claims that authorisation rules read, so that the token verifier fetches what they need. */
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import type { Configuration } from '../config/schema.ts'

type RuleSource = Pick<Configuration, 'providers' | 'services' | 'web' | 'voms'>

/**
 * Returns the names (or paths) of the claims that rules of enabled services, the rules for operators and VOs read, by
 * provider id. A rule for the provider `any` counts for all of them, and a rule for one id of an issuer for all ids of
 * this issuer.
 */
export function ruleClaimsByProvider({
  providers,
  services,
  web,
  voms,
}: RuleSource): ReadonlyMap<string, readonly string[]> {
  const enabled = Object.values(services).filter((service) => service.enabled)
  const ruleSets = [...enabled.map(({ authz }) => authz), web.operators]
  const rules = ruleSets.flatMap(({ allow, forbid }) => [...allow, ...forbid])
  const issuerOf = (id: string): string | undefined => {
    const { issuer } = providers[id] ?? {}
    return issuer === undefined ? undefined : withoutTrailingSlash(issuer)
  }
  const isOf = (provider: string, id: string): boolean => issuerOf(provider) === issuerOf(id)
  const claimsOf = (id: string): readonly string[] => [
    ...new Set([
      ...rules
        .filter(({ provider }) => provider === 'any' || isOf(provider, id))
        .flatMap(({ claims }) => Object.keys(claims)),
      ...Object.values(voms.vos)
        .filter(({ provider }) => isOf(provider, id))
        .flatMap(({ claims }) => claims),
    ]),
  ]
  return new Map(Object.keys(providers).map((id) => [id, claimsOf(id)]))
}
