/** WaTTS's paths, versions and authentication, and the order of its checks; the names say the rows of the contract. */
import { describe, expect, test } from 'vitest'
import { type TestService, useTestService } from '../../support/service.ts'
import { everythingSaid, refusalsOf } from '../support.ts'
import {
  as,
  badRequest,
  errorText,
  get,
  json,
  wattsService,
  wire,
  type WireRequest,
} from './support.ts'

const service = useTestService(
  wattsService(
    {
      info: {
        plugin: 'info',
        authz: { allow: [{ provider: 'any', claims: { sub: { any: true } } }] },
      },
    },
    { providers: { other: { issuer: 'http://127.0.0.1:9/', audiences: ['x'] } } },
  ),
)

const ask = (path: string, asked: WireRequest = {}) => wire(`${service().url}${path}`, asked)
const encoded = (tts: TestService) => encodeURIComponent(tts.provider.issuer)
const wanted = JSON.stringify({ service_id: 'info', params: {} })

describe('1. paths and versions', () => {
  test.for([
    { name: '/api/v2/<issuer>/<type>', path: () => '/api/v2/iam/service', status: 200 },
    { name: '/api/v1/<issuer>/<type>', path: () => '/api/v1/iam/service', status: 200 },
    { name: 'V2 too', path: () => '/api/V2/iam/service', status: 200 },
    { name: '/api/<v>/<type>', path: () => '/api/v2/service', status: 200 },
    {
      name: 'the issuer as URL, encoded',
      path: (tts: TestService) => `/api/v2/${encoded(tts)}/service`,
      status: 200,
    },
    {
      name: 'and without the slash at its end',
      path: (tts: TestService) => `/api/v2/${encoded(tts).replace(/%2F$/, '')}/service`,
      status: 200,
    },
    { name: 'a slash at the end', path: () => '/api/v2/iam/service/', status: 200 },
    { name: 'another version', path: () => '/api/v3/iam/service', status: 400 },
    { name: 'no version', path: () => '/api/iam/service', status: 400 },
    { name: 'an unknown id', path: () => '/api/v2/nobody/service', status: 400 },
    {
      name: 'an unknown https issuer',
      path: () => '/api/v2/https%3A%2F%2Fiam.example.net%2F/service',
      status: 400,
    },
    { name: 'a broken encoding', path: () => '/api/v2/%zz/service', status: 400 },
    { name: 'an unknown type', path: () => '/api/v2/iam/nonsense', status: 404 },
    { name: 'too deep', path: () => '/api/v2/iam/credential/x/y', status: 404 },
    { name: 'nothing', path: () => '/api/', status: 404 },
    { name: 'rsp-<id> where there is none', path: () => '/api/v2/rsp-x/service', status: 401 },
  ])('$name: $status', async ({ path, status }) => {
    const answer = await get(service(), path(service()))
    if (status === 200) expect(answer.status, answer.text).toBe(200)
    else errorText(answer, status)
    if (status === 400) expect(answer.json()['user_msg']).toBe(badRequest)
  })

  const headers = { id: () => 'iam', url: (tts: TestService) => tts.provider.issuer, encoded }
  test.for([
    { name: 'v1 by URL', version: 'v1', header: headers.url, path: '/service', status: 200 },
    { name: 'v1 by id', version: 'v1', header: headers.id, path: '/service', status: 200 },
    { name: 'v1 encoded', version: 'v1', header: headers.encoded, path: '/service', status: 200 },
    {
      name: 'v1, issuer in the path too',
      version: 'v1',
      header: headers.id,
      path: '/iam/service',
      status: 404,
    },
    {
      name: 'v1, id and issuer in the path',
      version: 'v1',
      header: headers.id,
      path: '/iam/credential_data/x',
      status: 400,
    },
    {
      name: 'v1 by an unknown one',
      version: 'v1',
      header: () => 'https://iam.example.net/',
      path: '/service',
      status: 400,
    },
    { name: 'v2', version: 'v2', header: headers.url, path: '/service', status: 400 },
  ])('X-OpenId-Connect-Issuer: $name: $status', async ({ version, header, path, status }) => {
    const tts = service()
    const answer = await ask(`/api/${version}${path}`, {
      headers: { ...as(tts), 'X-OpenId-Connect-Issuer': header(tts) },
    })
    expect(answer.status, answer.text).toBe(status)
  })

  test('the token is from the provider in the path', async () => {
    const answer = await get(service(), '/api/v2/other/service')
    expect(errorText(answer, 401)).toMatch(
      /^invalid token has been received: .*provider in the path/,
    )
  })
})

