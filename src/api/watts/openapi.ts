/** The WaTTS paths in /openapi.json: version 2, with the issuer in the path. */
type Json = Record<string, unknown>

const issuer = {
  name: 'issuer',
  in: 'path',
  required: true,
  description: 'Id of the provider, or its issuer URL in percent-encoding',
  schema: { type: 'string' },
}
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
const bearer = [{ bearer: [] }]

const failure = {
  description: 'The error',
  content: {
    'application/json': {
      schema: {
        type: 'object',
        required: ['result', 'user_msg'],
        properties: { result: { const: 'error' }, user_msg: { type: 'string' } },
      },
    },
  },
}

const credentialRequest = {
  required: true,
  content: {
    'application/json': {
      schema: {
        type: 'object',
        required: ['service_id'],
        properties: { service_id: { type: 'string' }, params: { type: 'object' } },
      },
    },
  },
}

/** Returns all paths of version 2. */
export function wattsPaths(): Json {
  const place = '/api/v2/{issuer}'
  return {
    '/api/v2/oidcp': { get: operation('The providers', {}) },
    '/api/v2/info': { get: operation('About this service and the logged-in user', {}) },
    '/api/v2/logout': { get: operation('Ends the web session', {}) },
    [`${place}/access_token`]: {
      get: secured('The access token of the user who is logged in on the web pages'),
    },
    [`${place}/service`]: { get: secured('The services, and which of them you may use') },
    [`${place}/credential`]: {
      get: secured('Your credentials that are neither expired nor revoked'),
      post: {
        ...secured('Requests a credential'),
        requestBody: credentialRequest,
        responses: {
          303: {
            description:
              'The header location has the URL of the result, which can be picked up once, with the same token',
            headers: { location: { schema: { type: 'string', format: 'uri' } } },
          },
          default: failure,
        },
      },
    },
    [`${place}/credential/{id}`]: {
      delete: secured(
        'Removes a credential from the list, and revokes it if the service is configured so',
        id,
      ),
    },
    [`${place}/credential_data/{id}`]: {
      get: secured('The entries of a credential, once, for the token that requested it', id),
    },
  }
}

function secured(summary: string, ...more: readonly Json[]): Json {
  return operation(summary, { security: bearer, parameters: [issuer, ...more] })
}

function operation(summary: string, more: Json): Json {
  const answer = { description: summary, content: { 'application/json': {} } }
  return { summary, ...more, responses: { 200: answer, default: failure } }
}
