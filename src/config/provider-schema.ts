import { z } from 'zod'
import { providerDelegationSettings } from './delegation-schema.ts'
import { idPattern } from './id-pattern.ts'
import { findProblems } from './provider-problems.ts'
import { sharedIssuerProblems } from './shared-issuers.ts'
import { requestSettings } from './provider-profile.ts'
import { providerLoginSettings } from './web-schema.ts'

/**
 * Only asymmetric signature algorithms: with a symmetric one, everybody who can verify a token could also forge one.
 */
export const SIGNATURE_ALGORITHMS = [
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
  'ES256',
  'ES384',
  'ES512',
  'Ed25519',
  'EdDSA',
] as const

/** The part after the @ of a subject name. */
const alias = z
  .string()
  .regex(/^[A-Za-z0-9.-]{1,21}$/, 'must be 1 to 21 letters, digits, dots or hyphens')

/** Rules and paths of WaTTS use some ids with another meaning. */
const providerId = z
  .string()
  .regex(
    idPattern,
    'must be 1 to 64 letters, digits, `_`, `-` or dots, and begin with a letter, a digit or `_`',
  )
  .refine((id) => id !== 'any' && !id.startsWith('rsp'), {
    message:
      'must be another id; `any` means all providers, and rsp… users sent by relying services',
  })

const issuer = z.string().max(1024).refine(isAcceptableUrl, {
  message:
    'must be an https URL without query, fragment or user (http only for loopback addresses)',
})

const endpoint = (what: string) =>
  z
    .string()
    .max(1024)
    .refine(isAcceptableEndpoint, {
      message: 'must be an https URL without fragment or user (http only for loopback addresses)',
    })
    .optional()
    .describe(what)

/** Endpoints of a provider that can be set. */
export const providerEndpoints = z.strictObject({
  authorization: endpoint('Authorization endpoint.'),
  token: endpoint('Token endpoint.'),
  jwks: endpoint('Key set (jwks_uri).'),
  introspection: endpoint('Introspection endpoint; Ory Hydra has it on its administration port.'),
  userinfo: endpoint('UserInfo endpoint.'),
  device_authorization: endpoint('Device authorization endpoint.'),
  revocation: endpoint('Revocation endpoint.'),
})

/** Endpoints that replace those of the discovery document. */
export type ProviderEndpoints = z.output<typeof providerEndpoints>

const claimName = z.string().min(1).max(256).optional()
/** Every token has these, also that of a client, so they do not show a person. */
const NO_USER_NAMES = ['sub', 'client_id', 'azp', 'aud', 'iss', 'jti', 'cid', 'appid']

const claimNames = z.strictObject({
  groups: claimName.describe(
    'Claim with the groups, by name or path (`realm_access.roles`). Rules read it as `groups`; a claim `groups` of the token is then ignored.',
  ),
  scopes: claimName.describe(
    'Claim with the scopes, a text or a list. Default: `scope`, otherwise `scp`.',
  ),
  user_name: claimName
    .refine((name) => name === undefined || !NO_USER_NAMES.includes(name), {
      message: 'must be a claim that only tokens of persons have',
    })
    .describe(
      'Claim with the name of the user, which only tokens of persons may have. Rules read it as `preferred_username`. Default: `preferred_username`.',
    ),
})

const seconds = (least: number, most: number) => z.number().int().min(least).max(most)

const accessTokenEvidence = z.union([
  z.enum(['standard', 'none']),
  z
    .record(z.string().min(1).max(256), z.union([z.string().min(1), z.number(), z.boolean()]))
    .refine((claims) => Object.keys(claims).length > 0, {
      message: 'must be standard, none, or at least one claim with its value',
    }),
])

/** How access tokens of a provider are recognised. */
export type AccessTokenEvidence = z.output<typeof accessTokenEvidence>

