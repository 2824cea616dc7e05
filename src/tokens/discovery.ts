import * as oidc from 'openid-client'
import {
  isAcceptableEndpoint,
  type ProviderEndpoints,
  withoutTrailingSlash,
} from '../config/provider-schema.ts'
import type { Fetch } from './limited-fetch.ts'
import { providerFault } from './refusals.ts'

/** Our client at a provider; without a secret it is a public client. */
export interface ProviderClient {
  readonly clientId: string
  readonly clientSecret: string | undefined
  /** Default: `basic` with a secret, otherwise `none`. */
  readonly authentication?: ClientAuthentication | undefined
}

/** How a client authenticates (RFC 6749 section 2.3). */
export type ClientAuthentication = 'basic' | 'post' | 'none'

/** The provider to discover, and our client there. */
export interface DiscoveryRequest extends ProviderClient {
  readonly issuer: string
  /** Endpoints that the discovery document must name. */
  readonly required: readonly ('jwks_uri' | 'token_endpoint')[]
  /** Endpoints that replace those of the document. */
  readonly endpoints?: ProviderEndpoints
  readonly timeoutSeconds: number
  readonly fetch: Fetch
}

/**
 * Fetches and checks a discovery document. One trailing slash of the issuer is ignored, as INDIGO IAM needs it.
 *
 * @throws errors of openid-client, or a provider fault
 * @see OpenID Connect Discovery 1.0 section 4
 */
export async function discover(request: DiscoveryRequest): Promise<oidc.Configuration> {
  const url = `${withoutTrailingSlash(request.issuer)}/.well-known/openid-configuration`
  const { clientId } = request
  const authentication = clientAuthenticationOf(request)
  const metadata = clientMetadata(request)
  const discovered = await oidc.discovery(new URL(url), clientId, metadata, authentication, {
    timeout: request.timeoutSeconds,
    [oidc.customFetch]: request.fetch as oidc.CustomFetch,
    // The limited fetch enforces https, except for this machine.
    execute: [oidc.allowInsecureRequests],
  })
  const server = { ...discovered.serverMetadata(), ...endpointMetadata(request.endpoints) }
  checkMetadata(request, server)
  const configuration = new oidc.Configuration(server, clientId, metadata, authentication)
  configuration.timeout = request.timeoutSeconds
  configuration[oidc.customFetch] = request.fetch as oidc.CustomFetch
  oidc.allowInsecureRequests(configuration)
  return configuration
}

/** Names of endpoints: those of the settings, and those of RFC 8414 and OpenID Connect Discovery 1.0 section 3. */
export const METADATA_NAMES = {
  authorization: 'authorization_endpoint',
  token: 'token_endpoint',
  jwks: 'jwks_uri',
  introspection: 'introspection_endpoint',
  userinfo: 'userinfo_endpoint',
  device_authorization: 'device_authorization_endpoint',
  revocation: 'revocation_endpoint',
} as const satisfies Record<keyof ProviderEndpoints, string>

function endpointMetadata(endpoints: ProviderEndpoints = {}): Partial<oidc.ServerMetadata> {
  const names = Object.keys(METADATA_NAMES) as (keyof ProviderEndpoints)[]
  return Object.fromEntries(
    names.flatMap((name) =>
      endpoints[name] === undefined ? [] : [[METADATA_NAMES[name], endpoints[name]]],
    ),
  )
}

const METHODS = {
  basic: 'client_secret_basic',
  post: 'client_secret_post',
  none: 'none',
} as const

const methodOf = ({ clientSecret, authentication }: ProviderClient): ClientAuthentication =>
  clientSecret === undefined ? 'none' : (authentication ?? 'basic')

/**
 * Returns the client metadata of a configuration, with the secret, so that other configurations can be derived from it.
 */
export function clientMetadata(client: ProviderClient): Partial<oidc.ClientMetadata> {
  const { clientSecret } = client
  return {
    token_endpoint_auth_method: METHODS[methodOf(client)],
    ...(clientSecret !== undefined && { client_secret: clientSecret }),
  }
}

/** Returns the client of a configuration that was made with `clientMetadata`. */
export function clientOf(configuration: oidc.Configuration): ProviderClient {
  const { client_id: clientId, ...metadata } = configuration.clientMetadata()
  const { client_secret: secret, token_endpoint_auth_method: method } = metadata
  return {
    clientId,
    clientSecret: typeof secret === 'string' ? secret : undefined,
    authentication: method === METHODS.post ? 'post' : method === METHODS.none ? 'none' : 'basic',
  }
}

/**
 * Returns the client authentication. The HTTP Basic of openid-client also percent-encodes `-` and `_`, which are in
 * every UUID and which IAM does not decode. The form encoding that RFC 6749 section 2.3.1 requires leaves them
 * unchanged.
 */
export function clientAuthenticationOf(client: ProviderClient): oidc.ClientAuth {
  const { clientSecret } = client
  const method = methodOf(client)
  if (clientSecret === undefined || method === 'none') return oidc.None()
  if (method === 'post') return oidc.ClientSecretPost(clientSecret)
  return (_server, { client_id: clientId }, ...[, headers]) => {
    const credentials = `${formEncoded(clientId)}:${formEncoded(clientSecret)}`
    headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`)
  }
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}

const ENDPOINTS = [
  'authorization_endpoint',
  'jwks_uri',
  'introspection_endpoint',
  'userinfo_endpoint',
  'token_endpoint',
  'device_authorization_endpoint',
  'revocation_endpoint',
] as const

function checkMetadata(
  { issuer, required }: DiscoveryRequest,
  metadata: oidc.ServerMetadata,
): void {
  if (withoutTrailingSlash(metadata.issuer) !== withoutTrailingSlash(issuer)) {
    throw providerFault('its discovery document names another issuer')
  }
  for (const name of required) {
    if (metadata[name] !== undefined) continue
    throw providerFault(
      name === 'jwks_uri' ? 'it does not publish keys (jwks_uri)' : `it has no ${name}`,
    )
  }
  for (const name of ENDPOINTS) {
    const url = metadata[name]
    if (url !== undefined && !isAcceptableEndpoint(url)) {
      throw providerFault(`its ${name} is not an https URL`)
    }
  }
}
