import { describe, expect, test } from 'vitest'
import { useTestService } from '../support/service.ts'
import { ask, problemOf, quick, rawRequest } from './support.ts'

const service = useTestService(quick)

const json = { 'content-type': 'application/json' }
const form = { 'content-type': 'application/x-www-form-urlencoded' }

/** Text of the JSON, since not all of it can be made by JSON.stringify. */
const badJson: readonly { name: string; body: string; says: RegExp; check?: string }[] = [
  {
    name: 'lifetime 0',
    body: '{"lifetime_seconds":0}',
    says: /^lifetime_seconds: must be at least 60$/,
  },
  {
    name: 'lifetime 59',
    body: '{"lifetime_seconds":59}',
    says: /^lifetime_seconds: must be at least 60$/,
  },
  {
    name: 'lifetime negative',
    body: '{"lifetime_seconds":-3600}',
    says: /^lifetime_seconds: must be at least 60$/,
  },
  {
    name: 'lifetime fraction',
    body: '{"lifetime_seconds":3600.5}',
    says: /^lifetime_seconds: must be a whole number$/,
  },
  {
    name: 'lifetime over the service',
    body: '{"lifetime_seconds":604801}',
    says: /found 604801; the service proxy gives at most 604800/,
    check: 'lifetime',
  },
  {
    name: 'lifetime over all bounds',
    body: '{"lifetime_seconds":34560001}',
    says: /lifetime_seconds: /,
  },
  { name: 'lifetime 1e99', body: '{"lifetime_seconds":1e99}', says: /lifetime_seconds: / },
  { name: 'lifetime 1e999', body: '{"lifetime_seconds":1e999}', says: /lifetime_seconds: / },
  {
    name: 'lifetime text',
    body: '{"lifetime_seconds":"12h"}',
    says: /lifetime_seconds: must be a whole number from 60/,
  },
  {
    name: 'lifetime text of a fraction',
    body: '{"lifetime_seconds":"3600.0"}',
    says: /must be a whole number/,
  },
  {
    name: 'lifetime text, signed',
    body: '{"lifetime_seconds":"+3600"}',
    says: /must be a whole number/,
  },
  {
    name: 'lifetime text, hexadecimal',
    body: '{"lifetime_seconds":"0xe10"}',
    says: /must be a whole number/,
  },
  { name: 'lifetime empty', body: '{"lifetime_seconds":""}', says: /must be a whole number/ },
  {
    name: 'lifetime null',
    body: '{"lifetime_seconds":null}',
    says: /^lifetime_seconds: must be a number$/,
  },
  {
    name: 'lifetime true',
    body: '{"lifetime_seconds":true}',
    says: /^lifetime_seconds: must be a number$/,
  },
  {
    name: 'lifetime list',
    body: '{"lifetime_seconds":[3600]}',
    says: /^lifetime_seconds: must be a number$/,
  },
  {
    name: 'lifetime object',
    body: '{"lifetime_seconds":{"valueOf":3600}}',
    says: /^lifetime_seconds: must be a number$/,
  },
  {
    name: 'proxy type unknown',
    body: '{"proxy_type":"legacy"}',
    says: /^proxy_type: must be one of impersonation, limited, independent$/,
  },
  { name: 'proxy type in capitals', body: '{"proxy_type":"LIMITED"}', says: /proxy_type: / },
  { name: 'proxy type null', body: '{"proxy_type":null}', says: /proxy_type: / },
  { name: 'path length negative', body: '{"path_length":-1}', says: /path_length: / },
  { name: 'path length 101', body: '{"path_length":101}', says: /path_length: .*100/ },
  { name: 'key type unknown', body: '{"key_type":"rsa-1024"}', says: /key_type: / },
  { name: 'key type dsa', body: '{"key_type":"dsa"}', says: /key_type: / },
  {
    name: 'key type and CSR',
    body: '{"key_type":"ec-p256","csr":"x"}',
    says: /key_type: must not be combined with csr/,
  },
  {
    name: 'key format unknown',
    body: '{"key_format":"pkcs12"}',
    says: /^key_format: must be one of pkcs1, pkcs8$/,
  },
  {
    name: 'key format and CSR',
    body: '{"key_format":"pkcs8","csr":"x"}',
    says: /^key_format: must not be combined with csr/,
  },
  { name: 'csr of a number', body: '{"csr":1}', says: /csr: / },
  { name: 'csr empty', body: '{"csr":""}', says: /csr: / },
  { name: 'unknown key', body: '{"lifetime":3600}', says: /unknown parameter: lifetime$/ },
  { name: 'unknown keys', body: '{"a":1,"b":2,"Ünknown":3}', says: /unknown parameter: a, b$/ },
  { name: 'subject', body: '{"subject":"/CN=root"}', says: /unknown parameter: subject/ },
  {
    name: 'constructor',
    body: '{"constructor":{"prototype":{"x":1}}}',
    says: /unknown parameter: constructor/,
  },
  {
    name: '__proto__ of an object',
    body: '{"__proto__":{"key_type":"ec-p256"}}',
    says: /unknown parameter: __proto__/,
  },
  {
    name: '__proto__ of a number',
    body: '{"__proto__":1}',
    says: /unknown parameter: __proto__/,
  },
  {
    name: 'many problems, five are told',
    body: '{"lifetime_seconds":0,"proxy_type":1,"path_length":-1,"key_type":1,"csr":1,"x":1}',
    says: /^([^;]+; ){4}[^;]+$/,
  },
]