/** One trusted OpenID provider. */
export const providerSettings = z
  .strictObject({
    issuer: issuer.describe(
      'Issuer URL, as in the claim `iss`. Only a trailing slash may differ. Several ids may have one issuer, for several logins at it. Rules for any of these ids read the claims of the first one in the configuration that accepts the token.',
    ),
    description: z
      .string()
      .max(200)
      .optional()
      .describe('Name of the provider on the login page. Default: its id.'),
    alias: alias
      .optional()
      .describe(
        'Text after the @ in subject names: 1 to 21 letters, digits, dots or hyphens. Default: the id of the provider, if it has this form.',
      ),
    audiences: z
      .array(z.string().min(1).max(1024))
      .default([])
      .describe('Accepted audiences; `aud` of a token must contain one of them.'),
    accept_any_wlcg_audience: z
      .boolean()
      .default(false)
      .describe('Accept tokens for https://wlcg.cern.ch/jwt/v1/any, the audience for any service.'),
    accept_missing_audience: z
      .boolean()
      .default(false)
      .describe(
        'Accept tokens without audience. INDIGO IAM issues such tokens unless the client requests an audience. Any service that gets such a token from a user can then use it here.',
      ),
    algorithms: z
      .array(z.enum(SIGNATURE_ALGORITHMS))
      .min(1)
      .default(['RS256', 'ES256'])
      .describe(
        'Accepted signature algorithms. `Ed25519` (RFC 9864) and its older name `EdDSA` mean the same.',
      ),
    clock_leeway_seconds: seconds(0, 300)
      .default(60)
      .describe('Allowed difference between the clocks of the provider and of this service.'),
    maximum_token_lifetime_seconds: seconds(60, 31_536_000)
      .optional()
      .describe(
        'Refuse tokens with a longer lifetime than this (exp - iat), in seconds. Default: no limit.',
      ),
    required_scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without spaces'))
      .default([])
      .describe('Scopes that every token must have.'),
    client_id: z
      .string()
      .min(1)
      .optional()
      .describe('OAuth client of this service at the provider.'),
    login: providerLoginSettings
      .prefault({})
      .describe(
        'Login on the web pages of this service. It needs `client_id`; register the client with the redirect URI `<public_url>/login/callback` (see `redirect_path`).',
      ),
    client_secret: z.string().min(1).optional().describe('Secret of the client. Prefer the file.'),
    client_secret_file: z
      .string()
      .min(1)
      .optional()
      .describe('File with the secret of the client.'),
    ...requestSettings,
    access_token_evidence: accessTokenEvidence
      .default('standard')
      .describe(
        'How access tokens are distinguished from ID tokens and refresh tokens, which the provider signs with the same keys. `standard`: by the header `typ: at+jwt` (RFC 9068), `typ: Bearer` (Keycloak), `token_use: access` (Cognito), a client with `scope` or `scp`, `wlcg.ver` with `scope`, or `client_id` with `jti` and no sign of a login (INDIGO IAM); for opaque tokens by `token_type` or `token_use` in the introspection answer. Claims with their values, such as `{tokenUse: api}`: a token that has all of them (as value, list element or word of a text) is an access token too; choose claims that ID tokens of the provider do not have. `none`: every token is accepted unless it declares another kind. Dex needs this, because its ID tokens and access tokens look alike. An ID token for any client in `audiences` then gets credentials here. With every setting, a token that declares another kind is refused.',
      ),
    claims: claimNames
      .prefault({})
      .describe('Claims that this provider uses in place of the usual ones.'),
    endpoints: providerEndpoints
      .prefault({})
      .describe(
        'Endpoints that replace those of the discovery document, or that it does not name.',
      ),
    introspect: z
      .enum(['never', 'opaque', 'always', 'userinfo'])
      .default('never')
      .describe(
        "Introspect tokens at the provider (RFC 7662). `opaque`: only tokens that are not JWTs. `always`: JWTs too, which detects revocation and adds claims that the JWT lacks (Keycloak's lightweight tokens). `userinfo`: opaque tokens are looked up at UserInfo only, for a provider without introspection (Google). Audience, scopes and expiry cannot be seen there, so any service that gets such a token from a user can use it here; it needs `accept_missing_audience: true`. With several providers, an opaque token is sent to all of them that introspect, at the same time.",
      ),
    userinfo: z
      .enum(['never', 'when_missing_groups', 'always'])
      .default('never')
      .describe(
        'Add the claims of UserInfo. `when_missing_groups`: only if neither token nor introspection has every claim that authorisation rules read, of those that UserInfo can set; if rules read none, only if there are no groups, roles or entitlements.',
      ),
    allow_client_tokens: z
      .boolean()
      .default(false)
      .describe(
        'Accept tokens of a client without a user (client credentials). Such tokens of Keycloak look like those of users: a token counts as a client token if neither token, introspection nor UserInfo has `preferred_username`, `username` or `auth_time`.',
      ),
    token_cache_seconds: seconds(0, 300)
      .default(60)
      .describe(
        'Time that a verified token is cached, in seconds, at most until it expires. 0: no cache.',
      ),
    introspection_cache_seconds: seconds(0, 300)
      .default(30)
      .describe('The same for tokens that needed introspection or UserInfo.'),
    jwks_refresh_seconds: seconds(60, 86_400)
      .default(21_600)
      .describe('Age at which the key set is fetched again in the background, in seconds.'),
    jwks_maximum_age_seconds: seconds(60, 345_600)
      .default(172_800)
      .describe(
        'Maximum age of a key set that is used while the provider is unreachable, in seconds. The newest one is kept in `provider-keys` of `data_dir`, for a restart.',
      ),
    jwks_cooldown_seconds: seconds(1, 3_600)
      .default(30)
      .describe(
        'Minimum time between two fetches of the key set because no key verifies a token, in seconds.',
      ),
    timeout_seconds: z
      .number()
      .min(0.05)
      .max(60)
      .default(10)
      .describe('Time limit for each request to the provider, in seconds.'),
    delegation: providerDelegationSettings
      .optional()
      .describe('Users may create delegations if this section exists, even an empty one.'),
  })
  .superRefine((settings, context) => {
    for (const { key, message } of findProblems(settings))
      context.addIssue({ code: 'custom', path: [key], message })
  })

