/** The part of /openapi.json about paths that need no token. */
import type { Service } from '../domain/issuing/service.ts'

export type Json = Record<string, unknown>

/** Reference to the answer for errors. */
export const problemAnswer = { $ref: '#/components/responses/Problem' }

/** What else there is, by the configuration. */
export interface PublicOffers {
  /** Undefined: there are no metadata for clients. */
  readonly publicUrl: string | undefined
  /** Whether proxies can be exchanged for access tokens. */
  readonly accessTokens: boolean
  /** Files for VOMS under /ca. */
  readonly voms: readonly string[]
}

export function publicPaths(services: ReadonlyMap<string, Service>, offers: PublicOffers): Json {
  const { publicUrl, accessTokens } = offers
  return {
    ...authorityPaths(services, offers),
    ...problemPaths(),
    ...(publicUrl === undefined ? {} : metadataPaths()),
    ...(accessTokens ? accessTokenPaths() : {}),
    '/healthz': { get: open('Alive', 'application/json') },
    '/readyz': {
      get: {
        ...open('Ready', 'application/json'),
        responses: { 200: described('Ready'), 503: described('Not ready, with the reason') },
      },
    },
    '/metrics': { get: open('Metrics for Prometheus', 'text/plain') },
    '/openapi.json': { get: open('This description', 'application/json') },
  }
}

function problemPaths(): Json {
  const get = open('The list of problem types, as Markdown or HTML', 'text/markdown')
  const code = { name: 'code', in: 'path', required: true, schema: { type: 'string' } }
  return {
    '/problems': { get },
    '/problems/{code}': {
      get: { ...open('Explains one problem type', 'text/markdown'), parameters: [code] },
    },
  }
}

function metadataPaths(): Json {
  const summary =
    'Metadata of this protected resource (RFC 9728); tts_audiences holds the accepted audiences by issuer'
  const server = 'Metadata for clients that exchange tokens (RFC 8414)'
  return {
    '/.well-known/oauth-protected-resource': { get: open(summary, 'application/json') },
    '/.well-known/oauth-authorization-server': { get: open(server, 'application/json') },
  }
}

function accessTokenPaths(): Json {
  const discovery = 'The metadata for clients, where verifiers of access tokens look first'
  const keys = 'The public keys of the access tokens that this service signs (RFC 7517)'
  return {
    '/.well-known/openid-configuration': { get: open(discovery, 'application/json') },
    '/oauth2/jwks': { get: open(keys, 'application/json') },
  }
}

const sshFiles = [
  ['ssh/ca.pub', 'text/plain', 'The public key of the SSH CA, for TrustedUserCAKeys on hosts'],
  ['ssh/krl', 'application/octet-stream', 'The list of revoked SSH certificates (KRL)'],
] as const

const vomsFiles = [
  ['voms.tar.gz', 'application/gzip', 'vomsdir for relying parties, and vomses for VOMS clients'],
  ['vomses', 'text/plain', 'The VOMS servers of this service, for VOMS clients'],
] as const

function authorityPaths(services: ReadonlyMap<string, Service>, { voms }: PublicOffers): Json {
  const signsSsh = [...services.values()].some(({ plugin }) => plugin.id === 'ssh-certificate')
  const files: readonly (readonly [string, string, string])[] = [
    ['ca.pem', 'application/x-pem-file', 'The CA certificate'],
    ['ca.der', 'application/pkix-cert', 'The CA certificate in DER'],
    ['chain.pem', 'application/x-pem-file', 'The CA certificate and its chain, root last'],
    ['crl.pem', 'application/x-pem-file', 'The CRL'],
    ['crl.der', 'application/pkix-crl', 'The CRL in DER'],
    [
      'trust-anchors.tar.gz',
      'application/gzip',
      'The trust-anchor directory that relying parties install',
    ],
    ...(signsSsh ? sshFiles : []),
    ...vomsFiles.filter(([name]) => voms.includes(name)),
  ]
  return {
    '/ca/': { get: open('The names of the files under /ca/', 'application/json') },
    ...Object.fromEntries(
      files.map(([name, type, summary]) => [`/ca/${name}`, { get: open(summary, type) }]),
    ),
  }
}

function open(summary: string, type: string): Json {
  return {
    summary,
    responses: { 200: { description: summary, content: { [type]: {} } }, default: problemAnswer },
  }
}

export function described(description: string): Json {
  return { description, content: { 'application/json': { schema: { type: 'object' } } } }
}
