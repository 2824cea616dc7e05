import type { JWTPayload } from 'jose'
import { withoutTrailingSlash, type ProviderSettings } from '../config/provider-schema.ts'
import { adviceOn } from './advice.ts'
import { audiencesOf, type Claims, shownValues } from './claim-values.ts'
import { refusal, type TokenCheck } from './refusals.ts'
import { kindOfAnswer, kindOfJwt, type TokenVerdict } from './token-kind.ts'

/** The audience that means any service (WLCG Common JWT Profiles). */
export const WLCG_ANY_AUDIENCE = 'https://wlcg.cern.ch/jwt/v1/any'

/** What the claim checks need besides the claims. */
export interface ClaimContext {
  readonly settings: ProviderSettings
  readonly now: Date
  /** `jwt`: claims of a verified JWT. `introspection`: a normalised introspection answer. */
  readonly source: 'jwt' | 'introspection'
  /** Header `typ` of a JWT. */
  readonly headerType?: unknown
}

/** A check of claims. `run` throws TtsError `invalid_token`. */
export interface ClaimCheck {
  readonly check: TokenCheck
  readonly run: (claims: Claims, context: ClaimContext) => void
  /** Claims without which it cannot pass. */
  readonly needs?: readonly string[]
}

/**
 * The checks of every token, JWT or introspected. The first failure is the one that is reported, so the order matters.
 */
export const claimChecks: readonly ClaimCheck[] = [
  { check: 'issuer', run: checkIssuer },
  { check: 'type', run: checkType },
  { check: 'subject', run: checkSubject, needs: ['sub'] },
  { check: 'expired', run: checkExpiry, needs: ['exp'] },
  { check: 'not_yet_valid', run: checkNotBefore },
  { check: 'lifetime', run: checkLifetime, needs: ['iat', 'exp'] },
  { check: 'audience', run: checkAudience, needs: ['aud'] },
  { check: 'profile_version', run: checkProfileVersion },
]

/**
 * Returns the checks that the claims of a JWT must pass before it is introspected, which may add claims: those whose
 * claims are there.
 */
export function checksBeforeIntrospection(claims: Claims): readonly ClaimCheck[] {
  return claimChecks.filter(({ needs = [] }) => needs.every((name) => claims[name] !== undefined))
}

/** Runs all claim checks. @throws {TtsError} `invalid_token`, with the name of the first check that fails */
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
      `Add the issuer ${shownValues([iss])} under \`providers\`, exactly as in the claim iss.`,
    )
  }
}

/**
 * Accepts only access tokens (see `kindOfJwt`): ID tokens, refresh and logout tokens are signed with the same keys. A
 * JWT of unknown kind is accepted here if it will also be introspected, which then decides.
 */
function checkType(claims: Claims, { settings, headerType, source }: ClaimContext): void {
  checkBearer(claims)
  const evidence = settings.access_token_evidence
  const verdict =
    source === 'jwt'
      ? kindOfJwt(claims, { headerType, evidence })
      : kindOfAnswer(claims, { evidence })
  const isLeftToIntrospection =
    source === 'jwt' && verdict.kind === 'unknown' && settings.introspect === 'always'
  if (!isLeftToIntrospection) requireAccessToken(verdict, settings)
}

/** @throws {TtsError} `invalid_token`, check `type` (the token is bound to a key) @see RFC 7800 */
export function checkBearer(claims: Claims): void {
  if (claims['cnf'] === undefined) return
  throw refusal(
    'type',
    'the token is bound to a key (cnf) and cannot be used as a bearer token',
    'Request a bearer token from the provider (no DPoP, no certificate binding).',
  )
}

const OTHER_KIND_WORDS = {
  id: 'an ID token',
  refresh: 'a refresh token',
  logout: 'a logout token or another security event',
  other: 'something else',
} as const

