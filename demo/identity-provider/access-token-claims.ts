import type { TokenSettings } from './options.ts'
import { entitlements, wlcgGroups, type DemoUser } from './users.ts'

/** The audience that stands for anybody (WLCG Common JWT Profiles). */
export const WLCG_ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any'

/** Facts about a token that is being issued. */
export interface TokenFacts {
  readonly issuer: string
  readonly jti: string
  readonly clientId: string
  /** Undefined for a token of a client alone. */
  readonly user: DemoUser | undefined
  readonly scopes: ReadonlySet<string>
  readonly audiences: readonly string[]
  /** Who acts for the user after a token exchange (RFC 8693 section 4.1). */
  readonly act: Readonly<Record<string, unknown>> | undefined
  /** Seconds since the epoch. */
  readonly issuedAt: number
  readonly expiresAt: number
}

/** Audiences of a token: those asked for, else what the profile gives by default. */
export function audiencesOf(settings: TokenSettings, asked: readonly string[]): readonly string[] {
  return asked.length === 0 && settings.profile === 'wlcg' ? [WLCG_ANY_AUDIENCE] : asked
}

/** The claims that IAM's profiles put into an access token. */
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

/** Groups in the words of the profile. */
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
