import * as oidc from 'openid-client'
import {
  isAcceptableUrl,
  type ProviderEndpoints,
  withoutTrailingSlash,
} from '../config/provider-schema.ts'
import type { Fetch } from './limited-fetch.ts'
import { providerFault } from './refusals.ts'

/** Our client at a provider; without a secret it is a public client. */
export interface ProviderClient {
  readonly clientId: string
  readonly clientSecret: string | undefined
}

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
  const { clientId, clientSecret } = request
  const authentication = clientAuthenticationOf(clientSecret)
  const metadata = clientMetadata(clientSecret)
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

/** Names of the settings and of the metadata (RFC 8414 section 2, OpenID Connect Discovery 1.0 section 3). */
const METADATA_NAMES = {
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

/**
 * Returns the client metadata of a configuration, with the secret, so that other configurations can be derived from it.
 */
export function clientMetadata(clientSecret: string | undefined): Partial<oidc.ClientMetadata> {
  return clientSecret === undefined ? {} : { client_secret: clientSecret }
}

/**
 * Returns the client authentication: HTTP Basic (RFC 6749 section 2.3.1), or none for a public client. The
 * implementation of openid-client also percent-encodes `-` and `_`, which are in every UUID and which IAM does not
 * decode. The form encoding that the RFC requires leaves them unchanged.
 */
export function clientAuthenticationOf(clientSecret: string | undefined): oidc.ClientAuth {
  if (clientSecret === undefined) return oidc.None()
  return (_server, client, ...[, headers]) => {
    const credentials = `${formEncoded(client.client_id)}:${formEncoded(clientSecret)}`
    headers.set('authorization', `Basic ${Buffer.from(credentials).toString('base64')}`)
  }
}

function formEncoded(text: string): string {
  return new URLSearchParams([['', text]]).toString().slice(1)
}

const ENDPOINTS = [
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
    if (url !== undefined && !isAcceptableUrl(url.split('?')[0] ?? '')) {
      throw providerFault(`its ${name} is not an https URL`)
    }
  }
}
