/** The part of /openapi.json about proxies and certificates. */
import { parameterJsonSchema } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { nativeServices } from '../native.ts'
import { answer, type Json, operation, schemaRef, withToken } from './operation.ts'

/** The parameters of a credential in the query, beside a bare CSR as the body. */
export function credentialQuery(
  services: ReadonlyMap<string, Service>,
  path: keyof typeof nativeServices,
): readonly Json[] {
  const plugin = services.get(nativeServices[path])?.plugin
  const { properties = {} } = plugin === undefined ? {} : parameterJsonSchema(plugin.parameters)
  const own = Object.entries(properties).filter(([name]) => name !== 'csr')
  return [
    {
      name: 'service',
      in: 'query',
      description: 'Id of another service of the same kind',
      schema: { type: 'string', default: nativeServices[path] },
    },
    ...own.map(([name, { description, ...schema }]) => ({
      name,
      in: 'query',
      description,
      schema,
    })),
  ]
}

const credentialHeaders = {
  'TTS-Credential-Id': { $ref: '#/components/headers/CredentialId' },
  'TTS-Not-After': { $ref: '#/components/headers/NotAfter' },
  'TTS-Warning': { $ref: '#/components/headers/Warning' },
}

/** The answer with a proxy or a certificate. */
export function issuedAnswer(description: string, headers: Json = {}): Json {
  const { content, ...rest } = answer(description, 'IssuedCredential', {
    ...credentialHeaders,
    ...headers,
  })
  const pem = { schema: { type: 'string', description: 'The file, as grid tools read it' } }
  return { ...rest, content: { 'application/x-pem-file': pem, ...(content as Json) } }
}

/** The body of a request for a credential. */
export function credentialBody(schema: string, required: boolean): Json {
  const csr = { type: 'string', description: 'PKCS#10 request in PEM or DER' }
  return {
    required,
    description:
      'Parameters as JSON or as a form (they may also be in the query), or a bare PKCS#10 request',
    content: {
      'application/json': { schema: schemaRef(schema) },
      'application/x-www-form-urlencoded': { schema: schemaRef(schema) },
      'application/pkcs10': { schema: csr },
    },
  }
}

const queryNote =
  'All parameters may also be in the query. An unknown parameter, or one that is given twice, is an error.'

/** Returns the paths that issue. */
export function issuingPaths(services: ReadonlyMap<string, Service>): Json {
  return {
    '/v1/proxies': {
      post: operation({
        operationId: 'createProxy',
        tag: 'Issuing',
        summary: 'Issues a proxy',
        description: `Issues an RFC 3820 proxy: one file with proxy, key, EEC and chain. With a CSR the key never leaves you: put it behind the first certificate. Without one the service makes the key. ${queryNote}`,
        security: withToken,
        parameters: credentialQuery(services, 'proxies'),
        requestBody: credentialBody('ProxyParameters', false),
        answers: { 200: issuedAnswer('The proxy') },
        problems: [400, 401, 403, 404, 429, 503],
      }),
    },
    '/v1/certificates': {
      post: operation({
        operationId: 'createCertificate',
        tag: 'Issuing',
        summary: 'Issues a certificate for the key of a CSR',
        description: `Issues an end-entity certificate (EEC) for the key of the CSR. ${queryNote}`,
        security: withToken,
        parameters: credentialQuery(services, 'certificates'),
        requestBody: credentialBody('CertificateParameters', true),
        answers: { 200: issuedAnswer('The certificate and the certificates above it') },
        problems: [400, 401, 403, 404, 429, 503],
      }),
    },
    '/v1/proxies/successor': { post: successor() },
  }
}

function successor(): Json {
  return operation({
    operationId: 'createSuccessor',
    tag: 'Issuing',
    summary: 'Issues the successor of a valid proxy',
    description:
      'Issues the successor of a valid proxy from this service, if the operator allows it. Present the proxy as TLS client certificate, or sign the request with its key: `csr`, `proxy`, `at` and `signature`.',
    security: [{ proxy: [] }, {}],
    requestBody: credentialBody('SuccessorRequest', false),
    answers: { 200: issuedAnswer('The successor') },
    problems: [400, 401, 403, 404, 429, 503],
  })
}
