/** What the operator, or the client, can do at each product about a refused token: the only place with these texts. */
import type { ProviderProfile } from '../config/provider-profile.ts'

/** What is wrong with a token, or at its provider. */
export type AdviceTopic =
  | 'missing_audience'
  | 'wrong_audience'
  | 'account_audience' // the one that Keycloak puts into every token
  | 'missing_claim'
  | 'other_groups' // the claim with groups is there, but no rule matches
  | 'no_scopes' // the token does not name its scopes
  | 'missing_scope'
  | 'client_token'
  | 'unclear_subject' // a user or a client
  | 'missing_subject'
  | 'unknown_kind' // nothing says that it is an access token
  | 'inactive'
  | 'no_introspection_endpoint'

/** Values for the texts; all of them come from the configuration. */
export interface AdviceValues {
  /** The first accepted audience. */
  readonly audience?: string | undefined
  /** The claim that a rule reads. */
  readonly claim?: string | undefined
}

type Text = string | ((values: Required<AdviceValues>) => string)
type Texts = Readonly<Partial<Record<AdviceTopic, Text>>>

const generic = {
  missing_audience: ({ audience }) =>
    `Request an audience: at INDIGO IAM add audience=${audience ?? '<audience>'} to the authorization or token request. Or set accept_missing_audience, after reading what it means.`,
  wrong_audience: ({ audience }) => `Request the audience ${audience ?? '(none is configured)'}.`,
  account_audience: ({ audience }) =>
    `Request the audience ${audience ?? '(none is configured)'}. At Keycloak, add a mapper of the type Audience to the client that requests the token.`,
  missing_claim: ({ claim }) =>
    claim === 'wlcg.groups'
      ? 'The client must request the scope wlcg.groups, with the wlcg profile at INDIGO IAM.'
      : `To get ${claim}, set userinfo: always or when_missing_groups for the provider (the token needs the scopes openid and profile), set introspect: always, or switch on IAM_ACCESS_TOKEN_INCLUDE_AUTHN_INFO at INDIGO IAM.`,
  other_groups: '',
  no_scopes:
    'Switch on IAM_ACCESS_TOKEN_INCLUDE_SCOPE or use the wlcg profile at INDIGO IAM, or set introspect: always here.',
  missing_scope:
    'Let the client request the scopes in required_scopes, and allow them for it at the provider.',
  client_token: 'Log in as a user (not client_credentials), or set allow_client_tokens.',
  unclear_subject:
    'Give the client the scope profile at Keycloak, set introspect: always here, which adds the user name, or set allow_client_tokens.',
  missing_subject: 'Make the provider put `sub` into its access tokens.',
  unknown_kind:
    'Send the access token, not the ID token. If it is an access token, the provider must put client_id and scope, or the header typ at+jwt, into its access tokens, or answer token_type at introspection (introspect: always here). Otherwise set providers.<id>.access_token_evidence to the claims that mark them.',
  inactive:
    'Get a new token. If it should be active, check that our client may introspect and that this provider issued the token.',
  no_introspection_endpoint:
    'Set endpoints.introspection of the provider if its discovery document does not name it, or set introspect to never.',
} satisfies Readonly<Record<AdviceTopic, Text>>

const keycloakAudience: Text = ({ audience }) =>
  `Add a mapper of the type Audience to the client that requests the token (Clients, Client scopes, the dedicated scope), with ${audience ?? 'an audience of this service'} as included custom audience and "Add to access token" on.`

const keycloak: Texts = {
  missing_audience: keycloakAudience,
  wrong_audience: keycloakAudience,
  account_audience: keycloakAudience,
  missing_claim: ({ claim }) =>
    isGroups(claim)
      ? `Add a mapper of the type Group Membership to the client that requests the token, with the token claim name ${claim} and "Add to access token" on. While "Full group path" is on, groups begin with a slash, and a rule must name /cms, not cms. For lightweight access tokens set introspect: always here.`
      : `Give the client that requests the token a scope or mapper that sets ${claim} with "Add to access token" on, or set introspect: always here for lightweight access tokens.`,
  other_groups:
    'While "Full group path" is on in the mapper of the groups, they begin with a slash: a rule must name /cms, not cms, or switch it off.',
  no_scopes:
    'Switch on "Include in token scope" for the scopes in required_scopes, or set introspect: always here for lightweight access tokens.',
  missing_scope:
    'Assign the scopes in required_scopes to the client that requests the token, as default scopes or as optional ones that it requests, with "Include in token scope" on.',
  client_token:
    'Log in as a user: this is the token of a service account. Or set allow_client_tokens.',
  unclear_subject:
    'Give the client that requests the token the scopes profile and basic, which add preferred_username and auth_time, set introspect: always here, which adds the user name, or set allow_client_tokens.',
  missing_subject:
    'Give the client that requests the token the scope basic, which adds sub. Or switch off "Always use lightweight access token" for it, or set introspect: always here.',
  unknown_kind:
    'Send the access token, not the ID token: access tokens of Keycloak say typ: Bearer. If a mapper changes that, switch on "Use at+jwt as access token header type" for the client that requests the token.',
  inactive:
    'Get a new token. If it should be active, add our client to its audience by a mapper of the type Audience (included client audience): Keycloak calls a token inactive when a client asks that is not in its aud.',
}

