import * as oidc from 'openid-client'
import { isAcceptableUrl, withoutTrailingSlash } from '../config/provider-schema.ts'
import type { Fetch } from './limited-fetch.ts'
import { providerFault } from './refusals.ts'

/** Our client at a provider. Without a secret it is a public one. */
export interface ProviderClient {
  readonly clientId: string
  readonly clientSecret: string | undefined
}

/** Where a provider is and who we are there. */
export interface DiscoveryRequest extends ProviderClient {
  readonly issuer: string
  /** Endpoints that the document has to name. */
  readonly required: readonly ('jwks_uri' | 'token_endpoint')[]
  readonly timeoutSeconds: number
  readonly fetch: Fetch
}

/**
 * OpenID Connect Discovery section 4, with the issuer compared as IAM needs it: one trailing slash makes no difference.
 * @throws Error of openid-client, or a provider fault
 */
export async function discover(request: DiscoveryRequest): Promise<oidc.Configuration> {
  const url = `${withoutTrailingSlash(request.issuer)}/.well-known/openid-configuration`
  const { clientId, clientSecret } = request
  const authentication = clientAuthenticationOf(clientSecret)
  const metadata = clientMetadata(clientSecret)
  const configuration = await oidc.discovery(new URL(url), clientId, metadata, authentication, {
    timeout: request.timeoutSeconds,
    [oidc.customFetch]: request.fetch as oidc.CustomFetch,
    // limited-fetch decides instead: https, or http on this machine.
    execute: [oidc.allowInsecureRequests],
  })
  checkMetadata(request, configuration.serverMetadata())
  return configuration
}

/** The client's part of a configuration: the secret is kept in it, so that another configuration can be made of it. */
export function clientMetadata(clientSecret: string | undefined): Partial<oidc.ClientMetadata> {
  return clientSecret === undefined ? {} : { client_secret: clientSecret }
}

/**
 * HTTP Basic (RFC 6749 section 2.3.1), or none for a public client. openid-client's own percent-encodes `-` and `_` too,
 * which every UUID has and IAM does not decode; the encoding of HTML forms, which the RFC names, leaves them alone.
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
      name === 'jwks_uri' ? 'it publishes no keys (jwks_uri)' : `it has no ${name}`,
    )
  }
  for (const name of ENDPOINTS) {
    const url = metadata[name]
    if (url !== undefined && !isAcceptableUrl(url.split('?')[0] ?? '')) {
      throw providerFault(`its ${name} is not an https URL`)
    }
  }
}
