/** POST /oauth2/token: RFC 8693, as any client that speaks OAuth uses it. */
import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { readCertificate } from '../../../ca/certificate.ts'
import { certificateFacts } from '../../../ca/certificate-facts.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { oauthErrorOf } from '../../../src/api/oauth/answers.ts'
import {
  ACCESS_TOKEN,
  JWT,
  CERTIFICATE_TOKEN_TYPE,
  PROXY_TOKEN_TYPE,
} from '../../../src/api/oauth/token-types.ts'
import { TtsError } from '../../../src/base/errors.ts'
import { useTestService } from '../../support/service.ts'
import { derOf, everythingSaid, quick, rawRequest, refusalsOf, soundCsr } from '../support.ts'
import { type Fields, FORM, formOf, oauthAnswer, postForm } from './support.ts'

const service = useTestService(quick)
const exchange = async (changes: Fields = {}) => postForm(service(), formOf(service(), changes))

describe('what is issued', () => {
  test('a proxy for a CSR: the answer of RFC 8693 section 2.2.1, on record', async () => {
    const answer = await exchange({
      csr: await soundCsr(),
      requested_token_type: PROXY_TOKEN_TYPE,
      lifetime_seconds: '3600',
      proxy_type: 'limited',
      path_length: '3',
    })
    const body = oauthAnswer(answer)
    expect(answer.status).toBe(200)
    expect(body).toEqual({
      access_token: expect.any(String) as string,
      issued_token_type: PROXY_TOKEN_TYPE,
      token_type: 'N_A',
      expires_in: expect.any(Number) as number,
    })
    expect(body['expires_in']).toBeGreaterThan(3500)
    expect(body['expires_in']).toBeLessThanOrEqual(3600)
    const file = parseProxyFile(String(body['access_token']))
    expect(file.labels).toEqual(['CERTIFICATE', 'CERTIFICATE'])
    const [proxy] = file.certificates
    expect(certificateFacts(proxy!).proxyCertInfo).toMatchObject({ type: 'limited', pathLength: 3 })
    const { store } = service().running.service
    const record = await store.findCredentialByCertificate(proxy!.serial)
    expect(record).toMatchObject({
      id: answer.headers['tts-credential-id'],
      serviceId: 'proxy',
      origin: { interface: 'token-exchange' },
    })
    expect(record?.notAfter?.toISOString()).toBe(answer.headers['tts-not-after'])
  })

  test('a proxy is the default, with a key of the service when there is no CSR', async () => {
    const body = oauthAnswer(await exchange({ key_type: 'ec-p256' }))
    expect(body).toMatchObject({ issued_token_type: PROXY_TOKEN_TYPE })
    expect(parseProxyFile(String(body['access_token'])).labels).toEqual([
      'CERTIFICATE',
      'PRIVATE KEY',
      'CERTIFICATE',
    ])
  })

  test('a certificate for a CSR', async () => {
    const csr = await soundCsr()
    const body = oauthAnswer(await exchange({ csr, requested_token_type: CERTIFICATE_TOKEN_TYPE }))
    expect(body).toMatchObject({ issued_token_type: CERTIFICATE_TOKEN_TYPE, token_type: 'N_A' })
    const certificate = readCertificate(derOf(String(body['access_token'])))
    expect(certificateFacts(certificate).proxyCertInfo).toBeUndefined()
  })

  test('a JWT is a type of access token; parameters that nobody knows are ignored', async () => {
    const csr = await soundCsr()
    const answer = await exchange({
      csr,
      subject_token_type: JWT,
      client_id: 'whoever',
      access_type: 'offline',
      scope: '',
      audience: '',
      actor_token: '',
    })
    expect(answer.status, answer.text).toBe(200)
    // Whoever the client claims to be, the record has only what the token says.
    expect(await everythingSaid(service())).not.toContain('whoever')
    const { store } = service().running.service
    const serial = parseProxyFile(String(oauthAnswer(answer)['access_token'])).certificates[0]
    const record = await store.findCredentialByCertificate(serial?.serial ?? '')
    expect(record?.clientId).toBe(service().provider.clients.cli.clientId)
  })

  test('the rules are those of every interface: bob, who is not in cms, gets nothing', async () => {
    const answer = await exchange({ subject_token: service().token('bob'), csr: await soundCsr() })
    expect(answer.status).toBe(400)
    const body = oauthAnswer(answer)
    expect(body).toEqual({
      error: 'invalid_request',
      error_description: 'no rule of this service allows this user (claims checked: groups)',
      error_uri: '/problems/access_denied',
      check: 'authorisation',
      request_id: answer.headers['x-request-id'],
    })
    const [line] = await refusalsOf(service(), String(body['request_id']))
    expect(line).toMatchObject({
      code: 'access_denied',
      origin: { interface: 'token-exchange' },
      serviceId: 'proxy',
    })
  })
})

