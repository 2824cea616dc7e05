/** What to do about a refused grant at each product. Checks that are not listed have the general remedy. */
import type { ProviderProfile } from '../config/provider-profile.ts'
import type { GrantCheck } from './refusal-types.ts'
import { explanations } from './refusal-words.ts'

type Remedies = Readonly<Partial<Record<GrantCheck, string>>>

const keycloak: Remedies = {
  scope_not_allowed:
    'Administrator of the Keycloak: assign the scopes to our client, as default or optional client scopes.',
  audience_not_allowed:
    'Operator: remove the audience, which must be the id of a client at Keycloak, and let an audience mapper of our client add it; with profile: keycloak none is requested.',
  grant_not_enabled:
    'Administrator of the Keycloak: switch on, for our client, Standard Token Exchange, or OAuth 2.0 Device Authorization Grant, or Standard flow.',
  subject_token_refused:
    'User: get a new access token. Administrator of the Keycloak: add a mapper of the type Audience that puts our client (Included Client Audience) into the access tokens of users.',
  offline_access_refused:
    'Administrator of the Keycloak: set Allow refresh token in Standard Token Exchange of our client to Same session, which lasts as long as the login session of the user. User: log in with `certcache login` for longer renewal; its client needs the optional scope offline_access.',
  refresh_token_dead:
    'User: start again with a new access token, or log in with `certcache login`. A token exchange at Keycloak renews only until the login session ends; offline_access lasts longer.',
  client_refused:
    'Operator: check client id and secret. Administrator of the Keycloak: check that the client exists, is enabled and has Client authentication on.',
}

const iam: Remedies = {
  scope_not_allowed:
    'IAM administrator: allow the scopes, including offline_access, for our client and for the client that users log in with, and in the exchange policy.',
  grant_not_enabled:
    'IAM administrator: enable the grant type (token exchange, refresh token, device code or authorization code) for our client; only an administrator can enable token exchange.',
  subject_token_refused:
    'User: get a new access token. IAM exchanges only tokens that it issued itself and that are neither expired nor revoked.',
  offline_access_refused:
    'IAM administrator: allow our client the grant type refresh_token and the scope offline_access. User: log in with `certcache login`.',
  refresh_token_dead:
    'User: start again with a new access token, or log in with `certcache login`. IAM administrator: switch "reuse refresh token" on for the client, so that a lost answer does not end its renewal.',
}

const hydra: Remedies = {
  audience_not_allowed:
    'Administrator of the Hydra: add the audience to the list `audience` of our client.',
  grant_not_enabled:
    'Log in with `certcache login --browser`: Ory Hydra has no token exchange, and version 2.3 has no device codes. The login needs authorization_code and refresh_token in `grant_types` of our client at Hydra.',
  scope_not_allowed: 'Administrator of the Hydra: add the scopes to `scope` of our client.',
  offline_access_refused:
    'Administrator of the Hydra: add offline_access to `scope`, and refresh_token to `grant_types`, of our client.',
  refresh_token_dead:
    'User: log in with `certcache login --browser`. Administrator of the Hydra: set oauth2.grant.refresh_token.rotation_grace_period, so that a lost answer does not end the renewal.',
}

const dex: Remedies = {
  grant_not_enabled:
    'Log in with `certcache login`: the token exchange of Dex takes tokens of its connectors, not its own.',
  offline_access_refused:
    'Use a connector that supports refresh, and request the scope offline_access.',
}

const remedies: Readonly<Partial<Record<ProviderProfile, Remedies>>> = {
  keycloak,
  'indigo-iam': iam,
  hydra,
  dex,
}

/** Returns what to do about a refused grant, as full sentences. */
export function remedyOf(check: GrantCheck, profile: ProviderProfile = 'generic'): string {
  return remedies[profile]?.[check] ?? explanations[check].remedy
}
