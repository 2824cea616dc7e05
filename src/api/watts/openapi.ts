/** The WaTTS paths for /openapi.json: version 2, with the issuer in the path. */
type Json = Record<string, unknown>

const issuer = {
  name: 'issuer',
  in: 'path',
  required: true,
  description: 'Id of the provider, or its issuer URL, URL-encoded',
  schema: { type: 'string' },
}
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
const bearer = [{ bearer: [] }]

const failure = {
  description: 'What was wrong',
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

const wanted = {
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

/** All paths of version 2. */
export function wattsPaths(): Json {
  const place = '/api/v2/{issuer}'
  return {
    '/api/v2/oidcp': { get: operation('The providers', {}) },
    '/api/v2/info': { get: operation('About this service and whoever is logged in', {}) },
    '/api/v2/logout': { get: operation('Ends the session of the web page', {}) },
    [`${place}/access_token`]: {
      get: secured('The access token of whoever is logged in at the web page'),
    },
    [`${place}/service`]: { get: secured('The services, and which of them you may use') },
    [`${place}/credential`]: {
      get: secured('What you have that lives'),
      post: {
        ...secured('Asks for a credential'),
        requestBody: wanted,
        responses: {
          303: {
            description: 'location: where the answer is picked up, once, with the same token',
            headers: { location: { schema: { type: 'string', format: 'uri' } } },
          },
          default: failure,
        },
      },
    },
    [`${place}/credential/{id}`]: {
      delete: secured(
        'Takes a credential off the list, and revokes it as the service is set up',
        id,
      ),
    },
    [`${place}/credential_data/{id}`]: {
      get: secured('The entries of a credential, to the first who asks with its token', id),
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
