import { z } from 'zod'
import { providerDelegationSettings } from './delegation-schema.ts'
import { providerLoginSettings } from './web-schema.ts'

/** Asymmetric signature algorithms only: a symmetric one would let whoever can verify a token also make one. */
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
  'EdDSA',
] as const

/** Ids of providers, and their aliases: what may stand behind the @ of a subject name. */
const shortName = z
  .string()
  .regex(/^[A-Za-z0-9.-]{1,21}$/, 'must be 1 to 21 letters, digits, dots or hyphens')

/** WaTTS's rules mean something else by these, and its paths do. */
const providerId = shortName.refine((id) => id !== 'any' && !id.startsWith('rsp'), {
  message:
    'must be another id; `any` means all providers, and rsp… those whom relying services send',
})

const issuer = z.string().max(1024).refine(isAcceptableUrl, {
  message: 'must be an https URL without query, fragment or user (http only for this machine)',
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

/** By what tokens of a provider are known as access tokens. */
export type AccessTokenEvidence = z.output<typeof accessTokenEvidence>

/** One trusted OpenID provider. */
export const providerSettings = z
  .strictObject({
    issuer: issuer.describe(
      'Issuer URL, as in the claim `iss`. One trailing slash more or less makes no difference, anything else does.',
    ),
    description: z
      .string()
      .max(200)
      .optional()
      .describe('What people read about it, where they choose a provider. Default: its id.'),
    alias: shortName
      .optional()
      .describe('What stands behind the @ in subject names. Default: the id of the provider.'),
    audiences: z
      .array(z.string().min(1).max(1024))
      .default([])
      .describe('Audiences accepted in `aud`; one of them must be in the token.'),
    accept_any_wlcg_audience: z
      .boolean()
      .default(false)
      .describe('Accept tokens for https://wlcg.cern.ch/jwt/v1/any, which is anybody.'),
    accept_missing_audience: z
      .boolean()
      .default(false)
      .describe(
        'Accept tokens that name no audience. INDIGO IAM gives such tokens unless an audience is asked for; any service that the user ever showed one to can then use it here.',
      ),
    algorithms: z
      .array(z.enum(SIGNATURE_ALGORITHMS))
      .min(1)
      .default(['RS256', 'ES256'])
      .describe('Signature algorithms accepted.'),
    clock_leeway_seconds: seconds(0, 300)
      .default(60)
      .describe("Allowed difference between the provider's clock and ours."),
    maximum_token_lifetime_seconds: seconds(60, 31_536_000)
      .optional()
      .describe('Refuse tokens issued for longer than this (exp - iat). Default: no limit.'),
    required_scopes: z
      .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be a scope without blanks'))
      .default([])
      .describe('Scopes that a token must have, all of them.'),
    client_id: z.string().min(1).optional().describe('Our client at the provider.'),
    login: providerLoginSettings
      .prefault({})
      .describe(
        'Login with a browser, at the page of this service. There is one where there is a `client_id`; the client must be registered with the redirect URI `<public_url>/login/callback`.',
      ),
    client_secret: z
      .string()
      .min(1)
      .optional()
      .describe('Secret of our client. Better given as a file.'),
    client_secret_file: z
      .string()
      .min(1)
      .optional()
      .describe('File with the secret of our client.'),
    access_token_evidence: accessTokenEvidence
      .default('standard')
      .describe(
        'How access tokens are distinguished from ID tokens and refresh tokens, which the provider signs with the same keys. `standard`: by header `typ: at+jwt` (RFC 9068), `typ: Bearer` (Keycloak), `token_use: access` (Cognito), a client with `scope` or `scp`, `wlcg.ver` with `scope`, or `client_id` with `jti` and no sign of a login (INDIGO IAM); for opaque tokens by `token_type` or `token_use` in the introspection answer. Claims with their values, such as `{tokenUse: api}`: a token that has all of them (the value itself, an element of a list, or a word of a text) is an access token too; choose claims that no ID token of the provider has. `none`: whatever does not say that it is something else is taken, as Dex needs it, whose two kinds look alike. Then an ID token that was given to any client in `audiences` gets credentials here. Whatever is set, a token that says that it is another kind is refused.',
      ),
    introspect: z
      .enum(['never', 'opaque', 'always'])
      .default('never')
      .describe(
        'Ask the provider about tokens (RFC 7662): `opaque` those that are no JWT, `always` JWTs too, which notices revocation. With several providers an opaque token is shown to each that introspects.',
      ),
    userinfo: z
      .enum(['never', 'when_missing_groups', 'always'])
      .default('never')
      .describe(
        'Add the claims of UserInfo. `when_missing_groups`: only if neither token nor introspection tells groups, roles or entitlements.',
      ),
    allow_client_tokens: z
      .boolean()
      .default(false)
      .describe(
        "Accept tokens of a client alone, with no user (client credentials). Keycloak gives its clients tokens that look like those of users: one that has none of `preferred_username`, `username` and `auth_time`, in the token, introspection or UserInfo, counts as a client's.",
      ),
    token_cache_seconds: seconds(0, 300)
      .default(60)
      .describe('How long a verified token is remembered, at most until it expires. 0: never.'),
    introspection_cache_seconds: seconds(0, 300)
      .default(30)
      .describe('The same for tokens that were introspected or looked up at UserInfo.'),
    jwks_refresh_seconds: seconds(60, 86_400)
      .default(21_600)
      .describe('Age after which the key set is fetched again in the background.'),
    jwks_maximum_age_seconds: seconds(60, 345_600)
      .default(172_800)
      .describe('Age up to which a key set is used while the provider cannot be reached.'),
    jwks_cooldown_seconds: seconds(1, 3_600)
      .default(30)
      .describe('Least time between two fetches because of unknown key ids.'),
    timeout_seconds: z
      .number()
      .min(0.05)
      .max(60)
      .default(10)
      .describe('Deadline of every request to the provider.'),
    delegation: providerDelegationSettings
      .optional()
      .describe('With this section, empty or not, the service makes delegations for the users.'),
  })
  .superRefine(checkTogether)

/** Settings of one provider, with defaults filled in. */
export type ProviderSettings = z.output<typeof providerSettings>

/** All trusted providers by id. Issuers and aliases are unique, or two people could share a subject name. */
export const providersSettings = z
  .record(providerId, providerSettings)
  .superRefine((providers, context) => {
    const seen = new Map<string, string>()
    for (const [id, settings] of Object.entries(providers)) {
      const issuerKey = `issuer ${withoutTrailingSlash(settings.issuer)}`
      const aliasKey = `alias ${aliasOf(id, settings).toLowerCase()}`
      for (const key of [issuerKey, aliasKey]) {
        const other = seen.get(key)
        seen.set(key, id)
        if (other === undefined) continue
        context.addIssue({
          code: 'custom',
          path: [id, key.startsWith('alias') ? 'alias' : 'issuer'],
          message: `is also that of provider ${other}`,
        })
      }
    }
  })
  .describe('The trusted OpenID providers, by id.')

/** What stands behind the @ in subject names of the provider's users. */
export function aliasOf(id: string, settings: Pick<ProviderSettings, 'alias'>): string {
  return settings.alias ?? id
}

/** Issuers are compared after this, and by nothing looser. */
export function withoutTrailingSlash(issuerUrl: string): string {
  return issuerUrl.endsWith('/') ? issuerUrl.slice(0, -1) : issuerUrl
}

/** https, or http on this very machine; no user, query or fragment. */
export function isAcceptableUrl(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  if (url.username !== '' || url.password !== '' || /[?#]/.test(text)) return false
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname)
}

interface ClientKeys {
  readonly client_id?: string | undefined
  readonly client_secret?: string | undefined
  readonly client_secret_file?: string | undefined
}

/** A client that can prove who it is: token exchange and refresh are not for public clients. */
const isConfidential = (client: ClientKeys): boolean =>
  client.client_id !== undefined && hasSecret(client)

const hasSecret = (client: ClientKeys | undefined): boolean =>
  (client?.client_secret ?? client?.client_secret_file) !== undefined

interface Together extends ClientKeys {
  readonly audiences: readonly string[]
  readonly accept_any_wlcg_audience: boolean
  readonly accept_missing_audience: boolean
  readonly introspect: string
  readonly delegation?: ClientKeys | undefined
  readonly jwks_refresh_seconds: number
  readonly jwks_maximum_age_seconds: number
}

function checkTogether(settings: Together, context: z.core.$RefinementCtx): void {
  const complain = (key: string, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message })
  const { accept_any_wlcg_audience: any, accept_missing_audience: missing } = settings
  if (settings.audiences.length === 0 && !any && !missing) {
    complain(
      'audiences',
      'needs at least one audience (or accept_any_wlcg_audience or accept_missing_audience)',
    )
  }
  if (settings.introspect !== 'never' && !isConfidential(settings)) {
    complain('introspect', 'needs client_id and client_secret_file, by which we are known there')
  }
  const { delegation } = settings
  const client = delegation?.client_id === undefined ? settings : delegation
  if (delegation !== undefined && !isConfidential(client)) {
    complain(
      'delegation',
      'needs client_id and client_secret_file, here or for the provider, by which we are known there',
    )
  }
  if (delegation?.client_id === undefined && hasSecret(delegation)) {
    complain('delegation', 'needs client_id beside the client_secret of this section')
  }
  if (settings.jwks_maximum_age_seconds < settings.jwks_refresh_seconds) {
    complain('jwks_maximum_age_seconds', 'must be at least jwks_refresh_seconds')
  }
}
