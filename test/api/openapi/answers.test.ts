/** Real answers of a service, each against what /openapi.json says of it. What is not described fails. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { createCsr } from '../../../ca/csr.ts'
import { createSigner } from '../../../ca/key.ts'
import { ACCESS_TOKEN, TOKEN_EXCHANGE } from '../../../src/api/oauth/token-types.ts'
import { startTestService, useTestService } from '../../support/service.ts'
import { delegate, delegating, logIn, type Made } from '../delegation-support.ts'
import { type Ask, ask, bearer, derOf, quick } from '../support.ts'
import { answerChecker, readOpenApi } from './support.ts'

const PUBLIC_URL = 'https://tts.example.org'
const service = useTestService(
  delegating({
    delegations: { renewal_by_possession: { enabled: true }, maximum_per_identity: 20 },
    more: {
      listen: { port: 0, public_url: PUBLIC_URL },
      access_tokens: { enabled: true, audiences: ['https://storage.example.org'], scopes: [] },
    },
  }),
)

const missing = '00000000-0000-4000-8000-000000000000'
const json = { accept: 'application/json', 'content-type': 'application/json' }
let checker: ReturnType<typeof answerChecker>
let key: KeyObject
let csr: string

beforeAll(async () => {
  checker = answerChecker(await readOpenApi(service().url))
  key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  csr = await createCsr([], createSigner(key))
})

const send = (method: string, path: string, wanted: Omit<Ask, 'method'> = {}) =>
  ask(service(), path, { method, ...wanted })
const open = (path: string) => send('GET', path, { token: undefined })
const body = (value: object): Pick<Ask, 'headers' | 'body'> => ({
  headers: json,
  body: JSON.stringify(value),
})

async function newCredential(): Promise<string> {
  const response = await send('POST', '/v1/proxies', body({ csr }))
  return ((await response.json()) as { id: string }).id
}

async function newDelegation(): Promise<Made> {
  return delegate(service(), { token: await logIn(service()), label: 'openapi' })
}

async function successor(): Promise<Response> {
  const proxy = await (await send('POST', '/v1/proxies', { headers: {}, body: csr })).text()
  const at = new Date().toISOString()
  const digest = createHash('sha256').update(derOf(csr)).digest('hex')
  const signature = sign('sha256', Buffer.from(`tts successor v1\n${at}\n${digest}`), key)
  const fields = { csr, proxy, at, signature: signature.toString('base64') }
  return send('POST', '/v1/proxies/successor', { token: undefined, ...body(fields) })
}

async function exchange(fields: Record<string, string> = {}): Promise<Response> {
  const form = new URLSearchParams({
    grant_type: TOKEN_EXCHANGE,
    subject_token_type: ACCESS_TOKEN,
    subject_token: service().token(),
    csr,
    ...fields,
  })
  return send('POST', '/oauth2/token', {
    token: undefined,
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  })
}

async function wattsRequest(): Promise<Response> {
  return fetch(`${service().url}/api/v2/iam/credential`, {
    method: 'POST',
    redirect: 'manual',
    headers: { ...bearer(service().token()), 'content-type': 'application/json' },
    body: JSON.stringify({ service_id: 'proxy', params: { csr } }),
  })
}

/** Where the result of a WaTTS request is, on the address that the test reaches. */
async function wattsResult(): Promise<string> {
  return new URL((await wattsRequest()).headers.get('location') ?? '').pathname
}

/** What makes the good answer of each operation. */
const answers: Readonly<Record<string, () => Promise<Response>>> = {
  createProxy: () => send('POST', '/v1/proxies', { headers: {}, body: csr }),
  'createProxy, JSON': () => send('POST', '/v1/proxies', body({ csr })),
  'createProxy, key of the service': () =>
    send('POST', '/v1/proxies', body({ key_type: 'ec-p256' })),
  createCertificate: () => send('POST', '/v1/certificates', body({ csr })),
  createSuccessor: successor,
  listCredentials: () => send('GET', '/v1/credentials?limit=1&active=true'),
  showCredential: async () => send('GET', `/v1/credentials/${await newCredential()}`),
  revokeCredential: async () => send('DELETE', `/v1/credentials/${await newCredential()}`),
  createDelegation: async () =>
    send('POST', '/v1/delegations', { token: await logIn(service()), ...body({ label: 'x' }) }),
  listDelegations: () => send('GET', '/v1/delegations'),
  showDelegation: async () => {
    const { id, renewal_secret: token } = await newDelegation()
    return send('GET', `/v1/delegations/${id}`, { token })
  },
  revokeDelegation: async () => {
    const { id, renewal_secret: token } = await newDelegation()
    return send('DELETE', `/v1/delegations/${id}`, { token })
  },
  renewProxy: async () => {
    const { id, renewal_secret: token } = await newDelegation()
    return send('POST', `/v1/delegations/${id}/proxies`, { token, ...body({ csr }) })
  },
  exchangeToken: exchange,
  wattsProviders: () => open('/api/v2/oidcp'),
  wattsInfo: () => open('/api/v2/info'),
  wattsLogout: () => open('/api/v2/logout'),
  wattsServices: () => send('GET', '/api/v2/iam/service'),
  wattsCredentials: () => send('GET', '/api/v2/iam/credential'),
  wattsRequestCredential: wattsRequest,
  wattsCredentialData: async () => send('GET', await wattsResult()),
  wattsRemoveCredential: async () =>
    send('DELETE', `/api/v2/iam/credential/${await newCredential()}`),
  listProblems: () => open('/problems'),
  showProblem: () => open('/problems/not_found'),
  getResourceMetadata: () => open('/.well-known/oauth-protected-resource'),
  getServerMetadata: () => open('/.well-known/oauth-authorization-server'),
  getDiscovery: () => open('/.well-known/openid-configuration'),
  getKeySet: () => open('/oauth2/jwks'),
  listCaFiles: () => open('/ca'),
  getCaPem: () => open('/ca/ca.pem'),
  getCaDer: () => open('/ca/ca.der'),
  getCaChain: () => open('/ca/chain.pem'),
  getCrlPem: () => open('/ca/crl.pem'),
  getCrlDer: () => open('/ca/crl.der'),
  getTrustAnchors: () => open('/ca/trust-anchors.tar.gz'),
  getHealth: () => open('/healthz'),
  getReadiness: () => open('/readyz'),
  getMetrics: () => open('/metrics'),
  getOpenApi: () => open('/openapi.json'),
}

