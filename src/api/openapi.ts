/** Builds /openapi.json from the schemas that also check the requests. */
import { parameterJsonSchema } from '../../plugins/plugin.ts'
import type { Service } from '../domain/issuing/service.ts'
import { nativeServices } from './native.ts'
import {
  described,
  type Json,
  problemAnswer,
  type PublicOffers,
  publicPaths,
} from './openapi-public.ts'
import { tokenPath } from './oauth/openapi.ts'
import { wattsPaths } from './watts/openapi.ts'

const bearer = [{ bearer: [] }]
const pem = { 'application/x-pem-file': { schema: { type: 'string' } } }
const idParameter = {
  name: 'id',
  in: 'path',
  required: true,
  schema: { type: 'string', format: 'uuid' },
}

/** Returns the OpenAPI 3.1 description of all public paths. */
export function createOpenApi(services: ReadonlyMap<string, Service>, offers: PublicOffers): Json {
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
        post: issuing(services, 'proxies', 'Issues a proxy: one file, with the EEC and chain'),
      },
      '/v1/certificates': {
        post: issuing(services, 'certificates', 'Issues a certificate for the key of the CSR'),
      },
      ...successorPath(services),
      ...tokenPath(services, offers),
      ...delegationPaths(services),
      ...credentialPaths(),
      ...wattsPaths(),
      ...publicPaths(services, offers),
    },
    components: {
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'Access token from a trusted provider',
        },
        renewalSecret: {
          type: 'http',
          scheme: 'bearer',
          description: 'Renewal secret of a delegation',
        },
        proxy: { type: 'mutualTLS', description: 'A valid proxy that this service issued' },
      },
      responses: {
        Problem: {
          description: 'The error, and what to do about it, as RFC 9457 problem details',
          content: { 'application/problem+json': { schema: problemSchema } },
        },
      },
    },
  }
}

const problemSchema = {
  type: 'object',
  required: ['type', 'title', 'status', 'detail', 'code', 'request_id'],
  properties: {
    type: {
      type: 'string',
      format: 'uri-reference',
      description: '/problems/ and the code',
    },
    title: { type: 'string' },
    status: { type: 'integer' },
    detail: { type: 'string' },
    code: { type: 'string', description: 'Stable error code, for programs' },
    check: { type: 'string', description: 'The check that failed' },
    accepted_audiences: {
      type: 'array',
      items: { type: 'string' },
      description: 'Audiences of which the token needs one (check `audience`)',
    },
    request_id: { type: 'string', description: 'Id of the request in the log' },
  },
}

function issuing(
  services: ReadonlyMap<string, Service>,
  path: keyof typeof nativeServices,
  summary: string,
): Json {
  const plugin = services.get(nativeServices[path])?.plugin
  const schema = plugin ? parameterJsonSchema(plugin.parameters) : {}
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
      default: problemAnswer,
    },
  }
}

/** Renewals and successors have the request of `POST /v1/proxies` with another kind of authentication. */
function renewalOperation(
  services: ReadonlyMap<string, Service>,
  summary: string,
  changes: { readonly security: readonly Json[]; readonly parameters: readonly Json[] },
): Json {
  return { ...issuing(services, 'proxies', summary), ...changes }
}

function successorPath(services: ReadonlyMap<string, Service>): Json {
  const summary =
    'Issues the successor of a valid proxy from this service, if the operator allows it. Present the proxy as TLS client certificate, or sign the request with its key: csr, proxy (PEM chain without key), at (time), signature (base64, SHA-256 over "tts successor v1", at and the hex SHA-256 of the DER of the CSR, separated by line feeds)'
  const how = { security: [{ proxy: [] }, {}], parameters: [] }
  return { '/v1/proxies/successor': { post: renewalOperation(services, summary, how) } }
}

function delegationPaths(services: ReadonlyMap<string, Service>): Json {
  const either = [...bearer, { renewalSecret: [] }]
  const answers = (summary: string, status: number): Json => ({
    responses: { [status]: described(summary), default: problemAnswer },
  })
  const service = {
    name: 'service',
    in: 'query',
    description: 'Id of another service of the same kind',
    schema: { type: 'string', default: nativeServices.proxies },
  }
  const renewal =
    'Issues a proxy to the holder of the renewal secret, once the provider has confirmed. TTS-Renews-Until says how long renewals will work'
  const label = { type: 'string', maxLength: 100, description: 'Your name for the delegation' }
  const create = 'Creates a delegation: the right to renew proxies without a person present'
  return {
    '/v1/delegations': {
      post: {
        summary: create,
        security: bearer,
        requestBody: {
          required: false,
          content: {
            'application/json': { schema: { type: 'object', properties: { label } } },
          },
        },
        ...answers('The delegation with its renewal secret, which is shown only once', 201),
      },
      get: {
        summary: 'Your delegations, newest first',
        security: bearer,
        ...answers('Your delegations', 200),
      },
    },
    '/v1/delegations/{id}': {
      get: {
        summary: 'One delegation with its events and its forecast',
        security: either,
        parameters: [idParameter],
        ...answers('The delegation', 200),
      },
      delete: {
        summary: 'Revokes a delegation, here and at the provider',
        security: either,
        parameters: [idParameter],
        ...answers('The delegation after the revocation', 200),
      },
    },
    '/v1/delegations/{id}/proxies': {
      post: renewalOperation(services, renewal, {
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
    responses: { 200: described(summary), default: problemAnswer },
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
          description: 'Id of the last credential on the previous page',
          schema: { type: 'string', format: 'uuid' },
        },
        {
          name: 'active',
          in: 'query',
          description: 'true: only credentials that are neither expired nor revoked',
          schema: { type: 'string', enum: ['true', 'false'] },
        },
      ]),
    },
    '/v1/credentials/{id}': {
      get: secured('One of your credentials', [idParameter]),
      delete: secured('Revokes the EEC of the credential, and with it all its proxies', [
        idParameter,
        {
          name: 'reason',
          in: 'query',
          description: 'Revocation reason of RFC 5280 section 5.3.1',
          schema: { type: 'string' },
        },
      ]),
    },
  }
}
