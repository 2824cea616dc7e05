/** Looks up an opaque token at one provider: by introspection, or by UserInfo alone. */
import { TtsError } from '../base/errors.ts'
import { checkBearer, claimChecks } from './claim-checks.ts'
import type { Claims } from './claim-values.ts'
import type { KnownClaims } from './identity-checks.ts'
import {
  canIntrospect,
  checkIntrospection,
  claimsOfAnswer,
  fetchIntrospection,
  namesUser,
} from './introspection.ts'
import type { Provider } from './providers.ts'
import { kindOfAnswer } from './token-kind.ts'
import { canAskUserInfo, fetchUserInfo, mergeUserInfo } from './userinfo.ts'

/** What a provider says of an opaque token. `no_endpoint`: it cannot be asked. */
export type OpaqueLookup = KnownClaims | 'unknown' | 'no_endpoint'

/**
 * Looks up an opaque token.
 *
 * @throws {TtsError} `invalid_token` (the provider knows the token, and a check refuses it), `provider_unavailable`
 */
export async function lookUpOpaque(
  token: string,
  provider: Provider,
  now: Date,
): Promise<OpaqueLookup> {
  if (provider.settings.introspect === 'userinfo') return lookUpAtUserInfo(token, provider, now)
  if (!(await canIntrospect(provider))) return 'no_endpoint'
  const answer = await fetchIntrospection(token, provider)
  if (answer['active'] !== true) return 'unknown'
  return completed(token, answer, { provider, now })
}

/**
 * Checks an introspection answer. Both `token_type` and `sub` are optional in it (RFC 7662 section 2.2). If one is
 * missing, UserInfo is asked too: it accepts access tokens only, and always names the subject (OpenID Connect Core
 * sections 5.3.1 and 5.3.2).
 */
async function completed(
  token: string,
  answer: Claims,
  { provider, now }: { readonly provider: Provider; readonly now: Date },
): Promise<KnownClaims> {
  const { settings } = provider
  const claims = claimsOfAnswer(answer, provider)
  const { kind } = kindOfAnswer(claims, { evidence: settings.access_token_evidence })
  // An access token that names neither subject nor user is of a client, which has no UserInfo.
  const isComplete = kind !== 'unknown' && (claims['sub'] !== undefined || !namesUser(claims))
  if (isComplete || !(await canAskUserInfo(provider))) return check()
  let userInfo: Claims
  try {
    userInfo = await fetchUserInfo(token, claims['sub'], provider)
  } catch (error) {
    if (error instanceof TtsError && error.check === 'userinfo') return check()
    throw error
  }
  const known = { ...claims, sub: userInfo['sub'] }
  checkBearer(known)
  for (const { check: name, run } of claimChecks)
    if (name !== 'type' || kind !== 'unknown')
      run(known, { settings, now, source: 'introspection' })
  return { ...mergeUserInfo({ claims: known, sources: [known] }, userInfo), hasUserInfo: true }

  function check(): KnownClaims {
    return checkIntrospection(answer, provider, { now })
  }
}

/** Returns the endpoint at which opaque tokens are looked up, by its name in the settings `endpoints`. */
export const lookupEndpoint = ({ settings }: Pick<Provider, 'settings'>) =>
  settings.introspect === 'userinfo' ? 'userinfo' : 'introspection'

/** Its expiry is not known. It is asked about again when its cache entry ends, which is earlier. */
const ASSUMED_LIFETIME_SECONDS = 300

/**
 * Asks UserInfo alone, as WaTTS did. Neither audience, scopes nor expiry can be seen there, so the operator must allow
 * it (`introspect: userinfo`).
 */
async function lookUpAtUserInfo(
  token: string,
  provider: Provider,
  now: Date,
): Promise<OpaqueLookup> {
  if (!(await canAskUserInfo(provider))) return 'no_endpoint'
  let userInfo: Claims
  try {
    userInfo = await fetchUserInfo(token, undefined, provider)
  } catch (error) {
    if (error instanceof TtsError && error.check === 'userinfo') return 'unknown'
    throw error
  }
  const { settings } = provider
  const claims = {
    iss: settings.issuer,
    sub: userInfo['sub'],
    exp: Math.floor(now.getTime() / 1000) + ASSUMED_LIFETIME_SECONDS,
  }
  for (const { check, run } of claimChecks)
    if (check !== 'type') run(claims, { settings, now, source: 'introspection' })
  return { ...mergeUserInfo({ claims, sources: [claims] }, userInfo), hasUserInfo: true }
}
