import type { JWTPayload } from 'jose'
import { withoutTrailingSlash, type ProviderSettings } from '../config/provider-schema.ts'
import { refusal, type TokenCheck } from './refusals.ts'
import { tokenKindOf } from './token-kind.ts'

/** The audience that stands for anybody (WLCG Common JWT Profiles). */
export const WLCG_ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any'

/** Claims, from whichever source. */
export type Claims = Readonly<Record<string, unknown>>

/** What the checks of claims look at. */
export interface ClaimContext {
  readonly settings: ProviderSettings
  readonly now: Date
  /** Header `typ` of a JWT. */
  readonly headerType?: unknown
  /** The claims are, or hold, what the provider answered at introspection. */
  readonly introspected?: boolean
}

/** A check over claims: throws TtsError `invalid_token` when they fail it. */
export interface ClaimCheck {
  readonly check: TokenCheck
  readonly run: (claims: Claims, context: ClaimContext) => void
}

/**
 * The checks that every token passes, JWT or introspected, in the order in which the first failure is told: from what a
 * token is, over whom it is for, to when.
 */
export const claimChecks: readonly ClaimCheck[] = [
  { check: 'issuer', run: checkIssuer },
  { check: 'type', run: checkTokenKind },
  { check: 'subject', run: checkSubject },
  { check: 'expired', run: checkExpiry },
  { check: 'not_yet_valid', run: checkNotBefore },
  { check: 'lifetime', run: checkLifetime },
  { check: 'audience', run: checkAudience },
  { check: 'profile_version', run: checkProfileVersion },
]

/** Runs all checks; throws TtsError `invalid_token` of the first that fails. */
export function checkClaims(claims: Claims, context: ClaimContext): void {
  for (const { run } of claimChecks) run(claims, context)
}

function checkIssuer(claims: Claims, { settings }: ClaimContext): void {
  const { iss } = claims as JWTPayload
  if (
    typeof iss !== 'string' ||
    withoutTrailingSlash(iss) !== withoutTrailingSlash(settings.issuer)
  ) {
    throw refusal(
      'issuer',
      'the token comes from an issuer that is not trusted here',
      'add the issuer under `providers`, exactly as it stands in the claim iss',
    )
  }
}

/** Only access tokens; those that do not show it only where introspection will, or the operator takes them all the same. */
export function checkTokenKind(claims: Claims, context: ClaimContext): void {
  const { settings, headerType, introspected = false } = context
  const kind = tokenKindOf({ claims, headerType, introspected })
  if (kind === 'other') {
    throw refusal(
      'type',
      'this is not an access token',
      'the caller has to send the access token, not an ID, refresh or logout token',
    )
  }
  const isAskedLater = settings.introspect === 'always' && !introspected
  if (kind === 'unknown' && !isAskedLater && !settings.accept_tokens_of_unknown_kind) {
    throw refusal(
      'type',
      'nothing in the token shows that it is an access token: send the access token, not the ID token',
      'access tokens are known by header typ at+jwt, client_id, azp with scope, token_use: access or typ: Bearer; where the provider writes none of these: introspect: always, or, knowing what it means, accept_tokens_of_unknown_kind',
    )
  }
  if (claims['cnf'] !== undefined) {
    throw refusal(
      'type',
      'the token is bound to a key (cnf) and cannot be used as a bearer token',
      'the client has to ask its provider for a bearer token (no DPoP, no certificate binding)',
    )
  }
}

function checkSubject(claims: Claims): void {
  const sub = claims['sub']
  if (typeof sub === 'string' && sub !== '' && sub.length <= 1024) return
  throw refusal(
    'subject',
    'the token does not say who it speaks for (claim sub)',
    'the provider has to put `sub` into its access tokens',
  )
}

