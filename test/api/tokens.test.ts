import { beforeAll, describe, expect, test } from 'vitest'
import { newRsaKey, type SigningKey } from '../../demo/identity-provider/signing-keys.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { AUDIENCE, startTestService, useTestService } from '../support/service.ts'
import { badTokenRows } from './bad-token-rows.ts'
import {
  ask,
  everythingSaid,
  problemOf,
  quick,
  rawRequest,
  refusalsOf,
  soundCsr,
} from './support.ts'

const service = useTestService(quick)
let foreignKey: SigningKey
beforeAll(async () => {
  foreignKey = await newRsaKey()
})

/** The parts of a token by which it could be found again; not so short that they are found by chance. */
function traces(token: string): string[] {
  return [token, ...token.split('.').slice(1)].filter((part) => part.length > 30)
}

async function expectNoTrace(token: string, ...texts: string[]): Promise<void> {
  for (const text of [await everythingSaid(service()), ...texts]) {
    // The header alone is the same in all tokens of a provider, and no secret.
    expect(traces(token).filter((trace) => text.includes(trace))).toEqual([])
  }
}

test.for(badTokenRows)('$name', async ({ token: make, status, code, check, says }) => {
  const token = await make({ service: service(), foreignKey })
  const response = await ask(service(), '/v1/proxies', {
    token,
    headers: { 'content-type': 'application/pkcs10' },
    body: await soundCsr(),
  })
  const problem = await problemOf(response)
  const wantedCode = code ?? 'invalid_token'
  expect(problem).toMatchObject({ status: status ?? 401, code: wantedCode, check, detail: says })
  expect(response.headers.get('www-authenticate')).toBe(
    wantedCode === 'invalid_token'
      ? `Bearer realm="tts", error="invalid_token", error_description="${says}"`
      : 'Bearer realm="tts"',
  )
  const audit = await refusalsOf(service(), problem.request_id)
  // A header of impossible size is refused before anything looks at what is asked.
  expect(audit.map((line) => [line.event, line.code, line.check])).toEqual(
    check === 'size' ? [] : [['credential.refused', wantedCode, check]],
  )
  await expectNoTrace(token, JSON.stringify(problem), JSON.stringify([...response.headers]))
})

test('the operator reads the remedy in the log', async () => {
  const response = await ask(service(), '/v1/proxies', {
    token: service().token('alice', { aud: 'elsewhere' }),
  })
  const { request_id: id } = await problemOf(response)
  const line = service().logged.find((text) => text.includes(id) && text.includes('refused'))
  expect(JSON.parse(line ?? '{}')).toMatchObject({
    code: 'invalid_token',
    check: 'audience',
    remedy: expect.stringContaining('audience') as string,
  })
})

