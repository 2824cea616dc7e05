/** /openapi.json, made from the same schemas that check the requests. */
import { z } from 'zod'
import type { Service } from '../domain/issuing/service.ts'
import { nativeServices } from './native.ts'
import { wattsPaths } from './watts/openapi.ts'

type Json = Record<string, unknown>

const problem = { $ref: '#/components/responses/Problem' }
const bearer = [{ bearer: [] }]
const pem = { 'application/x-pem-file': { schema: { type: 'string' } } }
const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', format: 'uuid' },
}

/** The description of all native paths (OpenAPI 3.1). */
export function createOpenApi(services: ReadonlyMap<string, Service>): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'Token Translation Service',
      version: '1',
      description: 'Turns OpenID Connect access tokens into X.509 credentials for grid middleware.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    paths: {
      '/v1/proxies': {
        post: issuing(
          services,
          'proxies',
          'A proxy: proxy, key (unless a CSR was sent), EEC and chain as one file',
        ),
      },
      '/v1/certificates': {
        post: issuing(services, 'certificates', 'An end-entity certificate for the key of the CSR'),
      },
      ...successorPath(services),
      ...delegationPaths(services),
      ...credentialPaths(),
      ...wattsPaths(),
      ...authorityPaths(services),
      ...problemPaths(),
      '/healthz': { get: open('Alive', 'application/json') },
      '/readyz': {
        get: {
          ...open('Ready', 'application/json'),
          responses: { 200: described('ready'), 503: described('not ready, and why') },
        },
      },
      '/metrics': { get: open('Metrics for Prometheus', 'text/plain') },
      '/openapi.json': { get: open('This description', 'application/json') },
    },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'Access token of a trusted provider',
        },
        renewalSecret: {
          type: 'http',
          scheme: 'bearer',
          description: 'Renewal secret of a delegation',
        },
        proxy: { type: 'mutualTLS', description: 'A proxy of this service that is still valid' },
      },
      responses: {
        Problem: {
          description: 'What was wrong and what to do, as RFC 9457 problem details',
          content: { 'application/problem+json': { schema: problemSchema } },
        },
      },
    },
  }
}

function problemPaths(): Json {
  const get = open('What the problem types mean: HTML, or Markdown', 'text/markdown')
  const code = { name: 'code', in: 'path', required: true, schema: { type: 'string' } }
  return {
    '/problems': { get },
    '/problems/{code}': {
      get: { ...open('What one of them means', 'text/markdown'), parameters: [code] },
    },
  }
}

const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: { type: 'string', format: 'uri-reference', description: '/problems/ and the code' },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', description: 'Stable; decide on this' },
    check: { type: 'string', description: 'The check that failed' },
    request_id: { type: 'string', description: 'Id of the request in the log' },
  },
}

function issuing(
  services: ReadonlyMap<string, Service>,
  path: keyof typeof nativeServices,
  summary: string,
): Json {
  const plugin = services.get(nativeServices[path])?.plugin
  const schema = plugin
    ? z.toJSONSchema(plugin.parameters, { io: 'input', unrepresentable: 'any' })
    : {}
  return {
    summary,
    security: bearer,
    parameters: [
      {
        name: 'service',
        in: 'query',
        description: 'Id of another service of the same kind',
        schema: { type: 'string', default: nativeServices[path] },
      },
    ],
    requestBody: {
      required: path === 'certificates',
      description:
        'Parameters as JSON, as a form or in the query; or a bare PKCS#10 request in PEM or DER',
      content: {
        'application/json': { schema },
        'application/x-www-form-urlencoded': { schema },
        'application/pkcs10': { schema: { type: 'string', format: 'binary' } },
      },
    },
    responses: {
      200: {
        description: summary,
        content: { ...pem, 'application/json': { schema: { type: 'object' } } },
      },
      default: problem,
    },
  }
}

/** The request of a delegation's renewal or a successor is that of `POST /v1/proxies`, shown by something else. */
function renewing(
  services: ReadonlyMap<string, Service>,
  summary: string,
  changes: { readonly security: readonly Json[]; readonly parameters: readonly Json[] },
): Json {
  return { ...issuing(services, 'proxies', summary), ...changes }
}

function successorPath(services: ReadonlyMap<string, Service>): Json {
  const summary =
    'The successor of a proxy of ours that is still valid, when the operator allows it. Shown as TLS client certificate, or by a request that its key signs: csr, proxy (PEM chain without key), at (time), signature (base64, SHA-256 over "tts successor v1", at and the hex SHA-256 of the DER of the CSR, parted by line feeds)'
  const how = { security: [{ proxy: [] }, {}], parameters: [] }
  return { '/v1/proxies/successor': { post: renewing(services, summary, how) } }
}