function checkExpiry(claims: Claims, { settings, now }: ClaimContext): void {
  const exp = claims['exp']
  if (!isDate(exp)) {
    throw refusal(
      'missing_expiry',
      'the token does not say when it expires (claim exp)',
      'tokens without end are never accepted; the provider has to limit them',
    )
  }
  if (exp <= epochSeconds(now) - settings.clock_leeway_seconds) {
    throw refusal(
      'expired',
      'the token has expired',
      'the caller has to get a new token; if it is new, compare the clocks (clock_leeway_seconds)',
    )
  }
}

function checkNotBefore(claims: Claims, { settings, now }: ClaimContext): void {
  const latest = epochSeconds(now) + settings.clock_leeway_seconds
  for (const name of ['nbf', 'iat']) {
    const value = claims[name]
    if (value === undefined || value === null) continue
    if (isDate(value) && value <= latest) continue
    throw refusal(
      'not_yet_valid',
      `the token is not valid yet (claim ${name})`,
      'compare the clocks of the provider and of this machine (clock_leeway_seconds)',
    )
  }
}

function checkLifetime(claims: Claims, { settings }: ClaimContext): void {
  const longest = settings.maximum_token_lifetime_seconds
  if (longest === undefined) return
  const { iat, exp } = claims
  if (isDate(iat) && isDate(exp) && exp - iat <= longest) return
  throw refusal(
    'lifetime',
    'the token was issued for longer than is accepted here',
    'maximum_token_lifetime_seconds sets the limit; the provider can issue shorter tokens',
  )
}

function checkAudience(claims: Claims, { settings }: ClaimContext): void {
  const audiences = audiencesOf(claims)
  const accepted = acceptedAudiences(settings)
  if (audiences.length === 0) {
    if (settings.accept_missing_audience) return
    throw refusal(
      'audience',
      'the token names no audience; it has to be asked for when the token is requested',
      `ask for one: at INDIGO IAM add audience=${accepted[0] ?? '<audience>'} to the authorization or token request; or set accept_missing_audience, knowing what it means`,
    )
  }
  if (audiences.some((audience) => accepted.includes(audience))) return
  const isAny = audiences.includes(WLCG_ANY_AUDIENCE)
  throw refusal(
    'audience',
    'the token is meant for another service (claim aud)',
    isAny
      ? 'the token is for anybody: ask for an audience of this service, or set accept_any_wlcg_audience'
      : `ask for the audience ${accepted[0] ?? '(none is configured)'}, or add the token's to providers.<id>.audiences`,
  )
}

function checkProfileVersion(claims: Claims): void {
  const version = claims['wlcg.ver']
  if (version === undefined || (typeof version === 'string' && /^1(\.\d{1,4})?$/.test(version))) {
    return
  }
  throw refusal(
    'profile_version',
    'the token follows a version of the WLCG profile that is not known here (claim wlcg.ver)',
    'only major version 1 is known; this service needs an update',
  )
}

/** The audiences that the settings accept. */
export function acceptedAudiences(settings: ProviderSettings): readonly string[] {
  return settings.accept_any_wlcg_audience
    ? [...settings.audiences, WLCG_ANY_AUDIENCE]
    : settings.audiences
}

/** `aud` as a list: RFC 7519 section 4.1.3 has one string, blanks and all, or an array. */
export function audiencesOf(claims: Claims): readonly string[] {
  const { aud } = claims
  if (typeof aud === 'string') return aud === '' ? [] : [aud]
  return Array.isArray(aud) ? aud.filter((entry) => typeof entry === 'string') : []
}

/** The scopes of a token: a blank-separated string (RFC 8693 section 4.2) or, at some providers, an array; `scp` at Hydra, Okta and Entra. */
export function scopesOf(claims: Claims): readonly string[] {
  const scope = claims['scope'] ?? claims['scp']
  if (typeof scope === 'string') return scope.split(' ').filter(Boolean)
  return Array.isArray(scope) ? scope.filter((entry) => typeof entry === 'string') : []
}

function isDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value < 1e11
}

function epochSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
