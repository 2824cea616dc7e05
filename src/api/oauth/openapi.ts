/** The part of /openapi.json about token exchange. */
import { parameterJsonSchema } from '../../../plugins/plugin.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { nativeServices } from '../native.ts'
import { TOKEN_PATH } from './token-endpoint.ts'
import {
  accessTokenTypes,
  requestedTokenTypes,
  subjectTokenTypes,
  TOKEN_EXCHANGE,
  PROXY_TOKEN_TYPE,
} from './token-types.ts'

type Json = Record<string, unknown>

const failure = {
  description: 'The error (RFC 6749 section 5.2)',
  content: {
    'application/json': {
      schema: {
        type: 'object',
        required: ['error', 'error_description', 'error_uri', 'request_id'],
        properties: {
          error: { type: 'string' },
          error_description: { type: 'string' },
          error_uri: { type: 'string', format: 'uri-reference' },
          check: { type: 'string', description: 'The check that failed' },
          request_id: { type: 'string', description: 'Id of the request in the log' },
        },
      },
    },
  },
}

const answer = {
  description: 'The credential',
  content: {
    'application/json': {
      schema: {
        type: 'object',
        required: ['access_token', 'issued_token_type', 'token_type', 'expires_in'],
        properties: {
          access_token: { type: 'string', description: 'The credential in PEM, or the token' },
          issued_token_type: { type: 'string', description: 'As requested, or the default' },
          token_type: { type: 'string', enum: ['N_A', 'Bearer'] },
          expires_in: { type: 'integer', description: 'Lifetime in seconds' },
          scope: { type: 'string', description: 'Scopes of an access token' },
        },
      },
    },
  },
}

/** Further parameters of the exchange of a proxy for an access token. */
const proxyParameters = {
  audience: { type: 'string', description: 'The target service; may be repeated' },
  scope: { type: 'string' },
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
  const subjects = accessTokens ? [PROXY_TOKEN_TYPE] : []
  const requested = accessTokens ? accessTokenTypes : []
  const schema = {
    type: 'object',
    required: ['grant_type', 'subject_token', 'subject_token_type'],
    properties: {
      grant_type: { const: TOKEN_EXCHANGE },
      subject_token: {
        type: 'string',
        description: 'Access token from a trusted provider, or the certificates of a proxy in PEM',
      },
      subject_token_type: { type: 'string', enum: [...subjectTokenTypes, ...subjects] },
      requested_token_type: {
        type: 'string',
        enum: [...Object.keys(requestedTokenTypes), ...requested],
        default: PROXY_TOKEN_TYPE,
      },
      service: { type: 'string', description: 'Id of another service of the same kind' },
      ...parametersOf(services),
      ...(accessTokens ? proxyParameters : {}),
    },
  }
  const content = { 'application/x-www-form-urlencoded': { schema } }
  const post = {
    summary: 'Exchanges an access token for a proxy or a certificate (RFC 8693)',
    requestBody: { required: true, content },
    responses: { 200: answer, default: failure },
  }
  return { [TOKEN_PATH]: { post } }
}

/** The parameters of both native services; those of proxies include those of certificates. */
function parametersOf(services: ReadonlyMap<string, Service>): Json {
  const schemas = [nativeServices.certificates, nativeServices.proxies].map((id) => {
    const plugin = services.get(id)?.plugin
    return plugin && parameterJsonSchema(plugin.parameters).properties
  })
  return Object.assign({}, ...schemas) as Json
}
