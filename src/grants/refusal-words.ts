import type { GrantCheck } from './refusal-types.ts'

/** The meaning of a refusal, and who must do what. */
interface Explanation {
  /** For the caller. */
  readonly message: string
  /** Who must do what. */
  readonly remedy: string
}

/** The explanation of each refusal. */
export const explanations: Readonly<Record<GrantCheck, Explanation>> = {
  same_client: {
    message:
      'the identity provider does not let a client exchange its own token for a lasting one: the token was issued to the client that renews',
    remedy:
      'Operator: register a separate client for delegations. The client that exchanges tokens must not be the client that users log in with.',
  },
  scope_missing: {
    message: 'the identity provider requires that scopes are named in the request',
    remedy: 'Operator: name at least one scope, for example openid profile offline_access.',
  },
  scope_not_allowed: {
    message:
      'the identity provider does not grant one of the requested scopes, either to our client or to the client that the token was issued to',
    remedy:
      'IAM administrator: allow the scopes, including offline_access, for both clients and in the exchange policy. User: log in with these scopes.',
  },
  audience_not_allowed: {
    message: 'the identity provider does not issue tokens for the requested audience',
    remedy:
      'Operator: correct the audience. Administrator of the provider: make the audience available to our client.',
  },
  grant_not_enabled: {
    message: 'the identity provider does not allow this kind of grant for our client',
    remedy:
      'IAM administrator: enable the grant (token exchange, refresh token, device code or authorization code) for our client, and permit the exchange in the exchange policy.',
  },
  subject_token_refused: {
    message:
      'the identity provider does not accept the access token: it has expired, was revoked, comes from another issuer, or is not meant for our client',
    remedy:
      'User: get a new access token from this provider. Administrator of a Keycloak: add an audience mapper that puts our client into the tokens.',
  },
  aup_not_signed: {
    message:
      'the acceptable use policy is not signed: log in at the identity provider, sign it, then try again',
    remedy:
      'User: sign the acceptable use policy (AUP) at the provider. Renewal then continues by itself.',
  },
  user_disabled: {
    message: "the user's account at the identity provider is disabled, suspended or deleted",
    remedy:
      'User: ask the administrators of the provider. When they restore the account, renewal continues by itself if the provider still accepts the refresh token.',
  },
  refresh_token_dead: {
    message:
      'the identity provider does not accept the refresh token any more: it has expired, was revoked, or was used elsewhere',
    remedy: 'User: start again with a new access token, or log in with `certcache login`.',
  },
  offline_access_refused: {
    message:
      'the identity provider does not exchange an access token for a refresh token: renewal needs a login with `certcache login`',
    remedy:
      'User: log in with `certcache login`. IAM administrator: allow our client the grant refresh_token and the scope offline_access. Keycloak administrator: set "Allow refresh token in Standard Token Exchange" of our client to "Same session", with profile: keycloak here; it renews as long as the login session lasts.',
  },
  device_denied: {
    message: 'the login was refused on the other device',
    remedy: 'User: start again and agree on the page of the provider.',
  },
  device_expired: {
    message: 'the code has expired: it was not entered in time, or the login was not completed',
    remedy: 'User: start again with `certcache login`.',
  },
  login_denied: {
    message: 'the login was refused in the browser',
    remedy: 'User: start again and agree on the page of the provider.',
  },
  login_expired: {
    message: 'the login was not completed in time, or the provider does not accept its code',
    remedy: 'User: start again with `certcache login --browser`.',
  },
  client_refused: {
    message: 'the identity provider does not accept our client',
    remedy:
      'Operator: check client id and secret. IAM administrator: check that the client is neither suspended nor deleted.',
  },
  request_refused: {
    message: 'the identity provider refused the request with an unknown error',
    remedy: 'Operator: see the log of the provider, and the cause in ours.',
  },
}
