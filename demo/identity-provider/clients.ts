import { randomBytes } from 'node:crypto'
import type { ClientMetadata } from 'oidc-provider'

/** RFC 8693 section 2.1. */
export const TOKEN_EXCHANGE_GRANT = 'urn:ietf:params:oauth:grant-type:token-exchange'
const DEVICE_CODE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'

/** Scopes of the provider. */
export const SCOPES = [
  'openid',
  'profile',
  'email',
  'offline_access',
  'wlcg',
  'wlcg.groups',
  'eduperson_entitlement',
  'proxy:generate',
  'storage.read:/',
  'compute.create',
  'tts',
]

/** A confidential client and its secret, which is generated at start. */
export interface ClientCredential {
  readonly clientId: string
  readonly clientSecret: string
}

/** The clients of the demo provider. */
export interface DemoClients {
  /** Public: authorization code with PKCE to a loopback redirect, device code, refresh. */
  readonly cli: { readonly clientId: string; readonly redirectUri: string }
  /** Confidential: introspection, token exchange, code and refresh. */
  readonly tts: ClientCredential
  /** Confidential: a separate client for certcache: token exchange, device code, refresh. */
  readonly certcache: ClientCredential
  /** Confidential: a robot without a user (client credentials). */
  readonly worker: ClientCredential
  /** Clients for which an administrator has enabled token exchange. */
  readonly exchangeAllowed: ReadonlySet<string>
  readonly metadata: ClientMetadata[]
}

/**
 * Creates the clients with new secrets.
 *
 * @param redirectUris additional redirect URIs of the client `tts`
 */
export function createClients(redirectUris: readonly string[] = []): DemoClients {
  const cli = { clientId: 'demo-cli', redirectUri: 'http://127.0.0.1/callback' }
  const tts = credential('tts')
  const certcache = credential('certcache')
  const worker = credential('demo-worker')
  return {
    cli,
    tts,
    certcache,
    worker,
    exchangeAllowed: new Set([tts.clientId, certcache.clientId]),
    metadata: [
      {
        client_id: cli.clientId,
        client_name: 'Command line of the demo',
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        redirect_uris: [cli.redirectUri],
        grant_types: ['authorization_code', 'refresh_token', DEVICE_CODE_GRANT],
        response_types: ['code'],
      },
      {
        client_id: tts.clientId,
        client_secret: tts.clientSecret,
        client_name: 'Token Translation Service',
        application_type: 'native',
        redirect_uris: [cli.redirectUri, 'http://127.0.0.1/login/callback', ...redirectUris],
        grant_types: ['authorization_code', 'refresh_token', TOKEN_EXCHANGE_GRANT],
        response_types: ['code'],
        token_endpoint_auth_method: 'client_secret_basic',
      },
      {
        client_id: certcache.clientId,
        client_secret: certcache.clientSecret,
        client_name: 'Certcache of the demo',
        redirect_uris: [],
        response_types: [],
        grant_types: ['refresh_token', TOKEN_EXCHANGE_GRANT, DEVICE_CODE_GRANT],
        token_endpoint_auth_method: 'client_secret_basic',
      },
      {
        client_id: worker.clientId,
        client_secret: worker.clientSecret,
        client_name: 'Worker of the demo',
        redirect_uris: [],
        response_types: [],
        grant_types: ['client_credentials', TOKEN_EXCHANGE_GRANT],
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
  }
}

function credential(clientId: string): ClientCredential {
  return { clientId, clientSecret: randomBytes(24).toString('base64url') }
}
