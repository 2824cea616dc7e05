import type { TokenSettings } from './options.ts'
import { entitlements, wlcgGroups, type DemoUser } from './users.ts'

/** The audience for any service (WLCG Common JWT Profiles). */
export const WLCG_ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any'

/** The data of a token that is being issued. */
export interface TokenFacts {
  readonly issuer: string
  readonly jti: string
  readonly clientId: string
  /** Undefined for a token of a client without a user. */
  readonly user: DemoUser | undefined
  readonly scopes: ReadonlySet<string>
  readonly audiences: readonly string[]
  /** Actor after a token exchange (RFC 8693 section 4.1). */
  readonly act: Readonly<Record<string, unknown>> | undefined
  /** Seconds since the epoch. */
  readonly issuedAt: number
  readonly expiresAt: number
}

/** Returns the audiences of a token: the requested ones, or the default of the profile. */
export function audiencesOf(
  settings: TokenSettings,
  requested: readonly string[],
): readonly string[] {
  return requested.length === 0 && settings.profile === 'wlcg' ? [WLCG_ANY_AUDIENCE] : requested
}

/** Returns the claims of an access token in a profile of IAM. */
export function accessTokenClaims(
  settings: TokenSettings,
  facts: TokenFacts,
): Record<string, unknown> {
  const scope = [...facts.scopes].join(' ')
  const withScope =
    settings.profile === 'wlcg' || settings.profile === 'kc' || settings.includeScope
  const withNbf = settings.profile === 'wlcg' || settings.profile === 'kc' || settings.includeNbf
  return {
    iss: facts.issuer,
    sub: facts.user?.sub ?? facts.clientId,
    client_id: facts.clientId,
    jti: facts.jti,
    iat: facts.issuedAt,
    exp: facts.expiresAt,
    ...(facts.audiences.length > 0 && { aud: audienceClaim(settings, facts.audiences) }),
    ...(withNbf && { nbf: facts.issuedAt }),
    ...(withScope && settings.profile !== 'aarc' && { scope }),
    ...(facts.act !== undefined && { act: facts.act }),
    ...(settings.profile === 'wlcg' && { 'wlcg.ver': '1.0' }),
    ...(facts.user !== undefined && {
      ...groupClaims(settings, facts.user, facts.scopes),
      ...authnInfo(settings, facts.user),
    }),
  }
}

/** Returns the group claims of the profile. */
export function groupClaims(
  settings: TokenSettings,
  user: DemoUser,
  scopes: ReadonlySet<string>,
): Record<string, unknown> {
  switch (settings.profile) {
    case 'iam':
      return settings.includeAuthnInfo ? { groups: [...user.groups] } : {}
    case 'wlcg':
      return scopes.has('wlcg.groups') ? { 'wlcg.groups': wlcgGroups(user) } : {}
    case 'kc':
      return { roles: [...user.groups] }
    case 'aarc':
      return { eduperson_entitlement: entitlements(user) }
    default:
      return settings.profile satisfies never
  }
}

function authnInfo(settings: TokenSettings, user: DemoUser): Record<string, unknown> {
  if (!settings.includeAuthnInfo) return {}
  return {
    name: user.name,
    preferred_username: user.username,
    email: user.email,
    organisation_name: 'demo',
  }
}

function audienceClaim(settings: TokenSettings, audiences: readonly string[]): string | string[] {
  const [first] = audiences
  if (settings.audienceForm === 'string' && audiences.length === 1 && first !== undefined) {
    return first
  }
  return [...audiences]
}