interface BadRow {
  readonly name: string
  /** Changes of a sound form, or the whole body. */
  readonly change?: Fields | (() => Fields)
  readonly append?: string
  readonly body?: string
  readonly headers?: Record<string, string>
  readonly status?: number
  readonly error?: string
  /** Code of the problem page. */
  readonly code?: string
  readonly check?: string
  readonly says: string
}

const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const keyPem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
const exchangeType = 'urn:ietf:params:oauth:grant-type:token-exchange'
const noSecret = 'clients have no secret here: send no client authentication (method none)'
const privateKey =
  'the request contains a private key, which must never be sent to anybody: treat it as stolen, make a new key, and send only the CSR or the public key'
const noTarget = 'X.509 credentials cannot be limited to a target service; leave it out'
const types = `${ACCESS_TOKEN} or ${JWT}`

// prettier-ignore
const badRows: readonly BadRow[] = [
  // the form
  { name: 'no body', body: '', says: 'grant_type is missing' },
  { name: 'JSON', body: '{}', headers: { 'content-type': 'application/json' }, status: 415, code: 'unsupported_media_type', says: 'send a form (Content-Type: application/x-www-form-urlencoded)' },
  { name: 'no content type', headers: { 'content-type': '' }, status: 415, code: 'unsupported_media_type', says: 'send a form (Content-Type: application/x-www-form-urlencoded)' },
  { name: 'compressed', headers: { 'content-encoding': 'gzip' }, status: 415, code: 'unsupported_media_type', says: 'the body must have no content encoding' },
  { name: 'too large', append: `&x=${'x'.repeat(65_536)}`, status: 413, code: 'payload_too_large', check: 'body_bytes', says: 'the body is too large: at most 65536 bytes are accepted' },
  { name: 'a parameter twice', append: `&grant_type=${encodeURIComponent(exchangeType)}`, check: 'repeated', says: 'grant_type is given twice' },
  { name: 'the token twice', append: '&subject_token=x', check: 'repeated', says: 'subject_token is given twice' },
  { name: 'a parameter of the service twice, once empty', append: '&lifetime_seconds=&lifetime_seconds=60', check: 'repeated', says: 'lifetime_seconds is given twice' },
  { name: 'unknown twice: its name may be a secret', append: '&eyJhbGciOi.x=1&eyJhbGciOi.x=2', check: 'repeated', says: 'a parameter is given twice' },
  { name: 'a private key, wherever', change: { note: keyPem }, check: 'private_key', says: privateKey },
  { name: 'a private key in a list', change: { audience: keyPem }, check: 'private_key', says: privateKey },
  { name: 'a private key under a name of ours', change: { lists: keyPem }, check: 'private_key', says: privateKey },
  { name: 'a private key as token', change: { subject_token: keyPem }, check: 'private_key', says: privateKey },
  // the client
  { name: 'client_secret_basic', headers: { authorization: 'Basic YWJjOmRlZg==' }, status: 401, error: 'invalid_client', check: 'client_authentication', says: noSecret },
  { name: 'another scheme', headers: { authorization: 'Negotiate YWJj' }, status: 401, error: 'invalid_client', check: 'client_authentication', says: noSecret },
  { name: 'client_secret_post', change: { client_id: 'abc', client_secret: 'def' }, status: 401, error: 'invalid_client', check: 'client_authentication', says: noSecret },
  { name: 'private_key_jwt', change: { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer', client_assertion: 'a.b.c' }, status: 401, error: 'invalid_client', check: 'client_authentication', says: noSecret },
  { name: 'the token also in the header', headers: { authorization: 'Bearer abc' }, says: 'send the access token as subject_token only, without an Authorization header' },
  { name: 'an empty Authorization header', headers: { authorization: '' }, status: 401, error: 'invalid_client', check: 'client_authentication', says: noSecret },
  // the grant
  { name: 'no grant_type', change: { grant_type: undefined }, says: 'grant_type is missing' },
  { name: 'an empty grant_type', change: { grant_type: '' }, says: 'grant_type is missing' },
  { name: 'client_credentials', change: { grant_type: 'client_credentials' }, error: 'unsupported_grant_type', check: 'grant_type', says: `grant_type: must be ${exchangeType}` },
  { name: 'grant_type in upper case', change: { grant_type: exchangeType.toUpperCase() }, error: 'unsupported_grant_type', check: 'grant_type', says: `grant_type: must be ${exchangeType}` },
  // the tokens
  { name: 'no subject_token', change: { subject_token: undefined }, says: 'subject_token is missing: send an access token' },
  { name: 'no subject_token_type', change: { subject_token_type: undefined }, says: `subject_token_type is missing: send ${types}` },
  { name: 'an ID token', change: { subject_token_type: 'urn:ietf:params:oauth:token-type:id_token' }, says: `subject_token_type: must be ${types}` },
  { name: 'a JWT that is none', change: { subject_token_type: JWT, subject_token: 'opaque' }, says: `subject_token: is not a JWT; if it is an access token, send ${ACCESS_TOKEN}` },
  { name: 'actor_token', change: { actor_token: 'a.b.c', actor_token_type: JWT }, says: 'actor_token: this service issues nothing for one party that acts for another' },
  { name: 'actor_token_type alone', change: { actor_token_type: JWT }, says: 'actor_token: this service issues nothing for one party that acts for another' },
  { name: 'a token that is none', change: { subject_token: 'not a token' }, code: 'invalid_token', check: 'format', says: 'the token has characters that are not allowed in a bearer token (RFC 6750 section 2.1)' },
  { name: 'a token of impossible size', change: { subject_token: 'a'.repeat(16_385) }, code: 'invalid_token', check: 'size', says: 'the access token has 16385 bytes; this service accepts at most 16384' },
  { name: 'a renewal secret', change: { subject_token: 'tts_renew_abcdefgh' }, code: 'invalid_token', check: 'format', says: 'this is the renewal secret of a delegation, not an access token' },
  { name: 'an expired token', change: () => ({ subject_token: service().token('alice', { exp: 1 }) }), code: 'invalid_token', check: 'expired', says: 'the token has expired' },
  { name: 'a token for another service', change: () => ({ subject_token: service().token('alice', { aud: 'https://else.example.org' }) }), code: 'invalid_token', check: 'audience', says: 'the token is meant for another service (claim aud); accepted audiences: https://tts.example.org' },
  // what is requested
  { name: 'another kind of token', change: { requested_token_type: ACCESS_TOKEN }, says: `requested_token_type: must be ${PROXY_TOKEN_TYPE} or ${CERTIFICATE_TOKEN_TYPE}` },
  { name: 'audience', change: { audience: 'https://storage.example.org' }, error: 'invalid_target', check: 'target', says: `audience: ${noTarget}` },
  { name: 'resource', change: { resource: 'https://storage.example.org' }, error: 'invalid_target', check: 'target', says: `resource: ${noTarget}` },
  { name: 'several resources', change: { resource: '' }, append: '&resource=a&resource=b', error: 'invalid_target', check: 'target', says: `resource: ${noTarget}` },
  { name: 'scope', change: { scope: 'storage.read:/' }, error: 'invalid_scope', check: 'scope', says: 'scope: X.509 credentials have no scopes; leave it out' },
  { name: 'a certificate without CSR', change: { requested_token_type: CERTIFICATE_TOKEN_TYPE }, check: 'parameters', says: 'csr: must be a PKCS#10 request' },
  { name: 'a CSR that is none', change: { csr: 'hello' }, code: 'invalid_csr', check: 'malformed', says: "malformed CSR: send exactly one PKCS#10 request, in DER or PEM ('CERTIFICATE REQUEST')" },
  { name: 'a CSR and a kind of key', change: () => ({ csr: 'x', key_type: 'rsa-2048' }), check: 'parameters', says: 'key_type: must not be combined with csr, which brings its own key' },
  { name: 'lifetime 0', change: { lifetime_seconds: '0' }, check: 'parameters', says: 'lifetime_seconds: must be at least 60' },
  { name: 'lifetime in words', change: { lifetime_seconds: '1h' }, check: 'parameters', says: 'lifetime_seconds: must be a whole number from 60 to 34560000' },
  { name: 'a lifetime above the maximum', change: { lifetime_seconds: '604801', key_type: 'ec-p256' }, check: 'lifetime', says: 'lifetime_seconds: found 604801; the service proxy gives at most 604800' },
  { name: 'a type of proxy for a certificate is not its parameter, but its CSR is missing', change: { requested_token_type: CERTIFICATE_TOKEN_TYPE, proxy_type: 'limited' }, check: 'parameters', says: 'csr: must be a PKCS#10 request' },
  { name: 'an unknown type of proxy', change: { proxy_type: 'full' }, check: 'parameters', says: 'proxy_type: must be one of impersonation, limited, independent' },
  { name: 'an unknown service', change: { service: 'nothing' }, code: 'not_found', check: 'service', says: 'no service has this name' },
  { name: 'a service of another kind', change: { service: 'x509' }, says: 'service: the service x509 issues no proxies' },
]

describe('bad input', () => {
  test.for(badRows)('$name', async (row) => {
    const change = typeof row.change === 'function' ? row.change() : row.change
    const form = row.body ?? `${formOf(service(), change)}${row.append ?? ''}`
    const answer = await postForm(service(), form, row.headers)
    const { code = 'invalid_request', check, error = 'invalid_request', says } = row
    expect(oauthAnswer(answer)).toEqual({
      error,
      error_description: says,
      error_uri: `/problems/${code}`,
      ...(check === undefined ? {} : { check }),
      request_id: answer.headers['x-request-id'],
    })
    expect(answer.status).toBe(row.status ?? 400)
  })

  test('parameters in the URL', async () => {
    const url = `${service().url}/oauth2/token?${formOf(service())}`
    const answer = await rawRequest(url, { headers: { 'content-type': FORM } })
    expect(oauthAnswer(answer)).toMatchObject({
      error: 'invalid_request',
      error_description: 'send all parameters in the body, none in the URL',
    })
  })

  test('only HTTP Basic gets its challenge', async () => {
    const refused = async (authorization: string) =>
      postForm(service(), formOf(service()), { authorization })
    expect((await refused('Basic YWJjOmRlZg==')).headers['www-authenticate']).toBe(
      'Basic realm="tts"',
    )
    expect((await refused('Negotiate YWJj')).headers).not.toHaveProperty('www-authenticate')
    expect((await refused('Bearer abc')).headers).not.toHaveProperty('www-authenticate')
  })

  test('neither a token nor its claims are in log, records or answers', async () => {
    const tokens = [
      service().token(),
      service().token('bob'),
      service().token('alice', { exp: 1 }),
      `${service().token()}.x.y`,
    ]
    const answers: string[] = []
    for (const subject_token of tokens)
      answers.push((await exchange({ subject_token, csr: await soundCsr() })).text)
    answers.push((await postForm(service(), `${tokens[0]}=1&${tokens[0]}=2`)).text)
    const said = `${await everythingSaid(service())}${answers.join('')}`
    const traces = tokens
      .flatMap((token) => token.split('.').slice(1))
      .filter((part) => part.length > 30)
    expect(traces.length).toBeGreaterThan(6)
    expect(traces.filter((trace) => said.includes(trace))).toEqual([])
  })
})

describe('errors of every code', () => {
  test.for([
    ['limit_reached', undefined, 429, 'temporarily_unavailable'],
    ['overloaded', undefined, 503, 'temporarily_unavailable'],
    ['provider_unavailable', undefined, 503, 'temporarily_unavailable'],
    ['plugin_failed', undefined, 502, 'server_error'],
    ['internal', undefined, 500, 'server_error'],
    ['request_timeout', undefined, 408, 'invalid_request'],
    ['insufficient_scope', 'scope', 400, 'invalid_request'],
    ['invalid_request', 'scope', 400, 'invalid_scope'],
    ['access_denied', 'target', 400, 'invalid_request'],
  ] as const)('%s, check %s: %i %s', ([code, check, status, error]) => {
    const failure = new TtsError(code, 'x', check === undefined ? {} : { check })
    expect(oauthErrorOf(failure)).toEqual({ status, error })
  })

  test('an internal error shows neither its message nor its check', async () => {
    const { issuing } = service().running.service
    const { verifier } = issuing as { verifier: { verify: unknown } }
    const original = verifier.verify
    verifier.verify = () => Promise.reject(new Error('secret cause'))
    try {
      const answer = await exchange()
      expect(answer.status).toBe(500)
      expect(oauthAnswer(answer)).toEqual({
        error: 'server_error',
        error_description: 'the service failed; its log has the cause under the request id',
        error_uri: '/problems/internal',
        request_id: answer.headers['x-request-id'],
      })
    } finally {
      verifier.verify = original
    }
  })
})
