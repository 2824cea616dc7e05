/** Looks at a provider from outside, and at a token of it, and suggests settings. Used by `tts provider probe`. */
import type * as oidc from 'openid-client'
import { SIGNATURE_ALGORITHMS, providerSettings } from '../config/provider-schema.ts'
import type { ProviderProfile } from '../config/provider-profile.ts'
import type { Claims } from './claim-values.ts'
import { discover, METADATA_NAMES, type ProviderClient } from './discovery.ts'
import { createLimitedFetch, type Fetch } from './limited-fetch.ts'
import { describeFailure } from './refusals.ts'
import { examineToken, type ExaminedToken } from './probe-token.ts'

/** What to look at. */
export interface ProbeRequest extends Omit<ProviderClient, 'clientId'> {
  readonly issuer: string
  /** Our client at the provider, if there is one already. */
  readonly clientId: string | undefined
  /** Where discovery names none. Asked without authentication if there is no secret. */
  readonly introspectionEndpoint?: string | undefined
  readonly token: string | undefined
  readonly timeoutMs: number
  readonly now: Date
  /** Default: the global `fetch`. */
  readonly fetch?: Fetch
}

/** What was found, and the settings that fit. */
export interface ProbeResult {
  readonly issuer: string
  readonly profile: ProviderProfile
  /** By their names in the settings `endpoints`; only those that the provider has. */
  readonly endpoints: Readonly<Record<string, string>>
  readonly algorithms: readonly string[]
  readonly grants: readonly string[]
  readonly token: ExaminedToken | undefined
  /** One provider of the configuration, without `audiences`. */
  readonly settings: Readonly<Record<string, unknown>>
  /** Full sentences: what the operator must decide or change at the provider. */
  readonly remarks: readonly string[]
}

const MAX_BODY_BYTES = 256 * 1024

/**
 * Looks at discovery document, keys and token. The token is shown to this provider only.
 *
 * @throws {TtsError} `provider_unavailable`; errors of openid-client (no discovery document)
 */
export async function probeProvider(request: ProbeRequest): Promise<ProbeResult> {
  const { issuer, timeoutMs, now, token } = request
  const limited = createLimitedFetch(request.fetch ?? fetch, {
    timeoutMs,
    maxBodyBytes: MAX_BODY_BYTES,
  })
  try {
    const configuration = await discover({
      ...request,
      clientId: request.clientId ?? 'tts',
      required: [],
      timeoutSeconds: timeoutMs / 1000,
      fetch: limited.fetch,
    })
    const { introspectionEndpoint } = request
    const discovered: oidc.ServerMetadata = configuration.serverMetadata()
    const metadata = {
      ...discovered,
      ...(introspectionEndpoint !== undefined && { introspection_endpoint: introspectionEndpoint }),
    }
    const published = await algorithmsOfKeys(metadata.jwks_uri, limited.fetch)
    const examined =
      token === undefined
        ? undefined
        : await examineToken(token, {
            settings: providerSettings.parse({
              issuer,
              audiences: ['probe'],
              algorithms: [...SIGNATURE_ALGORITHMS],
              endpoints: { introspection: introspectionEndpoint },
              ...clientSettings(request),
              timeout_seconds: Math.min(60, timeoutMs / 1000),
            }),
            client: { clientId: request.clientId, clientSecret: request.clientSecret },
            fetch: limited.fetch,
            now,
          })
    return suggest({ request, metadata, published, token: examined })
  } finally {
    limited.close()
  }
}

/** The parts of a suggestion. */
interface Found {
  readonly request: ProbeRequest
  readonly metadata: oidc.ServerMetadata
  readonly published: readonly string[]
  readonly token: ExaminedToken | undefined
}

function suggest({ request, metadata, published, token }: Found): ProbeResult {
  const profile = profileOf(metadata)
  const algorithms = token?.algorithm === undefined ? published : [token.algorithm]
  const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  const onlyPost =
    !methods.includes('client_secret_basic') && methods.includes('client_secret_post')
  const isDefault = algorithms.every((name) => ['RS256', 'ES256'].includes(name))
  return {
    issuer: request.issuer,
    profile,
    endpoints: endpointsOf(metadata),
    algorithms,
    grants: metadata.grant_types_supported ?? [],
    token,
    settings: {
      issuer: request.issuer,
      ...(profile !== 'generic' && { profile }),
      ...(!isDefault && { algorithms }),
      ...(request.clientId !== undefined && { client_id: request.clientId }),
      ...(usesIntrospection(token) && introspectionSettings(request)),
      ...(request.clientSecret !== undefined && { client_secret_file: '/etc/tts/client-secret' }),
      ...(onlyPost && { client_authentication: 'post' }),
      ...token?.settings,
    },
    remarks: [...remarksOf(profile, metadata), ...(token?.remarks ?? [])],
  }
}