function delegationPaths(services: ReadonlyMap<string, Service>): Json {
  const either = [...bearer, { renewalSecret: [] }]
  const answers = (summary: string, status: number): Json => ({
    responses: { [status]: described(summary), default: problem },
  })
  const service = {
    name: 'service',
    in: 'query',
    description: 'Id of another service of the same kind',
    schema: { type: 'string', default: nativeServices.proxies },
  }
  const renewal =
    'A proxy for who has the renewal secret; the provider is asked first. TTS-Renews-Until tells the forecast'
  const label = { type: 'string', maxLength: 100, description: 'What you call it' }
  const made = 'Makes a delegation: the right to renew proxies with no person present'
  return {
    '/v1/delegations': {
      post: {
        summary: made,
        security: bearer,
        requestBody: {
          required: false,
          content: {
            'application/json': { schema: { type: 'object', properties: { label } } },
          },
        },
        ...answers(`${made}: id, and the renewal secret, which is shown this once`, 201),
      },
      get: {
        summary: 'Your delegations, newest first',
        security: bearer,
        ...answers('Your delegations', 200),
      },
    },
    '/v1/delegations/{id}': {
      get: {
        summary: 'One delegation with its ledger and its forecast',
        security: either,
        parameters: [idParameter],
        ...answers('The delegation', 200),
      },
      delete: {
        summary: 'Takes a delegation back, here and at the provider',
        security: either,
        parameters: [idParameter],
        ...answers('The delegation as it is now', 200),
      },
    },
    '/v1/delegations/{id}/proxies': {
      post: renewing(services, renewal, {
        security: [{ renewalSecret: [] }],
        parameters: [idParameter, service],
      }),
    },
  }
}

function credentialPaths(): Json {
  const secured = (summary: string, parameters: readonly Json[]): Json => ({
    summary,
    security: bearer,
    parameters,
    responses: { 200: described(summary), default: problem },
  })
  return {
    '/v1/credentials': {
      get: secured('Your credentials, newest first', [
        {
          name: 'limit',
          in: 'query',
          schema: { type: 'integer', minimum: 1, maximum: 1000, default: 100 },
        },
        {
          name: 'after',
          in: 'query',
          description: 'Id of the last credential of the page before',
          schema: { type: 'string', format: 'uuid' },
        },
        {
          name: 'active',
          in: 'query',
          description: 'true: only living ones',
          schema: { type: 'string', enum: ['true', 'false'] },
        },
      ]),
    },
    '/v1/credentials/{id}': {
      get: secured('One of your credentials', [idParameter]),
      delete: secured('Revokes the EEC under the credential, and so everything that stands on it', [
        idParameter,
        {
          name: 'reason',
          in: 'query',
          description: 'Reason as in RFC 5280 section 5.3.1',
          schema: { type: 'string' },
        },
      ]),
    },
  }
}

const sshFiles = [
  ['ssh/ca.pub', 'text/plain', 'The line of the SSH CA, for TrustedUserCAKeys of hosts'],
  ['ssh/krl', 'application/octet-stream', 'The list of revoked SSH certificates'],
] as const

function authorityPaths(services: ReadonlyMap<string, Service>): Json {
  const signsSsh = [...services.values()].some(({ plugin }) => plugin.id === 'ssh-certificate')
  const files: readonly (readonly [string, string, string])[] = [
    ['ca.pem', 'application/x-pem-file', "The CA's certificate"],
    ['ca.der', 'application/pkix-cert', 'The same in DER'],
    ['chain.pem', 'application/x-pem-file', 'The certificate and those above it, root last'],
    ['crl.pem', 'application/x-pem-file', 'The CRL'],
    ['crl.der', 'application/pkix-crl', 'The CRL in DER'],
    [
      'trust-anchors.tar.gz',
      'application/gzip',
      'The trust-anchor directory that relying parties install',
    ],
    ...(signsSsh ? sshFiles : []),
  ]
  return {
    '/ca/': { get: open('The names of the files below', 'application/json') },
    ...Object.fromEntries(
      files.map(([name, type, summary]) => [`/ca/${name}`, { get: open(summary, type) }]),
    ),
  }
}

function open(summary: string, type: string): Json {
  return {
    summary,
    responses: { 200: { description: summary, content: { [type]: {} } }, default: problem },
  }
}

function described(description: string): Json {
  return { description, content: { 'application/json': { schema: { type: 'object' } } } }
}
