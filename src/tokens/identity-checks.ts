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

/**
 * Whether a token speaks for a client and no user. IAM puts the client's id into `sub`; Keycloak invents a user whose
 * name tells.
 */
export function isClientOnly(claims: Claims): boolean {
  const sub = claims['sub']
  if (sub === claims['client_id'] || sub === claims['azp']) return true
  const username = claims['preferred_username']
  return typeof username === 'string' && username.startsWith('service-account-')
}

/** @throws TtsError `invalid_token`, check `user`, for the token of a client alone unless such are allowed. */
export function checkUser(claims: Claims, settings: ProviderSettings): void {
  if (settings.allow_client_tokens || !isClientOnly(claims)) return
  throw refusal(
    'user',
    'the token speaks for a client and for no user',
    'log in as a user (not client_credentials), or set allow_client_tokens',
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