const usesIntrospection = (token: ExaminedToken | undefined): boolean =>
  ['opaque', 'always'].includes(String(token?.settings['introspect']))

/** Returns how to authenticate at an endpoint that was given without a secret. */
function clientSettings({ introspectionEndpoint, clientSecret }: ProbeRequest) {
  return introspectionEndpoint === undefined || clientSecret !== undefined
    ? {}
    : { client_authentication: 'none' as const }
}

/** A client that no provider knows can introspect there, but not log users in. */
function introspectionSettings(request: ProbeRequest): Record<string, unknown> {
  const { introspectionEndpoint: introspection, clientId } = request
  if (introspection === undefined) return {}
  return {
    endpoints: { introspection },
    ...clientSettings(request),
    ...(clientId === undefined && { client_id: 'tts', login: { enabled: false } }),
  }
}

function endpointsOf(metadata: oidc.ServerMetadata): Record<string, string> {
  return Object.fromEntries(
    Object.entries(METADATA_NAMES).flatMap(([name, member]) => {
      const url = metadata[member]
      return typeof url === 'string' ? [[name, url]] : []
    }),
  )
}

/** Recognises a provider by the paths of its endpoints, which are fixed in these products. */
function profileOf(metadata: oidc.ServerMetadata): ProviderProfile {
  const path = (url: string | undefined): string =>
    URL.canParse(url ?? '') ? new URL(url ?? '').pathname : ''
  const { token_endpoint: token, jwks_uri: jwks, device_authorization_endpoint: device } = metadata
  if (path(token).endsWith('/protocol/openid-connect/token')) return 'keycloak'
  if (path(device).endsWith('/devicecode') && path(jwks).endsWith('/jwk')) return 'indigo-iam'
  if (path(token).endsWith('/oauth2/token') && path(jwks).endsWith('/.well-known/jwks.json'))
    return 'hydra'
  if (path(device).endsWith('/device/code') && path(jwks).endsWith('/keys')) return 'dex'
  return 'generic'
}

const PROFILE_REMARKS: Readonly<Record<ProviderProfile, readonly string[]>> = {
  generic: [],
  keycloak: [
    'Add an audience mapper with your audience to a client scope, and make it a default scope of the clients that log users in.',
    'Add a group membership mapper to that client scope. With "Full group path" on, groups begin with a slash: /cms.',
  ],
  'indigo-iam': [
    'A token of INDIGO IAM has an audience only if its client requests one, and groups only with the wlcg profile or IAM_ACCESS_TOKEN_INCLUDE_AUTHN_INFO.',
  ],
  dex: [
    'Access tokens and ID tokens of Dex look alike, also at introspection: set access_token_evidence: none, which accepts ID tokens for the same audiences too.',
  ],
  hydra: [
    'Access tokens of Ory Hydra are opaque unless strategies.access_token, or access_token_strategy of the client, is jwt. To introspect them, set endpoints.introspection, which is on the administration port (/admin/oauth2/introspect), and client_authentication: none. Give --introspection-endpoint to get these settings.',
  ],
}

function remarksOf(profile: ProviderProfile, metadata: oidc.ServerMetadata): string[] {
  const missing = [
    ['introspection_endpoint', 'opaque tokens cannot be introspected'],
    ['device_authorization_endpoint', '`certcache login` needs --browser'],
    ['userinfo_endpoint', '`userinfo` cannot add groups'],
    ['jwks_uri', 'signed tokens cannot be verified: set endpoints.jwks'],
  ] as const
  return [
    ...PROFILE_REMARKS[profile],
    ...missing.flatMap(([member, consequence]) =>
      metadata[member] === undefined ? [`There is no ${member}, so ${consequence}.`] : [],
    ),
  ]
}

/** Returns the accepted algorithms of the signature keys; empty when they cannot be read. */
async function algorithmsOfKeys(uri: string | undefined, fetchKeys: Fetch): Promise<string[]> {
  if (uri === undefined) return []
  const body: unknown = await fetchKeys(uri)
    .then(async (response) => (response.status === 200 ? response.json() : undefined))
    .catch((error: unknown) => describeFailure(error))
  const keys = (body as { readonly keys?: unknown } | undefined)?.keys
  if (!Array.isArray(keys)) return []
  const names = (keys as Claims[]).filter(({ use }) => use !== 'enc').map(algorithmOfKey)
  return SIGNATURE_ALGORITHMS.filter((name) => names.includes(name))
}

/** The algorithm that a key names, otherwise the usual one of its type. */
function algorithmOfKey({ alg, kty, crv }: Claims): unknown {
  if (alg !== undefined) return alg
  if (kty === 'RSA') return 'RS256'
  if (kty === 'OKP') return crv === 'Ed25519' ? 'Ed25519' : undefined
  return { 'P-256': 'ES256', 'P-384': 'ES384', 'P-521': 'ES512' }[String(crv)]
}
