import type { GrantCheck } from './refusal-types.ts'

/** What a refusal means, and who has to do what. */
interface Explanation {
  /** For the caller. */
  readonly message: string
  /** Who must do what. */
  readonly remedy: string
}

/** Every refusal in words. */
export const explanations: Readonly<Record<GrantCheck, Explanation>> = {
  same_client: {
    message:
      'the identity provider lets no client turn its own token into one that lasts: the token was issued to the very client that renews',
    remedy:
      'Operator: register a separate client for delegations. The client that exchanges tokens must not be the client that users log in with.',
  },
  scope_missing: {
    message: 'the identity provider wants to be told which scopes are asked for',
    remedy: 'Operator: name at least one scope, for example openid profile offline_access.',
  },
  scope_not_allowed: {
    message:
      'the identity provider does not grant one of the scopes asked for, to our client or to the client that the token was issued to',
    remedy:
      'IAM administrator: allow the scopes, including offline_access, for both clients and in the exchange policy. User: log in with these scopes.',
  },
  audience_not_allowed: {
    message: 'the identity provider does not issue tokens for the audience asked for',
    remedy:
      'Operator: correct the audience. Administrator of the provider: make the audience available to our client.',
  },
  grant_not_enabled: {
    message: 'the identity provider does not allow our client to get tokens in this way',
    remedy:
      'IAM administrator: enable the grant (token exchange, refresh token, device code or authorization code) for our client, and permit the exchange in the exchange policy.',
  },
  subject_token_refused: {
    message:
      'the identity provider does not take the access token: it has expired, was revoked, comes from elsewhere, or is not meant for our client',
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
    message: "the user's account at the identity provider is disabled, suspended or gone",
    remedy:
      'User: ask the administrators of the provider. When the account is restored, start again with a new access token.',
  },
  refresh_token_dead: {
    message:
      'the identity provider does not take the refresh token any more: it has expired, was revoked, or was used by somebody else',
    remedy: 'User: start again with a new access token, or log in with `certcache login`.',
  },
  offline_access_refused: {
    message:
      'the identity provider gives no refresh token for an access token: renewal needs a login by device, `certcache login`',
    remedy:
      'User: log in with `certcache login`. IAM administrator: allow our client the grant refresh_token and the scope offline_access; Keycloak never gives offline access by token exchange.',
  },
  device_denied: {
    message: 'the login was refused on the other device',
    remedy: 'User: start again and agree on the page of the provider.',
  },
  device_expired: {
    message:
      'the code is not valid any more: it was not entered in time, or the login was not completed',
    remedy: 'User: start again with `certcache login`.',
  },
  login_denied: {
    message: 'the login was refused in the browser',
    remedy: 'User: start again and agree on the page of the provider.',
  },
  login_expired: {
    message: 'the login was not completed in time, or the provider does not take its code',
    remedy: 'User: start again with `certcache login --browser`.',
  },
  client_refused: {
    message: 'the identity provider does not accept our client',
    remedy:
      'Operator: check client id and secret. IAM administrator: check that the client is neither suspended nor deleted.',
  },
  request_refused: {
    message: 'the identity provider refuses for a reason that is not known here',
    remedy: 'Operator: see the log of the provider, and the cause in ours.',
  },
}