/** @throws {TtsError} `invalid_token`, check `type` (anything but an access token) */
export function requireAccessToken(
  { kind, sign }: TokenVerdict,
  { profile }: Pick<ProviderSettings, 'profile'>,
): void {
  if (kind === 'access') return
  if (kind !== 'unknown') {
    throw refusal(
      'type',
      `this is not an access token but ${OTHER_KIND_WORDS[kind]} (${sign})`,
      'Send the access token, not an ID, refresh or logout token.',
    )
  }
  throw refusal(
    'type',
    sign === ''
      ? 'this does not seem to be an access token: nothing in it says that it is one'
      : `this does not seem to be an access token: it looks like an ID token (${sign})`,
    adviceOn('unknown_kind', profile),
  )
}

function checkSubject(claims: Claims, { settings }: ClaimContext): void {
  const sub = claims['sub']
  if (typeof sub === 'string' && sub !== '' && sub.length <= 1024) return
  throw refusal(
    'subject',
    'the token has no valid subject (claim sub)',
    adviceOn('missing_subject', settings.profile),
  )
}

function checkExpiry(claims: Claims, { settings, now }: ClaimContext): void {
  const exp = claims['exp']
  if (!isDate(exp)) {
    throw refusal(
      'missing_expiry',
      'the token has no valid expiry time (claim exp)',
      'Make the provider set `exp`: tokens that never expire are never accepted.',
    )
  }
  if (exp <= epochSeconds(now) - settings.clock_leeway_seconds) {
    throw refusal(
      'expired',
      'the token has expired',
      'Get a new token. If it is new, compare the clocks (clock_leeway_seconds).',
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
      'Compare the clocks of the provider and of this machine (clock_leeway_seconds).',
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
    'the lifetime of the token is longer than is accepted here',
    'Make the provider issue shorter tokens, or raise maximum_token_lifetime_seconds.',
  )
}

/** @throws {TtsError} `invalid_token`, check `audience` (missing or not accepted) @see RFC 7519 section 4.1.3 */
function checkAudience(claims: Claims, { settings }: ClaimContext): void {
  const audiences = audiencesOf(claims)
  const accepted = acceptedAudiences(settings)
  if (audiences.length === 0) {
    if (settings.accept_missing_audience) return
    throw refusal(
      'audience',
      `the token has no audience; the client must request one with the token: ${shownValues(accepted)}`,
      {
        audiences: accepted,
        remedy: adviceOn('missing_audience', settings.profile, { audience: accepted[0] }),
      },
    )
  }
  if (audiences.some((audience) => accepted.includes(audience))) return
  throw refusal(
    'audience',
    `the token is meant for another service (claim aud); accepted audiences: ${shownValues(accepted)}`,
    {
      audiences: accepted,
      remedy: `The token is for ${shownValues(audiences)}; accepted: ${shownValues(accepted)}. ${adviceFor(audiences, settings)}`,
    },
  )
}

function adviceFor(audiences: readonly string[], settings: ProviderSettings): string {
  if (audiences.includes(WLCG_ANY_AUDIENCE))
    return 'Request an audience of this service, or set accept_any_wlcg_audience: the token is for any service.'
  const { profile } = settings
  const audience = acceptedAudiences(settings)[0]
  // Keycloak puts it into every token: accepting it would accept tokens for every other service.
  if (audiences.every((each) => each === 'account'))
    return adviceOn('account_audience', profile, { audience })
  return `${adviceOn('wrong_audience', profile, { audience })} Add the audience of the token to providers.<id>.audiences only if it stands for this service.`
}

function checkProfileVersion(claims: Claims): void {
  const version = claims['wlcg.ver']
  if (version === undefined || (typeof version === 'string' && /^1(\.\d{1,4})?$/.test(version))) {
    return
  }
  throw refusal(
    'profile_version',
    'the token has an unsupported version of the WLCG profile (claim wlcg.ver)',
    'Update this service: it supports only major version 1.',
  )
}

/** Returns the audiences that the settings accept, best first. */
export function acceptedAudiences(
  settings: Pick<ProviderSettings, 'audiences' | 'accept_any_wlcg_audience'>,
): readonly string[] {
  return settings.accept_any_wlcg_audience
    ? [...settings.audiences, WLCG_ANY_AUDIENCE]
    : settings.audiences
}

function isDate(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value < 1e11
}

function epochSeconds(date: Date): number {
  return Math.floor(date.getTime() / 1000)
}