describe('no token at all', () => {
  const bare = { status: 401, code: 'missing_token', check: 'authorization' }
  const twice = { status: 400, code: 'invalid_request', check: 'authorization' }
  const invalidRequest = /^Bearer realm="tts", error="invalid_request", error_description="[^"]+"$/
  test.for([
    { name: 'nothing', headers: () => [], wanted: bare },
    { name: 'empty header', headers: () => ['Authorization', ''], wanted: bare },
    { name: 'Basic', headers: () => ['Authorization', 'Basic YWxpY2U6cHc='], wanted: bare },
    { name: 'scheme alone', headers: () => ['Authorization', 'Bearer'], wanted: bare },
    { name: 'token alone', headers: (t: string) => ['Authorization', t], wanted: bare },
    {
      name: 'two in one',
      headers: (t: string) => ['Authorization', `Bearer ${t} ${t}`],
      wanted: bare,
    },
    {
      name: 'list',
      headers: (t: string) => ['Authorization', `Bearer ${t}, Bearer ${t}`],
      wanted: bare,
    },
    { name: 'DPoP', headers: (t: string) => ['Authorization', `DPoP ${t}`], wanted: bare },
    {
      name: 'two headers',
      headers: (t: string) => ['Authorization', `Bearer ${t}`, 'Authorization', `Bearer ${t}`],
      wanted: twice,
    },
    {
      name: 'in the URL',
      query: (t: string) => `?access_token=${t}`,
      headers: () => [],
      wanted: twice,
    },
    {
      name: 'in URL and header',
      query: (t: string) => `?access_token=${t}`,
      headers: (t: string) => ['Authorization', `Bearer ${t}`],
      wanted: twice,
    },
  ])('$name', async ({ headers, query, wanted }) => {
    const token = service().token()
    for (const [method, path] of [
      ['POST', '/v1/proxies'],
      ['POST', '/v1/certificates'],
      ['GET', '/v1/credentials'],
      ['DELETE', '/v1/credentials/00000000-0000-4000-8000-000000000000'],
    ] as const) {
      const answer = await rawRequest(`${service().url}${path}${query?.(token) ?? ''}`, {
        method,
        headers: ['Host', 'localhost', 'Content-Length', '0', ...headers(token)],
      })
      expect(JSON.parse(answer.text), answer.text).toMatchObject(wanted)
      expect(answer.status).toBe(wanted.status)
      expect(answer.headers['www-authenticate']).toMatch(
        wanted === bare ? /^Bearer realm="tts"$/ : invalidRequest,
      )
      await expectNoTrace(token, answer.text)
    }
  })

  test('the scheme is taken in any letter case (RFC 9110 section 11.1)', async () => {
    const answer = await rawRequest(`${service().url}/v1/credentials`, {
      method: 'GET',
      headers: { authorization: `bEARER  ${service().token()}` },
    })
    expect(answer.status, answer.text).toBe(200)
  })
})

describe('a token where a parameter should be is not repeated', () => {
  test.for([
    { name: 'as the whole form', body: (t: string) => t },
    { name: 'as a form key, twice', body: (t: string) => `${t}=1&${t}=2` },
    { name: 'as a parameter', body: (t: string) => `access_token=${t}` },
    { name: 'as lifetime', body: (t: string) => `lifetime_seconds=${t}` },
    { name: 'as service', body: (t: string) => `service=${t}` },
    { name: 'as proxy type', body: (t: string) => `proxy_type=${t}` },
    {
      name: 'as JSON key',
      type: 'application/json',
      body: (t: string) => JSON.stringify({ [t]: 1 }),
    },
    { name: 'as broken JSON', type: 'application/json', body: (t: string) => `{"token":"${t}"` },
    { name: 'as CSR', type: 'application/json', body: (t: string) => JSON.stringify({ csr: t }) },
  ])('$name', async ({ body, type }) => {
    const token = service().token()
    const response = await ask(service(), '/v1/proxies', {
      token: service().token(),
      headers: { 'content-type': type ?? 'application/x-www-form-urlencoded' },
      body: body(token),
    })
    expect([400, 404]).toContain(response.status)
    await expectNoTrace(token, JSON.stringify(await problemOf(response)))
  })

  test('in the path', async () => {
    const token = service().token()
    const response = await ask(service(), `/v1/credentials/${token}`, { method: 'GET' })
    expect(response.status).toBe(404)
    const [header = '', payload = ''] = token.split('.')
    expect(await everythingSaid(service())).not.toContain(`${header}.${payload.slice(0, 20)}`)
  })
})

test('real tokens of the provider: access token in, ID token out', async () => {
  const { provider } = service()
  const tokens = await obtainAccessToken({
    issuer: provider.issuer,
    clientId: provider.clients.cli.clientId,
    username: 'alice',
    scope: 'openid profile email offline_access',
    audience: AUDIENCE,
  })
  const idToken = await ask(service(), '/v1/proxies', { token: String(tokens.id_token) })
  expect((await problemOf(idToken)).status).toBe(401)
  const refreshToken = await ask(service(), '/v1/proxies', { token: String(tokens.refresh_token) })
  expect((await problemOf(refreshToken)).status).toBe(401)
  // IAM's default tokens tell no groups: a true token, and the rule cannot be met.
  const access = await ask(service(), '/v1/proxies', { token: tokens.access_token })
  expect(await problemOf(access)).toMatchObject({ status: 403, code: 'access_denied' })
})