describe('2. the order of checks', () => {
  // prettier-ignore
  test.for([
    { name: 'PUT', asked: { method: 'PUT' }, path: '/api/v2/iam/service', status: 405, allow: 'GET' },
    { name: 'PATCH', asked: { method: 'PATCH' }, path: '/api/v2/iam/credential', status: 405, allow: 'GET, POST' },
    { name: 'OPTIONS', asked: { method: 'OPTIONS' }, path: '/api/v2/iam/credential', status: 405, allow: 'GET, POST' },
    { name: 'POST to a list', asked: { method: 'POST', body: wanted, headers: json }, path: '/api/v2/iam/service', status: 405, allow: 'GET' },
    { name: 'DELETE of the list', asked: { method: 'DELETE' }, path: '/api/v2/iam/credential', status: 405, allow: 'GET, POST' },
    { name: 'GET of a credential', asked: {}, path: '/api/v2/iam/credential/x', status: 405, allow: 'DELETE' },
    { name: 'DELETE of credential_data', asked: { method: 'DELETE' }, path: '/api/v2/iam/credential_data/x', status: 405, allow: 'GET' },
    { name: '405 before 400', asked: { method: 'PUT' }, path: '/api/v9/iam/service', status: 405, allow: 'GET' },
    { name: '405 before 401', asked: { method: 'PUT', anonymous: true }, path: '/api/v2/iam/service', status: 405, allow: 'GET' },
  ])('405 $name', async ({ asked, path, status, allow }) => {
    const { anonymous, ...rest } = { anonymous: false, headers: {}, ...asked }
    const headers = { ...(anonymous ? {} : as(service())), ...rest.headers }
    const answer = await ask(path, { ...rest, headers })
    errorText(answer, status)
    expect(answer.header('allow')).toBe(allow)
  })

  test('HEAD is 405 and takes nothing away', async () => {
    const answer = await ask('/api/v2/iam/service', { method: 'HEAD', headers: as(service()) })
    expect([answer.status, answer.text]).toEqual([405, ''])
  })

  // prettier-ignore
  test.for([
    { name: 'no JSON', body: 'service_id=info' },
    { name: 'half of JSON', body: '{"service_id":' },
    { name: 'nothing', body: '' },
    { name: 'a list', body: '[]' },
    { name: 'no service_id', body: '{"params":{}}' },
    { name: 'service_id a number', body: '{"service_id":1}' },
    { name: 'params a list', body: '{"service_id":"info","params":[]}' },
    { name: 'params a text', body: '{"service_id":"info","params":"x"}' },
    { name: 'params null', body: '{"service_id":"info","params":null}' },
    { name: 'params 6,000 levels deep', body: `{"service_id":"info","params":${'{"a":'.repeat(6000)}1${'}'.repeat(6001)}` },
  ])('401 POST with $name and no token: the body is not looked at; 400 with one', async ({ body }) => {
    const wanted = { method: 'POST', body }
    errorText(await ask('/api/v2/iam/credential', { ...wanted, headers: json }), 401)
    const known = { ...as(service()), ...json }
    const answer = await ask('/api/v2/iam/credential', { ...wanted, headers: known })
    expect(errorText(answer, 400)).toBe(badRequest)
  })

  test('400 GET with a JSON body', async () => {
    const answer = await ask('/api/v2/iam/service', {
      headers: { ...as(service()), ...json },
      body: '{}',
    })
    expect(errorText(answer, 400)).toBe(badRequest)
  })

  test.for([
    { name: 'no header', headers: {}, says: /^sorry, you can't be identified$/ },
    {
      name: 'another scheme',
      headers: { authorization: 'Basic eDp5' },
      says: /^sorry, you can't be identified$/,
    },
    {
      name: 'nonsense',
      headers: { authorization: 'Bearer nonsense' },
      says: /^invalid token has been received: /,
    },
  ])('401 $name, with its header and a body, before 406', async ({ headers, says }) => {
    const answer = await ask('/api/v2/iam/service', {
      headers: { ...headers, accept: 'text/html' },
    })
    expect(errorText(answer, 401)).toMatch(says)
    expect(answer.lines).toContainEqual(['www-authenticate', 'authorization'])
  })

  test('401 of a POST is on record, and its token is not', async () => {
    const token = service().token('alice', { exp: 1 })
    const answer = await ask('/api/v2/iam/credential', {
      method: 'POST',
      headers: { ...json, authorization: `Bearer ${token}` },
      body: wanted,
    })
    errorText(answer, 401)
    const [line, ...more] = await refusalsOf(service(), answer.header('x-request-id') ?? '')
    expect(more).toEqual([])
    expect(line).toMatchObject({
      event: 'credential.refused',
      code: 'invalid_token',
      // What it asked for stands in the body, which nobody reads for strangers.
      serviceId: '(unknown)',
      origin: { interface: 'watts' },
    })
    expect(await everythingSaid(service())).not.toContain(token)
  })

  test('406 Accept without application/json, before 404 and 415', async () => {
    const headers = { ...as(service()), accept: 'text/html' }
    errorText(await ask('/api/v2/iam/credential_data/x', { headers }), 406)
    const asked = {
      method: 'POST',
      headers: { ...headers, 'content-type': 'text/plain' },
      body: wanted,
    }
    errorText(await ask('/api/v2/iam/credential', asked), 406)
  })

  test.for(['text/plain', 'application/x-www-form-urlencoded', undefined])(
    '415 POST as %s',
    async (type) => {
      const headers = { ...as(service()), ...(type === undefined ? {} : { 'content-type': type }) }
      errorText(await ask('/api/v2/iam/credential', { method: 'POST', headers, body: wanted }), 415)
    },
  )

  test('application/json with a charset is taken, and any Accept that has it', async () => {
    for (const accept of ['application/json', '*/*', 'text/html, application/json;q=0.1']) {
      const headers = {
        ...as(service()),
        accept,
        'content-type': 'application/json; charset=utf-8',
      }
      const answer = await ask('/api/v2/iam/credential', { method: 'POST', headers, body: wanted })
      expect(answer.status, answer.text).toBe(303)
    }
  })

  test('413 and 415 have the body of these paths too', async () => {
    const headers = { ...as(service()), ...json }
    const body = JSON.stringify({ service_id: 'info', params: { x: 'x'.repeat(70_000) } })
    errorText(await ask('/api/v2/iam/credential', { method: 'POST', headers, body }), 413)
    const compressed = { ...headers, 'content-encoding': 'gzip' }
    errorText(
      await ask('/api/v2/iam/credential', { method: 'POST', headers: compressed, body: wanted }),
      415,
    )
  })

  test('every answer: application/json, no-cache', async () => {
    for (const path of [
      '/api/v2/oidcp',
      '/api/v2/info',
      '/api/v2/iam/service',
      '/api/v2/iam/credential',
    ]) {
      const answer = await get(service(), path)
      expect([
        answer.status,
        answer.header('content-type'),
        answer.header('cache-control'),
      ]).toEqual([200, 'application/json', 'no-cache'])
    }
  })
})

describe('1. one way to show a token', () => {
  test('two Authorization headers, a token in the URL', async () => {
    errorText(await get(service(), '/api/v2/iam/service?access_token=x'), 400)
  })
})
