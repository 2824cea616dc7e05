import type { ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../errors.ts'
import { scopesOf, type Claims } from './claim-checks.ts'
import { refusal } from './refusals.ts'

/** The OAuth client that a token was issued to. */
export function clientIdOf(claims: Claims): string | undefined {
  for (const name of ['client_id', 'azp']) {
    const value = claims[name]
    if (typeof value === 'string' && value !== '') return value
  }
  return undefined
}

/** Whom a token speaks for. `unknown`: its provider would show that it is a person, and does not. */
export type SpeaksFor = 'client' | 'person' | 'unknown'

/**
 * Whom a token speaks for, by what providers write. IAM puts the client's id into `sub`. Keycloak invents a user for a client's
 * service account, whose `sub` tells nothing.
 */
export function speaksFor(claims: Claims): SpeaksFor {
  const { sub, gty, idtyp } = claims
  const isItself = ['client_id', 'azp', 'cid', 'appid'].some((name) => claims[name] === sub)
  // Auth0, Entra ID.
  const isByGrant = gty === 'client-credentials' || idtyp === 'app'
  if (isItself || isByGrant || isServiceAccount(claims)) return 'client'
  return isKeycloak(claims) && !isPersonAtKeycloak(claims) ? 'unknown' : 'person'
}

/** Whether a token speaks for a client and no user. */
export function isClientOnly(claims: Claims): boolean {
  return speaksFor(claims) === 'client'
}

/** Keycloak names service accounts, and with the scope `service_account` tells where the client called from. */
function isServiceAccount(claims: Claims): boolean {
  return (
    usernamesOf(claims).some((name) => name.startsWith('service-account-')) ||
    claims['clientHost'] !== undefined ||
    claims['clientAddress'] !== undefined ||
    isByClientCredentials(claims)
  )
}

const isKeycloak = ({ typ }: Claims): boolean => typ === 'Bearer'

/**
 * A login leaves the id of its session in the token; the client credentials grant does not (ClientCredentialsGrantType clears it,
 * unless the client is set to use refresh tokens). A user name is there with the scope `profile`, or at introspection.
 */
function isPersonAtKeycloak(claims: Claims): boolean {
  const { sid, session_state: session } = claims
  return sid !== undefined || session !== undefined || usernamesOf(claims).length > 0
}

/** `username` is of introspection (RFC 7662 section 2.2). */
function usernamesOf(claims: Claims): readonly string[] {
  return [claims['preferred_username'], claims['username']].filter(
    (name) => typeof name === 'string',
  )
}

/** Since Keycloak 26.2, `jti` begins with codes for session, token and grant (DefaultTokenContextEncoderProvider). */
function isByClientCredentials({ jti }: Claims): boolean {
  return typeof jti === 'string' && /^(on|of|tr|nt|ft|un)(rt|lt)cc:/.test(jti)
}

/**
 * @param settings those of the provider
 * @param more.willAsk UserInfo is asked next, and may tell
 * @throws TtsError `invalid_token`, check `user`, for the token of a client alone unless such are allowed
 */
export function checkUser(
  claims: Claims,
  settings: ProviderSettings,
  { willAsk = false }: { readonly willAsk?: boolean } = {},
): void {
  if (settings.allow_client_tokens) return
  const whom = speaksFor(claims)
  if (whom === 'client') {
    throw refusal(
      'user',
      'the token speaks for a client and for no user',
      'log in as a user (not client_credentials), or set allow_client_tokens',
    )
  }
  if (whom === 'person' || willAsk) return
  throw refusal(
    'user',
    'the token does not show whether it speaks for a user or for a client',
    'at Keycloak let the client ask for the scope profile, or set introspect: always or userinfo: always here; the token of a service account would look like this',
  )
}

/** @throws TtsError `insufficient_scope` when a required scope is missing. */
export function checkScopes(claims: Claims, settings: ProviderSettings): void {
  const scopes = scopesOf(claims)
  const missing = settings.required_scopes.filter((scope) => !scopes.includes(scope))
  if (missing.length === 0) return
  const untold = claims['scope'] === undefined
  throw new TtsError(
    'insufficient_scope',
    untold
      ? 'the token does not tell its scopes'
      : `the token lacks a required scope: ${missing.join(' ')}`,
    {
      check: 'scope',
      scope: settings.required_scopes.join(' '),
      remedy: untold
        ? 'at INDIGO IAM switch on IAM_ACCESS_TOKEN_INCLUDE_SCOPE or use the wlcg profile; or set introspect: always here'
        : 'the client has to ask for the scope and be allowed to have it; required_scopes lists what is wanted',
    },
  )
}