describe('a service that wants a scope', () => {
  const scoped = useTestService({
    configuration: (provider) => ({
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      providers: {
        iam: {
          issuer: provider.issuer,
          alias: 'indigo-iam-test',
          audiences: [AUDIENCE],
          required_scopes: ['tts', 'proxy:generate'],
        },
      },
    }),
  })

  test.for([
    {
      name: 'lacks one',
      scope: 'openid tts',
      says: 'the token lacks a required scope: proxy:generate',
    },
    { name: 'has none', scope: '', says: 'the token lacks a required scope: tts proxy:generate' },
    { name: 'tells none', scope: undefined, says: 'the token does not name its scopes' },
    {
      name: 'has longer ones',
      scope: 'tts.read proxy:generate',
      says: 'the token lacks a required scope: tts',
    },
  ])('$name: 403 with the scopes wanted', async ({ scope, says }) => {
    const response = await ask(scoped(), '/v1/proxies', {
      token: scoped().token('alice', { scope }),
    })
    expect(await problemOf(response)).toMatchObject({
      status: 403,
      code: 'insufficient_scope',
      check: 'scope',
      detail: says,
    })
    expect(response.headers.get('www-authenticate')).toBe(
      `Bearer realm="tts", error="insufficient_scope", error_description="${says}", scope="tts proxy:generate"`,
    )
  })

  test('has both', async () => {
    const response = await ask(scoped(), '/v1/proxies?key_type=ec-p256', {
      token: scoped().token('alice', { scope: 'proxy:generate openid tts' }),
    })
    expect(response.status).toBe(200)
  })
})

describe('the provider is down', () => {
  test('from the start: 503 with Retry-After, other paths go on', async () => {
    const down = await startTestService({ ...quick, awaitReady: false, providerDown: true })
    try {
      const response = await ask(down, '/v1/proxies', { body: await soundCsr() })
      const problem = await problemOf(response)
      expect(problem).toMatchObject({
        status: 503,
        code: 'provider_unavailable',
        check: 'provider',
      })
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0)
      expect(response.headers.get('www-authenticate')).toBeNull()
      expect(await refusalsOf(down, problem.request_id)).toHaveLength(1)
      expect((await ask(down, '/ca/crl.der', { method: 'GET' })).status).toBe(200)
    } finally {
      await down.stop()
    }
  })

  test('after it was seen once: its keys serve on', async () => {
    await service().provider.goDown()
    try {
      const response = await ask(service(), '/v1/proxies', { body: await soundCsr() })
      expect(response.status, await response.text()).toBe(200)
    } finally {
      await service().provider.comeUp()
    }
  })
})

describe('an ID token for the client whose id is an audience, as migrated sites have it', () => {
  const migrated = useTestService({
    configuration: (provider) => ({
      ...(quick.configuration as Record<string, Record<string, unknown>>),
      providers: { iam: { issuer: provider.issuer, audiences: [AUDIENCE, 'portal'] } },
    }),
  })
  test.for([
    { name: 'of INDIGO IAM', claims: { auth_time: 1 } },
    { name: 'with sid and azp', claims: { auth_time: 1, sid: 's', azp: 'portal' } },
    { name: 'that says so', claims: { typ: 'ID', azp: 'portal', client_id: 'portal' } },
  ])('$name: 401, and nothing is issued', async ({ claims }) => {
    const token = migrated().token('alice', { client_id: undefined, aud: 'portal', ...claims })
    const problem = await problemOf(await ask(migrated(), '/v1/proxies', { token }))
    expect(problem).toMatchObject({ status: 401, code: 'invalid_token', check: 'type' })
    const { store } = migrated().running.service
    expect((await store.listAudit({ limit: 10 })).map(({ event }) => event)).not.toContain(
      'credential.issued',
    )
  })
})
