/** The part of /openapi.json about paths that need no token. */
import type { Service } from '../../domain/issuing/service.ts'
import { answer, type Json, operation, type OperationParts } from './operation.ts'

/** What else there is, by the configuration. */
export interface PublicOffers {
  /** Undefined: there are no metadata for clients. */
  readonly publicUrl: string | undefined
  /** Whether proxies can be exchanged for access tokens. */
  readonly accessTokens: boolean
  /** Files for VOMS under /ca. */
  readonly voms: readonly string[]
}

/** Returns the paths. */
export function publicPaths(services: ReadonlyMap<string, Service>, offers: PublicOffers): Json {
  const { publicUrl, accessTokens } = offers
  return {
    ...authorityPaths(services, offers),
    ...problemPaths(),
    ...(publicUrl === undefined ? {} : metadataPaths()),
    ...(accessTokens ? accessTokenPaths() : {}),
    ...operationsPaths(),
  }
}

type Described = Pick<OperationParts, 'operationId' | 'tag' | 'summary' | 'parameters' | 'problems'>

/** A path whose answer is JSON that the components describe. */
function jsonPath(parts: Described, schema: string): Json {
  return { get: operation({ ...parts, answers: { 200: answer(parts.summary, schema) } }) }
}

/** A path whose answer is a file or a page. */
function filePath(parts: Described, type: string, schema: Json = { type: 'string' }): Json {
  const { summary: description } = parts
  const file = { description, content: { [type]: { schema } } }
  return { get: operation({ ...parts, answers: { 200: file } }) }
}

function problemPaths(): Json {
  const tag = 'Metadata'
  const list = { tag, operationId: 'listProblems', summary: 'The list of problem types' } as const
  const one = { tag, operationId: 'showProblem', summary: 'Explains one problem type' } as const
  const code = {
    name: 'code',
    in: 'path',
    required: true,
    description: 'Code of the problem',
    schema: { type: 'string' },
    example: 'invalid_token',
  }
  return {
    '/problems': filePath(list, 'text/markdown'),
    '/problems/{code}': filePath({ ...one, parameters: [code], problems: [404] }, 'text/markdown'),
  }
}

function metadataPaths(): Json {
  const tag = 'Metadata'
  return {
    '/.well-known/oauth-protected-resource': jsonPath(
      {
        tag,
        operationId: 'getResourceMetadata',
        summary: 'Metadata of this protected resource: providers and audiences (RFC 9728)',
      },
      'ResourceMetadata',
    ),
    '/.well-known/oauth-authorization-server': jsonPath(
      {
        tag,
        operationId: 'getServerMetadata',
        summary: 'Metadata for clients that exchange tokens (RFC 8414)',
      },
      'ServerMetadata',
    ),
  }
}

function accessTokenPaths(): Json {
  const tag = 'Metadata'
  return {
    '/.well-known/openid-configuration': jsonPath(
      {
        tag,
        operationId: 'getDiscovery',
        summary: 'The metadata for clients, where verifiers of access tokens look first',
      },
      'ServerMetadata',
    ),
    '/oauth2/jwks': jsonPath(
      {
        tag,
        operationId: 'getKeySet',
        summary: 'The public keys of the access tokens that this service signs (RFC 7517)',
      },
      'JsonWebKeySet',
    ),
  }
}

function operationsPaths(): Json {
  const tag = 'Operations'
  const ready = {
    tag,
    operationId: 'getReadiness',
    summary: 'Whether the service can issue',
  } as const
  return {
    '/healthz': jsonPath(
      { tag, operationId: 'getHealth', summary: 'Whether the process answers' },
      'Health',
    ),
    '/readyz': {
      get: operation({
        ...ready,
        answers: {
          200: answer('Ready', 'Readiness'),
          503: answer('Not ready, with the reason', 'Readiness'),
        },
      }),
    },
    '/metrics': filePath(
      { tag, operationId: 'getMetrics', summary: 'Metrics for Prometheus' },
      'text/plain',
    ),
    '/openapi.json': filePath(
      { tag: 'Metadata', operationId: 'getOpenApi', summary: 'This description' },
      'application/json',
      { type: 'object', description: 'An OpenAPI document' },
    ),
  }
}

type File = readonly [name: string, operationId: string, type: string, summary: string]

const sshFiles: readonly File[] = [
  [
    'ssh/ca.pub',
    'getSshCa',
    'text/plain',
    'The public key of the SSH CA, for TrustedUserCAKeys on hosts',
  ],
  ['ssh/krl', 'getKrl', 'application/octet-stream', 'The list of revoked SSH certificates (KRL)'],
]

const vomsFiles: readonly File[] = [
  [
    'voms.tar.gz',
    'getVomsFiles',
    'application/gzip',
    'vomsdir for relying parties, and vomses for VOMS clients',
  ],
  ['vomses', 'getVomses', 'text/plain', 'The VOMS servers of this service, for VOMS clients'],
]

const authorityFiles: readonly File[] = [
  ['ca.pem', 'getCaPem', 'application/x-pem-file', 'The CA certificate'],
  ['ca.der', 'getCaDer', 'application/pkix-cert', 'The CA certificate in DER'],
  [
    'chain.pem',
    'getCaChain',
    'application/x-pem-file',
    'The CA certificate and its chain, root last',
  ],
  ['crl.pem', 'getCrlPem', 'application/x-pem-file', 'The CRL'],
  ['crl.der', 'getCrlDer', 'application/pkix-crl', 'The CRL in DER'],
  [
    'trust-anchors.tar.gz',
    'getTrustAnchors',
    'application/gzip',
    'The trust-anchor directory that relying parties install',
  ],
]

function authorityPaths(services: ReadonlyMap<string, Service>, { voms }: PublicOffers): Json {
  const tag = 'Certification authority'
  const signsSsh = [...services.values()].some(({ plugin }) => plugin.id === 'ssh-certificate')
  const files = [
    ...authorityFiles,
    ...(signsSsh ? sshFiles : []),
    ...vomsFiles.filter(([name]) => voms.includes(name)),
  ]
  const list = {
    tag,
    operationId: 'listCaFiles',
    summary: 'The names of the files under /ca',
  } as const
  return {
    '/ca': jsonPath(list, 'AuthorityFiles'),
    ...Object.fromEntries(
      files.map(([name, operationId, type, summary]) => [
        `/ca/${name}`,
        filePath({ tag, operationId, summary }, type),
      ]),
    ),
  }
}