/** Settings of one provider, with defaults filled in. */
export type ProviderSettings = z.output<typeof providerSettings>

/** All trusted providers by id. */
export const providersSettings = z
  .record(providerId, providerSettings)
  .superRefine((providers, context) => {
    const entries = Object.entries(providers).map(([id, settings]) => ({
      id,
      issuer: withoutTrailingSlash(settings.issuer),
      alias: aliasOf(id, settings),
      settings,
    }))
    for (const { path, message } of sharedIssuerProblems(entries))
      context.addIssue({ code: 'custom', path: [...path], message })
  })
  .describe('The trusted OpenID providers, by id.')

/** Returns the text after the @ in subject names of the provider's users. */
export function aliasOf(id: string, settings: Pick<ProviderSettings, 'alias'>): string {
  return settings.alias ?? id
}

/** Removes a trailing slash. The comparison of issuers ignores nothing else. */
export function withoutTrailingSlash(issuerUrl: string): string {
  return issuerUrl.endsWith('/') ? issuerUrl.slice(0, -1) : issuerUrl
}

/** Returns whether a URL is acceptable for an endpoint, which may have a query (RFC 6749 section 3.1). */
export function isAcceptableEndpoint(text: string): boolean {
  return isAcceptableUrl(text.split('?')[0] ?? '') && !text.includes('#')
}

/** Returns whether a URL is https, or http on a loopback address, without user, query and fragment. */
export function isAcceptableUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  if (url.username !== '' || url.password !== '' || /[?#]/.test(text)) return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}
