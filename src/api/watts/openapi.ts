/** The WaTTS paths in /openapi.json: version 2, with the issuer in the path. Their names are those of WaTTS. */
import {
  answer,
  type Json,
  jsonContent,
  operation,
  type OperationParts,
  withToken,
} from '../openapi/operation.ts'

const text = { type: 'string' }
const flag = { type: 'boolean' }
const count = { type: 'integer' }

function object(description: string, properties: Json, optional: readonly string[] = []): Json {
  const required = Object.keys(properties).filter((name) => !optional.includes(name))
  return { type: 'object', description, required, properties }
}

const list = (description: string, name: string, items: Json): Json =>
  object(description, { [name]: { type: 'array', items } })

const parameter = object('A parameter of a service', {
  key: text,
  name: text,
  description: text,
  type: { type: 'string', enum: ['text', 'textarea'] },
  mandatory: flag,
})

const entry = object(
  'A part of a credential',
  {
    name: text,
    type: { type: 'string', enum: ['text', 'textarea', 'textfile'] },
    value: text,
    save_as: text,
    rows: count,
    cols: count,
  },
  ['save_as', 'rows', 'cols'],
)

const issued = object('The entries of a credential', {
  result: { type: 'string', const: 'ok' },
  credential: object('The credential', { id: text, entries: { type: 'array', items: entry } }),
})

const loginWanted = object('A login that is needed first', {
  result: { type: 'string', const: 'oidc_login' },
  oidc_login: object('The login', { provider: text, url: text, msg: text }),
})

/** The schemas of these paths. */
export const wattsSchemas: Json = {
  WattsProviders: list('The providers', 'openid_provider_list', {
    ...object('A provider', { id: text, desc: text, priority: count, ready: flag, issuer: text }),
  }),
  WattsInfo: object(
    'About this service and the user who is logged in',
    {
      version: text,
      redirect_path: text,
      error: text,
      logged_in: flag,
      display_name: text,
      issuer_id: text,
      user_documentation: flag,
      code_documentation: flag,
      service_request: { type: 'object', additionalProperties: true },
      rsp_success: text,
      rsp_error: text,
    },
    ['service_request', 'rsp_success', 'rsp_error'],
  ),
  WattsServices: list(
    'The services',
    'service_list',
    object('A service', {
      id: text,
      description: text,
      enabled: flag,
      cred_count: count,
      cred_limit: { type: 'integer', description: '-1: no limit' },
      limit_reached: flag,
      params: { type: 'array', items: { type: 'array', items: parameter } },
      authorized: flag,
      authz_tooltip: text,
      pass_access_token: flag,
    }),
  ),
  WattsCredentials: list(
    'Your credentials that are neither expired nor revoked',
    'credential_list',
    object('A credential', { cred_id: text, ctime: text, interface: text, service_id: text }),
  ),
  WattsCredentialRequest: object(
    'A request for a credential',
    { service_id: text, params: { type: 'object', additionalProperties: true } },
    ['params'],
  ),
  WattsAnswer: { description: 'The result of a request', oneOf: [issued, loginWanted] },
  WattsResult: object('Done', { result: { type: 'string', const: 'ok' } }),
  WattsAccessToken: object('The access token of a web session', {
    access_token: text,
    issuer: text,
    subject: text,
    issuer_id: text,
  }),
  WattsError: object('An error', { result: { type: 'string', const: 'error' }, user_msg: text }),
}

const issuer = {
  name: 'issuer',
  in: 'path',
  required: true,
  description: 'Id of the provider, or its issuer URL in percent-encoding',
  schema: { type: 'string' },
  example: 'iam',
}
const id = {
  name: 'id',
  in: 'path',
  required: true,
  description: 'Id of the credential',
  schema: { type: 'string' },
  example: '0f8fad5b-d9cb-469f-a165-70867728950e',
}

/** Returns all paths of version 2. */
export function wattsPaths(): Json {
  const place = '/api/v2/{issuer}'
  return {
    '/api/v2/oidcp': { get: open('wattsProviders', 'The providers', 'WattsProviders') },
    '/api/v2/info': {
      get: open('wattsInfo', 'About this service and the user who is logged in', 'WattsInfo'),
    },
    '/api/v2/logout': { get: open('wattsLogout', 'Ends the web session', 'WattsResult') },
    [`${place}/access_token`]: {
      get: secured(
        'wattsAccessToken',
        'The access token of the user who is logged in on the web pages',
        'WattsAccessToken',
      ),
    },
    [`${place}/service`]: {
      get: secured('wattsServices', 'The services, and which of them you may use', 'WattsServices'),
    },
    [`${place}/credential`]: {
      get: secured(
        'wattsCredentials',
        'Your credentials that are neither expired nor revoked',
        'WattsCredentials',
      ),
      post: request(),
    },
    [`${place}/credential/{id}`]: {
      delete: withId(
        'wattsRemoveCredential',
        'Removes a credential from the list, and revokes it if the service is configured so',
        'WattsResult',
      ),
    },
    [`${place}/credential_data/{id}`]: {
      get: withId(
        'wattsCredentialData',
        'The entries of a credential, once, for the token that requested it',
        'WattsAnswer',
      ),
    },
  }
}

function request(): Json {
  return wattsOperation({
    operationId: 'wattsRequestCredential',
    summary: 'Requests a credential',
    security: withToken,
    parameters: [issuer],
    requestBody: { required: true, content: jsonContent('WattsCredentialRequest') },
    answers: {
      303: {
        description:
          'The header location has the URL of the result, which can be picked up once, with the same token',
        headers: {
          location: { description: 'URL of the result', schema: { type: 'string', format: 'uri' } },
        },
      },
    },
  })
}

function open(operationId: string, summary: string, schema: string): Json {
  return wattsOperation({ operationId, summary, answers: { 200: answer(summary, schema) } })
}

function secured(operationId: string, summary: string, schema: string): Json {
  const answers = { 200: answer(summary, schema) }
  const parameters = [issuer]
  return wattsOperation({ operationId, summary, security: withToken, parameters, answers })
}

function withId(operationId: string, summary: string, schema: string): Json {
  const answers = { 200: answer(summary, schema) }
  const parameters = [issuer, id]
  return wattsOperation({ operationId, summary, security: withToken, parameters, answers })
}

/** An operation whose errors have the form of WaTTS. */
function wattsOperation(parts: Omit<OperationParts, 'tag' | 'problems'>): Json {
  const described = operation({ ...parts, tag: 'WaTTS' })
  const failure = { description: 'The error', content: jsonContent('WattsError') }
  return { ...described, responses: { ...(described['responses'] as Json), default: failure } }
}
