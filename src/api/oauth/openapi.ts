/** The part of /openapi.json about token exchange, and the schemas of the metadata, with the names of the RFCs. */
import { parameterJsonSchema } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { nativeServices } from '../native.ts'
import { answer, type Json, jsonContent, operation } from '../openapi/operation.ts'
import { TOKEN_PATH } from './token-endpoint.ts'
import {
  accessTokenTypes,
  requestedTokenTypes,
  subjectTokenTypes,
  TOKEN_EXCHANGE,
  PROXY_TOKEN_TYPE,
} from './token-types.ts'

const text = { type: 'string' }
const texts = { type: 'array', items: text }

const tokenError = {
  type: 'object',
  description: 'An error (RFC 6749 section 5.2)',
  required: ['error', 'error_description', 'error_uri', 'request_id'],
  properties: {
    error: text,
    error_description: text,
    error_uri: { type: 'string', format: 'uri-reference' },
    check: { type: 'string', description: 'The check that failed' },
    request_id: { type: 'string', description: 'Id of the request in the log' },
  },
}

const tokenAnswer = {
  type: 'object',
  description: 'A credential or an access token (RFC 8693 section 2.2.1)',
  required: ['access_token', 'issued_token_type', 'token_type', 'expires_in'],
  properties: {
    access_token: { type: 'string', description: 'The credential in PEM, or the token' },
    issued_token_type: { type: 'string', description: 'As requested, or the default' },
    token_type: { type: 'string', enum: ['N_A', 'Bearer'] },
    expires_in: { type: 'integer', description: 'Lifetime in seconds' },
    scope: { type: 'string', description: 'Scopes of an access token' },
  },
}

const resourceMetadataSchema = {
  type: 'object',
  description: 'Metadata of a protected resource (RFC 9728)',
  required: ['resource', 'resource_name', 'bearer_methods_supported'],
  properties: {
    resource: { type: 'string', format: 'uri' },
    resource_name: text,
    bearer_methods_supported: texts,
    authorization_servers: texts,
    scopes_supported: texts,
    tts_audiences: {
      type: 'object',
      description: 'Accepted audiences by issuer, best first',
      additionalProperties: texts,
    },
  },
}

const serverMetadataSchema = {
  type: 'object',
  description: 'Metadata of an authorization server (RFC 8414)',
  required: ['issuer', 'token_endpoint', 'grant_types_supported'],
  properties: {
    issuer: { type: 'string', format: 'uri' },
    token_endpoint: { type: 'string', format: 'uri' },
    jwks_uri: { type: 'string', format: 'uri' },
    response_types_supported: texts,
    grant_types_supported: texts,
    token_endpoint_auth_methods_supported: texts,
    tts_subject_token_types_supported: texts,
    tts_requested_token_types_supported: texts,
  },
}

const jsonWebKeySet = {
  type: 'object',
  description: 'Public keys (RFC 7517)',
  required: ['keys'],
  properties: {
    keys: { type: 'array', items: { type: 'object', additionalProperties: text } },
  },
}

/** Returns the schemas of these paths. */
export function oauthSchemas({
  publicUrl,
  accessTokens,
}: {
  readonly publicUrl: string | undefined
  readonly accessTokens: boolean
}): Json {
  return {
    TokenAnswer: tokenAnswer,
    TokenError: tokenError,
    ...(publicUrl === undefined ? {} : { ResourceMetadata: resourceMetadataSchema }),
    ...(publicUrl === undefined && !accessTokens ? {} : { ServerMetadata: serverMetadataSchema }),
    ...(accessTokens ? { JsonWebKeySet: jsonWebKeySet } : {}),
  }
}

/** Further parameters of the exchange of a proxy for an access token. */
const proxyParameters = {
  audience: { type: 'string', description: 'The target service; may be repeated' },
  scope: { type: 'string', description: 'Scopes of the access token, separated by spaces' },
  at: { type: 'string', format: 'date-time', description: 'The present time, which is signed' },
  signature: {
    type: 'string',
    description:
      'Base64 of the signature with the key of the proxy (SHA-256) over "tts access token v1", at, the audiences separated by spaces, and scope, separated by line feeds. Not needed if the proxy is the TLS client certificate',
  },
}

/** Returns the path of the token endpoint. */
export function tokenPath(
  services: ReadonlyMap<string, Service>,
  { accessTokens }: { readonly accessTokens: boolean },
): Json {
  const schema = tokenRequest(services, accessTokens)
  const post = operation({
    operationId: 'exchangeToken',
    tag: 'Token exchange',
    summary: 'Exchanges a token (RFC 8693)',
    description:
      'Exchanges an access token for a proxy or a certificate. Clients are public: the token is in the form, and client authentication is refused. Unknown parameters are ignored, as RFC 6749 section 3.2 requires.',
    requestBody: {
      required: true,
      content: { 'application/x-www-form-urlencoded': { schema } },
    },
    answers: { 200: answer('The credential', 'TokenAnswer') },
  })
  const failure = { description: 'The error', content: jsonContent('TokenError') }
  return {
    [TOKEN_PATH]: { post: { ...post, responses: { ...responsesOf(post), default: failure } } },
  }
}

const responsesOf = (post: Json): Json => post['responses'] as Json

function tokenRequest(services: ReadonlyMap<string, Service>, accessTokens: boolean): Json {
  const subjects = accessTokens ? [PROXY_TOKEN_TYPE] : []
  const requested = accessTokens ? accessTokenTypes : []
  return {
    type: 'object',
    required: ['grant_type', 'subject_token', 'subject_token_type'],
    properties: {
      grant_type: { type: 'string', const: TOKEN_EXCHANGE },
      subject_token: {
        type: 'string',
        description: 'Access token from a trusted provider, or the certificates of a proxy in PEM',
      },
      subject_token_type: { type: 'string', enum: [...subjectTokenTypes, ...subjects] },
      requested_token_type: {
        type: 'string',
        enum: [...new Set([...Object.keys(requestedTokenTypes), ...requested])],
        default: PROXY_TOKEN_TYPE,
      },
      service: { type: 'string', description: 'Id of another service of the same kind' },
      ...parametersOf(services),
      ...(accessTokens ? proxyParameters : {}),
    },
  }
}

/** The parameters of both native services; those of proxies include those of certificates. */
function parametersOf(services: ReadonlyMap<string, Service>): Json {
  const schemas = [nativeServices.certificates, nativeServices.proxies].map((id) => {
    const plugin = services.get(id)?.plugin
    return plugin && parameterJsonSchema(plugin.parameters).properties
  })
  return Object.assign({}, ...schemas) as Json
}