describe('parameters that are refused', () => {
  test.for(badJson)('JSON: $name', async ({ body, says, check }) => {
    const response = await ask(service(), '/v1/proxies', { headers: json, body })
    const problem = await problemOf(response)
    expect(problem).toMatchObject({
      status: 400,
      code: 'invalid_request',
      check: check ?? 'parameters',
    })
    expect(problem.detail).toMatch(says)
    expect(({} as Record<string, unknown>)['x']).toBeUndefined()
  })

  const noCheck = undefined
  // prettier-ignore
  test.for([
    { name: 'query: lifetime', query: '?lifetime_seconds=12h', says: /whole number/, check: 'parameters' },
    { name: 'query: unknown key', query: '?life=3600', says: /unknown parameter: life/, check: 'parameters' },
    { name: 'query: key twice', query: '?lifetime_seconds=60&lifetime_seconds=600', says: /^lifetime_seconds is given twice$/, check: noCheck },
    { name: 'query: __proto__', query: '?__proto__=1', says: /unknown parameter: __proto__/, check: 'parameters' },
    { name: 'query: PHP list', query: '?proxy_type[]=limited', says: /unknown parameter; see/, check: 'parameters' },
    { name: 'query and JSON', query: '?lifetime_seconds=600', headers: json, body: '{"lifetime_seconds":600}', says: /given twice, in the URL and in the body/, check: noCheck },
    { name: 'query and form', query: '?lifetime_seconds=600', headers: form, body: 'lifetime_seconds=600', says: /given twice, in the URL and in the body/, check: noCheck },
    { name: 'query and __proto__', query: '?__proto__=600', headers: json, body: '{"__proto__":{"a":1}}', says: /given twice/, check: noCheck },
    { name: 'form: key twice', headers: form, body: 'proxy_type=limited&proxy_type=impersonation', says: /^proxy_type is given twice$/, check: noCheck },
    { name: 'form: broken percent-encoding', headers: form, body: 'lifetime_seconds=%E0%A4%A', says: /whole number/, check: 'parameters' },
    { name: 'broken JSON', headers: json, body: '{"lifetime_seconds":', says: /^the body is not valid JSON$/, check: noCheck },
    { name: 'empty JSON', headers: json, body: ' ', says: /^the body is not valid JSON$/, check: noCheck },
    { name: 'JSON with NaN', headers: json, body: '{"lifetime_seconds":NaN}', says: /not valid JSON/, check: noCheck },
    { name: 'JSON list', headers: json, body: '[]', says: /^the body is not a JSON object$/, check: noCheck },
    { name: 'JSON null', headers: json, body: 'null', says: /^the body is not a JSON object$/, check: noCheck },
    { name: 'JSON text', headers: json, body: '"csr"', says: /^the body is not a JSON object$/, check: noCheck },
    { name: 'deep JSON', headers: json, body: `${'['.repeat(30_000)}${']'.repeat(30_000)}`, says: /^the body is nested more than 32 levels deep$/, check: noCheck },
    { name: 'service of another kind', query: '?service=x509', says: /the service x509 issues no proxies/, check: noCheck },
    { name: 'service of a number', headers: json, body: '{"service":1}', says: /^service must be a string$/, check: noCheck },
  ])('$name', async ({ query = '', headers = {}, body, says, check }) => {
    const response = await ask(service(), `/v1/proxies${query}`, {
      headers,
      ...(body === undefined ? {} : { body }),
    })
    const problem = await problemOf(response)
    expect(problem).toMatchObject({ status: 400, code: 'invalid_request' })
    expect(problem.check).toBe(check)
    expect(problem.detail).toMatch(says)
  })

  test('certificates: what only proxies have', async () => {
    for (const body of [
      '{"proxy_type":"limited"}',
      '{"path_length":1}',
      '{"key_type":"ec-p256"}',
      '{}',
    ]) {
      const response = await ask(service(), '/v1/certificates', { headers: json, body })
      expect(await problemOf(response)).toMatchObject({
        status: 400,
        code: 'invalid_request',
        check: 'parameters',
      })
    }
    const empty = await ask(service(), '/v1/certificates')
    expect((await problemOf(empty)).detail).toMatch(/^csr: /)
  })

  test.for([
    { name: 'text', type: 'text/plain', body: 'lifetime' },
    { name: 'XML', type: 'application/xml', body: '<a/>' },
    { name: 'multipart', type: 'multipart/form-data; boundary=x', body: '--x--' },
    { name: 'no type', type: '', body: 'hello' },
    { name: 'JSON by a like name', type: 'application/jsonp', body: '{}' },
  ])('content type $name: 415', async ({ type, body }) => {
    const answer = await rawRequest(`${service().url}/v1/proxies`, {
      headers: {
        authorization: `Bearer ${service().token()}`,
        ...(type === '' ? {} : { 'content-type': type }),
      },
      body,
    })
    expect(JSON.parse(answer.text)).toMatchObject({ status: 415, code: 'unsupported_media_type' })
  })

  test('a compressed body is not taken: 415', async () => {
    const response = await ask(service(), '/v1/proxies', {
      headers: { ...json, 'content-encoding': 'gzip' },
      body: '{}',
    })
    expect(await problemOf(response)).toMatchObject({ status: 415, code: 'unsupported_media_type' })
  })

  test.for([
    { name: 'told', headers: {} },
    { name: 'chunked', headers: { 'transfer-encoding': 'chunked' } },
  ])('a body over the limit, length $name: 413', async ({ headers }) => {
    const answer = await rawRequest(`${service().url}/v1/proxies`, {
      headers: { authorization: `Bearer ${service().token()}`, ...json, ...headers } as Record<
        string,
        string
      >,
      body: `{"csr":"${'x'.repeat(66_000)}"}`,
    })
    expect(JSON.parse(answer.text)).toMatchObject({ status: 413, code: 'payload_too_large' })
  })
})