describe('good answers', () => {
  test.for(Object.entries(answers))('%s', async ([name, make]) => {
    const response = await make()
    expect(response.status, await response.clone().text()).toBeLessThan(400)
    expect(await checker.check(name.split(',')[0] ?? '', response)).toEqual([])
  })

  test('of every operation, but the one that needs a session of the web pages', () => {
    const made = new Set(Object.keys(answers).map((name) => name.split(',')[0]))
    const rest = [...checker.operations.keys()].filter((id) => !made.has(id))
    expect(rest).toEqual(['wattsAccessToken'])
  })
})

describe('refusals', () => {
  // prettier-ignore
  test.for([
    { name: 'no token', id: 'createProxy', status: 401, make: () => send('POST', '/v1/proxies', { token: undefined }) },
    { name: 'wrong audience', id: 'listCredentials', status: 401, make: () => send('GET', '/v1/credentials', { token: service().token('alice', { aud: 'https://other.example.org' }) }) },
    { name: 'no rule', id: 'createProxy', status: 403, make: () => send('POST', '/v1/proxies', { token: service().token('bob'), ...body({ csr }) }) },
    { name: 'bad parameter', id: 'createProxy', status: 400, make: () => send('POST', '/v1/proxies', body({ lifetime_seconds: 1 })) },
    { name: 'bad CSR', id: 'createCertificate', status: 400, make: () => send('POST', '/v1/certificates', body({ csr: 'x' })) },
    { name: 'unknown query parameter', id: 'listDelegations', status: 400, make: () => send('GET', '/v1/delegations?x=1') },
    { name: 'no such service', id: 'createProxy', status: 404, make: () => send('POST', '/v1/proxies?service=none') },
    { name: 'no such credential', id: 'showCredential', status: 404, make: () => send('GET', `/v1/credentials/${missing}`) },
    { name: 'no such problem', id: 'showProblem', status: 404, make: () => open('/problems/none') },
    { name: 'wrong renewal secret', id: 'renewProxy', status: 401, make: () => send('POST', `/v1/delegations/${missing}/proxies`, { token: 'x' }) },
    { name: 'media type', id: 'createProxy', status: 415, make: () => send('POST', '/v1/proxies', { headers: { 'content-type': 'text/plain' }, body: 'x' }) },
    { name: 'not acceptable', id: 'createProxy', status: 406, make: () => send('POST', '/v1/proxies', { headers: { accept: 'image/png' } }) },
    { name: 'token exchange', id: 'exchangeToken', status: 400, make: () => exchange({ subject_token: 'x' }) },
    { name: 'WaTTS without a token', id: 'wattsServices', status: 401, make: () => send('GET', '/api/v2/iam/service', { token: undefined }) },
    { name: 'WaTTS access token without a session', id: 'wattsAccessToken', status: 401, make: () => send('GET', '/api/v2/iam/access_token') },
  ])('$name: $status', async ({ id, status, make }) => {
    const response = await make()
    expect(response.status, await response.clone().text()).toBe(status)
    expect(await checker.check(id, response)).toEqual([])
  })

  test('a delegation that ended: 410', async () => {
    const { id, renewal_secret: token } = await newDelegation()
    await send('DELETE', `/v1/delegations/${id}`, { token })
    const path = `/v1/delegations/${id}/proxies`
    const response = await send('POST', path, { token, ...body({ csr }) })
    expect(response.status).toBe(410)
    expect(await checker.check('renewProxy', response)).toEqual([])
  })

  test('too many requests: 429; no provider: 503; not ready: 503', async () => {
    const limits = { ...quick.configuration, limits: { key_pool_size: 0, burst_per_identity: 1 } }
    const busy = await startTestService({ configuration: limits as never })
    try {
      const token = busy.token()
      const headers = { 'content-type': 'application/pkcs10' }
      let response = await ask(busy, '/v1/proxies', { token, headers, body: csr })
      for (let round = 0; round < 50 && response.status === 200; round += 1)
        response = await ask(busy, '/v1/proxies', { token, headers, body: csr })
      expect(response.status).toBe(429)
      expect(await checker.check('createProxy', response)).toEqual([])
    } finally {
      await busy.stop()
    }
    const down = await startTestService({ ...quick, providerDown: true, awaitReady: false })
    try {
      const get = { method: 'GET' }
      const list = await ask(down, '/v1/credentials', get)
      expect(list.status).toBe(503)
      expect(await checker.check('listCredentials', list)).toEqual([])
      const ready = await ask(down, '/readyz', { ...get, token: undefined })
      expect(ready.status).toBe(503)
      expect(await checker.check('getReadiness', ready)).toEqual([])
    } finally {
      await down.stop()
    }
  })
})

test('a member that the document does not name, or a missing one, is found', () => {
  const { problemsOf } = checker
  const schema = { $ref: '#/components/schemas/Health' }
  expect(problemsOf(schema, { status: 'ok' })).toEqual([])
  expect(problemsOf(schema, { status: 'ok', more: 1 })).toHaveLength(1)
  expect(problemsOf(schema, {})).toHaveLength(1)
})