const iam: Texts = {
  missing_audience: ({ audience }) =>
    `Add audience=${audience ?? '<audience>'} to the authorization or token request; in a device login to the token request. Or set accept_missing_audience, after reading what it means.`,
  wrong_audience: ({ audience }) =>
    `Add audience=${audience ?? '<audience>'} to the authorization or token request; in a device login to the token request.`,
  missing_claim: ({ claim }) =>
    claim === 'wlcg.groups'
      ? 'Let the client request the scope wlcg.groups, and register for it the scope wlcg, which selects the wlcg profile.'
      : `Let the client request the scopes openid and profile and set userinfo: when_missing_groups here, or switch on IAM_ACCESS_TOKEN_INCLUDE_AUTHN_INFO, which adds ${claim} if the profile iam has it.`,
  no_scopes:
    'Switch on IAM_ACCESS_TOKEN_INCLUDE_SCOPE, register the scope wlcg for the client, which selects the wlcg profile, or set introspect: always here.',
  missing_scope:
    'Add the scopes in required_scopes to the client that requests the token, and let it request them. Introspection shows only those scopes that our client has, too.',
  client_token:
    'Log in as a user (code or device login, not client_credentials), or set allow_client_tokens.',
  unknown_kind:
    'Send the access token, not the ID token: access tokens of INDIGO IAM have client_id and jti.',
  inactive:
    'Get a new token: this one was revoked, its user was deleted, or a refresh has ended it. With "Reuse refresh token" off or "Clear access tokens on refresh" on, INDIGO IAM ends the older access tokens at each refresh.',
}

const dexAudience: Text = ({ audience }) =>
  `Request the scope audience:server:client_id:${audience ?? '<our client>'}, and name the client that requests the token in trustedPeers of that client at Dex. The audience of a token of Dex is always a client.`

const dex: Texts = {
  missing_audience: dexAudience,
  wrong_audience: dexAudience,
  missing_claim: ({ claim }) =>
    isGroups(claim)
      ? `Let the client request the scope groups, with a connector that knows groups. Dex calls the claim groups${claim === 'groups' ? '' : `, not ${claim}`}.`
      : `Let the client request the scopes profile and email: Dex has few other claims. If ${claim} is not among them, change the rule.`,
  no_scopes: 'Remove required_scopes of this provider: tokens of Dex do not name their scopes.',
  unknown_kind:
    'Set access_token_evidence to none: access tokens of Dex look like ID tokens. Then list in audiences only clients that show their ID tokens to nobody else.',
}

const hydraAudience: Text = ({ audience }) =>
  `Add ${audience ?? 'an audience of this service'} to the list of audiences of the client at Hydra, and add audience=${audience ?? '<audience>'} to the authorization request. Hydra ignores resource, and an audience at refresh.`

const hydra: Texts = {
  missing_audience: hydraAudience,
  wrong_audience: hydraAudience,
  missing_claim: ({ claim }) =>
    `Let the consent application put ${withoutExt(claim)} into session.access_token. Hydra then has it under ext: write ext.${withoutExt(claim)} in the rule, or set claims.groups to it here. oauth2.allowed_top_level_claims makes it a claim of its own.`,
  no_scopes:
    'Let the client request the scopes in required_scopes: Hydra lists the granted ones in scp.',
  missing_scope:
    'Add the scopes in required_scopes to the client at Hydra, let it request them, and let the consent application grant them.',
  unknown_kind:
    'Send the access token, not the ID token: access tokens of Hydra have client_id and jti.',
  inactive:
    'Get a new token. If it should be active, check that this Hydra issued it: Hydra ends a token when the consent of its user or its client is removed, or when a used refresh token of the same login is used again.',
  no_introspection_endpoint:
    'Set endpoints.introspection to that of the administration port (/admin/oauth2/introspect): Hydra has none on its public port.',
}

const profiles: Readonly<Record<ProviderProfile, Texts>> = {
  generic,
  keycloak,
  'indigo-iam': iam,
  dex,
  hydra,
}

/** Returns what to do, in full sentences: for the product of the provider, or for any. */
export function adviceOn(
  topic: AdviceTopic,
  profile: ProviderProfile,
  values: AdviceValues = {},
): string {
  const text: Text = profiles[profile][topic] ?? generic[topic]
  const { audience, claim } = values
  return typeof text === 'string' ? text : text({ audience, claim })
}

/** A rule may already name the claim by its path. */
const withoutExt = (claim = ''): string => claim.replace(/^ext\./, '')

function isGroups(claim: string | undefined): boolean {
  return claim === 'groups' || claim === 'wlcg.groups'
}
