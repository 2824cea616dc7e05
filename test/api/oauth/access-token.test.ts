/** Proxy in, access token out: POST /oauth2/token with a proxy as subject token. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { createLocalJWKSet, decodeJwt, type JSONWebKeySet, jwtVerify } from 'jose'
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { readPem, toPem } from '../../../ca/pem.ts'
import { ACCESS_TOKEN, JWT, PROXY_TOKEN_TYPE } from '../../../src/api/oauth/token-types.ts'
import { makeCredential } from '../../support/authority.ts'
import {
  AUDIENCE,
  startTestService,
  type TestService,
  useTestService,
} from '../../support/service.ts'
import { ask, bearer, everythingSaid, quick, refusalsOf } from '../support.ts'
import { getProxy, signedFields, type TestProxy, type Wanted } from './proxy-support.ts'
import { oauthAnswer, postForm } from './support.ts'

const ISSUER = 'https://tts.example.org'
const STORAGE = 'https://storage.example.org'
const OTHER = 'https://other.example.org'
const READ = 'storage.read:/cms'
let now = Date.now()
const options = {
  now: () => new Date(now),
  configuration: {
    ...quick.configuration,
    listen: { port: 0, public_url: ISSUER },
    access_tokens: {
      enabled: true,
      audiences: [STORAGE, OTHER],
      scopes: [READ],
      groups_maximum_age_seconds: 7200,
    },
  },
}
const service = useTestService(options)
let key: KeyObject
let proxy: TestProxy

beforeAll(async () => {
  service().provider.tokens.lifetimeSeconds = 40 * 86_400
  key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
})
beforeEach(async () => {
  now = Date.now()
  proxy = await getProxy(service(), { token: tokenOf({}), key })
})

const tokenOf = (claims: Record<string, unknown>): string =>
  service().token('alice', {
    exp: Math.floor(now / 1000) + 3600,
    iat: Math.floor(now / 1000) - 60,
    ...claims,
  })

const post = async (fields: [string, string][]) =>
  postForm(service(), new URLSearchParams(fields).toString())

/** A request as it must be, with changes: undefined leaves a parameter out. */
async function request(
  wanted: Wanted = {},
  changes: Record<string, string | undefined> = {},
  given: Pick<TestProxy, 'chain' | 'key'> = proxy,
) {
  // No two requests are the same.
  now += 1
  const signed = signedFields(given, { audiences: [STORAGE], at: new Date(now), ...wanted })
  const kept = signed.filter(([name]) => !(name in changes))
  const added = Object.entries(changes).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  )
  return post([...kept, ...added])
}

/** The claims of an answer, after the signature was checked with the published keys. */
async function claimsOf(answer: Awaited<ReturnType<typeof request>>) {
  expect(answer.status, answer.text).toBe(200)
  const keySet = (await (await fetch(`${service().url}/oauth2/jwks`)).json()) as JSONWebKeySet
  const { payload, protectedHeader } = await jwtVerify(
    String(oauthAnswer(answer)['access_token']),
    createLocalJWKSet(keySet),
    { issuer: ISSUER, algorithms: ['ES256'], typ: 'at+jwt', currentDate: new Date(now) },
  )
  expect(protectedHeader.kid).toBe(keySet.keys.at(-1)?.kid)
  return payload
}

describe('what is issued', () => {
  test('a token of the WLCG profile, on record', async () => {
    const answer = await request({ scope: `wlcg.groups ${READ}` })
    const claims = await claimsOf(answer)
    const seconds = Math.floor(now / 1000)
    expect(claims).toEqual({
      'wlcg.ver': '1.0',
      iss: ISSUER,
      sub: '/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test',
      aud: STORAGE,
      iat: seconds,
      nbf: seconds,
      exp: seconds + 1200,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
      scope: `wlcg.groups ${READ}`,
      'wlcg.groups': service()
        .provider.user('alice')
        .groups.map((group) => `/${group}`)
        .toSorted(),
    })
    expect(oauthAnswer(answer)).toMatchObject({
      issued_token_type: ACCESS_TOKEN,
      token_type: 'Bearer',
      expires_in: 1200,
      scope: `wlcg.groups ${READ}`,
    })
    const lines = await service().running.service.store.listAudit({
      event: 'access_token.issued',
      limit: 1,
    })
    expect(lines).toMatchObject([
      {
        outcome: 'allowed',
        credentialId: proxy.credentialId,
        serviceId: 'proxy',
        origin: { requestId: answer.headers['x-request-id'], interface: 'token-exchange' },
        detail: `jti ${String(claims['jti'])}, scope wlcg.groups ${READ}, for ${STORAGE}`,
        sub: service().provider.user('alice').sub,
      },
    ])
    expect(await everythingSaid(service())).not.toContain(
      String(oauthAnswer(answer)['access_token']),
    )
  })

  test('by default: the groups, no other scope', async () => {
    expect(await claimsOf(await request())).toMatchObject({
      scope: 'wlcg.groups',
      'wlcg.groups': ['/cms', '/cms/production'],
    })
  })

  test('a scope alone brings no groups', async () => {
    const claims = await claimsOf(await request({ scope: READ }))
    expect(claims).toMatchObject({ scope: READ })
    expect(claims).not.toHaveProperty(['wlcg.groups'])
  })

  test('several audiences are a list; a shorter life is as requested; the type may be jwt', async () => {
    const answer = await request(
      { audiences: [STORAGE, OTHER, STORAGE] },
      { lifetime_seconds: '60', requested_token_type: JWT },
    )
    expect(oauthAnswer(answer)).toMatchObject({ issued_token_type: JWT, expires_in: 60 })
    expect(await claimsOf(answer)).toMatchObject({
      aud: [STORAGE, OTHER],
      exp: Math.floor(now / 1000) + 60,
    })
  })

  test('a token ends before its proxy', async () => {
    const short = await getProxy(service(), {
      token: tokenOf({}),
      key,
      parameters: { lifetime_seconds: 300 },
    })
    const claims = await claimsOf(await request({}, {}, short))
    const { store } = service().running.service
    const record = await store.findCredential(short.credentialId)
    expect(claims.exp).toBe(Math.floor(record!.notAfter!.getTime() / 1000) - 1)
  })

  test('people of different providers, or of one with odd subs, have different subjects', async () => {
    const subOf = async (sub: string) => {
      const given = await getProxy(service(), { token: tokenOf({ sub }), key })
      return decodeJwt(String(oauthAnswer(await request({}, {}, given))['access_token'])).sub
    }
    const subs = await Promise.all(['Dora', 'dora', 'a/CN=dora', 'd@ra'].map(subOf))
    expect(new Set(subs.map((sub) => sub?.toLowerCase())).size).toBe(4)
  })
})

test('groups of a provider that does not speak for them are left out', async () => {
  const { configuration } = options
  const other = await startTestService({
    ...options,
    awaitReady: false,
    configuration: (provider) => ({
      ...configuration,
      providers: {
        iam: { issuer: provider.issuer, alias: 'indigo-iam-test', audiences: [AUDIENCE] },
        // Nobody answers there.
        egi: { issuer: 'http://127.0.0.1:9', audiences: [AUDIENCE] },
      },
      access_tokens: { ...configuration.access_tokens, groups_provider: 'egi' },
    }),
  })
  onTestFinished(() => other.stop())
  const exp = Math.floor(now / 1000) + 3600
  const held = await getProxy(other, { token: other.token('alice', { exp }), key })
  const form = signedFields(held, { audiences: [STORAGE], at: new Date(now) })
  const { text } = await postForm(other, new URLSearchParams(form).toString())
  const claims = decodeJwt((JSON.parse(text) as { access_token: string }).access_token)
  expect(claims.sub).toContain('/CN=')
  expect(claims).not.toHaveProperty(['wlcg.groups'])
})

describe('groups are those of the newest token', () => {
  const groupsNow = async () => (await claimsOf(await request()))['wlcg.groups']

  test('a later token replaces them; names outside the profile are left out', async () => {
    await getProxy(service(), {
      token: tokenOf({ groups: ['cms', 'new/group', 'not allowed', 'é'] }),
      key,
    })
    expect(await groupsNow()).toEqual(['/cms', '/new/group'])
  })

  test('they are forgotten in time, counted to the end of the token', async () => {
    const { store } = service().running.service
    const record = await store.findCredential(proxy.credentialId)
    const latest = await store.knownGroups.find(record!.identity.id)
    now = latest!.statedAt.getTime() + (7200 - 1200 - 2) * 1000
    expect(await groupsNow()).toEqual(['/cms', '/cms/production'])
    now += 3000
    const claims = await claimsOf(await request())
    expect(claims).not.toHaveProperty(['wlcg.groups'])
    expect(claims).not.toHaveProperty('scope')
    const refused = await request({ scope: 'wlcg.groups' })
    expect(oauthAnswer(refused)).toMatchObject({ error: 'invalid_scope' })
  })
})

interface BadRow {
  readonly name: string
  readonly wanted?: Wanted | (() => Wanted)
  readonly changes?: Record<string, string | undefined>
  readonly given?: () => Promise<Pick<TestProxy, 'chain' | 'key'>>
  readonly error?: string
  readonly code?: string
  readonly check?: string
  readonly says: string | RegExp
  /** Whether the caller was known. */
  readonly known?: boolean
}

const invalidProxy = { code: 'invalid_token' }
const chainMessage =
  'subject_token: must be the certificates of the proxy file in PEM, without its key'

/** A proxy of the service, with parameters. */
const proxyWith = (parameters: Record<string, unknown>) => async () =>
  getProxy(service(), { token: tokenOf({}), key, parameters })

// prettier-ignore
const badRows: readonly BadRow[] = [
  // the proxy
  { name: 'no PEM', changes: { subject_token: 'abc' }, says: chainMessage },
  { name: 'an access token in its place', changes: { subject_token: 'a.b.c' }, says: chainMessage },
  { name: 'something else in PEM', changes: { subject_token: toPem('CERTIFICATE REQUEST', Buffer.from('3000', 'hex')) }, says: chainMessage },
  { name: 'a certificate that cannot be read', changes: { subject_token: toPem('CERTIFICATE', Buffer.from('3000', 'hex')) }, ...invalidProxy, check: 'proxy_chain', says: 'a certificate cannot be read' },
  { name: 'the EEC alone', given: async () => ({ chain: proxy.chain.slice(proxy.chain.indexOf('-----BEGIN', 5)), key }), ...invalidProxy, check: 'proxy_chain', says: 'the certificate is not a proxy' },
  { name: 'the CA', given: async () => ({ chain: await (await fetch(`${service().url}/ca/ca.pem`)).text(), key }), ...invalidProxy, check: 'proxy_chain', says: 'the certificate is not a proxy' },
  { name: 'a proxy of another CA', given: async () => foreignProxy(), ...invalidProxy, check: 'proxy_record', says: 'the proxy was not issued by this service' },
  { name: 'a proxy without its EEC', given: async () => ({ chain: `${proxy.chain.split('-----END CERTIFICATE-----')[0]}-----END CERTIFICATE-----\n`, key }), ...invalidProxy, check: 'proxy_chain', says: /^the proxy is not valid: / },
  { name: 'too many certificates', given: async () => ({ chain: proxy.chain.repeat(20), key }), ...invalidProxy, check: 'proxy_chain', says: 'the chain is too long' },
  { name: 'a limited proxy', given: proxyWith({ proxy_type: 'limited' }), code: 'access_denied', check: 'proxy_type', known: true, says: 'only a full (impersonation) proxy gets an access token' },
  { name: 'an independent proxy', given: proxyWith({ proxy_type: 'independent' }), code: 'access_denied', check: 'proxy_type', known: true, says: 'only a full (impersonation) proxy gets an access token' },
  { name: 'a proxy that ends in a minute', given: proxyWith({ lifetime_seconds: 60 }), code: 'access_denied', check: 'proxy_life', known: true, says: 'the proxy ends in about a minute: renew it first' },
  // the proof
  { name: 'no proof', changes: { at: undefined, signature: undefined }, code: 'missing_token', check: 'possession', says: 'use the proxy of subject_token as TLS client certificate, or sign the request with its key (at, signature)' },
  { name: 'no time', changes: { at: undefined }, says: 'a signed request needs both at and signature' },
  { name: 'no signature', changes: { signature: undefined }, says: 'a signed request needs both at and signature' },
  { name: 'a time of ten minutes ago', wanted: () => ({ at: new Date(now - 600_000) }), ...invalidProxy, check: 'proof_time', says: /^at: must be the current time/ },
  { name: 'another time than signed', changes: { at: new Date().toISOString().replace('Z', '0Z') }, ...invalidProxy, check: 'proof_signature', says: "the signature of this request was not made with the proxy's key" },
  { name: 'another key', given: async () => ({ chain: proxy.chain, key: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey }), ...invalidProxy, check: 'proof_signature', says: "the signature of this request was not made with the proxy's key" },
  { name: 'another audience than signed', changes: { audience: OTHER }, ...invalidProxy, check: 'proof_signature', says: "the signature of this request was not made with the proxy's key" },
  { name: 'another scope than signed', changes: { scope: READ }, ...invalidProxy, check: 'proof_signature', says: "the signature of this request was not made with the proxy's key" },
  { name: 'a signature that is none', changes: { signature: '%%%' }, ...invalidProxy, check: 'proof_signature', says: "the signature of this request was not made with the proxy's key" },
  // what is requested
  { name: 'a proxy for a proxy', changes: { requested_token_type: PROXY_TOKEN_TYPE }, says: `requested_token_type: must be ${ACCESS_TOKEN} or ${JWT}` },
  { name: 'resource', changes: { resource: STORAGE }, error: 'invalid_target', check: 'target', says: 'resource: name the target service as audience instead' },
  { name: 'no audience', wanted: { audiences: [] }, error: 'invalid_target', check: 'target', known: true, says: 'audience is missing: name the target service' },
  { name: 'an audience that is not listed', wanted: { audiences: ['https://evil.example.org'] }, error: 'invalid_target', check: 'target', known: true, says: 'audience: no access tokens are issued for it' },
  { name: 'one listed, one not', wanted: { audiences: [STORAGE, 'https://wlcg.cern.ch/jwt/v1/any'] }, error: 'invalid_target', check: 'target', known: true, says: 'audience: no access tokens are issued for it' },
  { name: 'an audience with a line feed', wanted: { audiences: [`${STORAGE}\n`] }, error: 'invalid_target', check: 'target', known: true, says: 'audience: no access tokens are issued for it' },
  { name: 'a scope that is not listed', wanted: { scope: 'storage.modify:/cms' }, error: 'invalid_scope', check: 'scope', known: true, says: 'scope: one of the scopes is not offered' },
  { name: 'a path under a listed scope', wanted: { scope: `${READ}/user` }, error: 'invalid_scope', check: 'scope', known: true, says: 'scope: one of the scopes is not offered' },
  { name: 'a lifetime above the maximum', changes: { lifetime_seconds: '1201' }, check: 'lifetime', known: true, says: 'lifetime_seconds: must be a whole number from 60 to 1200' },
  { name: 'a lifetime below a minute', changes: { lifetime_seconds: '59' }, check: 'lifetime', known: true, says: 'lifetime_seconds: must be a whole number from 60 to 1200' },
  { name: 'a lifetime in words', changes: { lifetime_seconds: '1e3' }, check: 'lifetime', known: true, says: 'lifetime_seconds: must be a whole number from 60 to 1200' },
]

async function foreignProxy(): Promise<Pick<TestProxy, 'chain' | 'key'>> {
  const { text } = await makeCredential({ now: new Date(now) })
  const chain = readPem(text, 'test')
    .filter(({ label }) => label === 'CERTIFICATE')
    .map(({ der }) => toPem('CERTIFICATE', der))
    .join('')
  return { chain, key }
}

describe('bad input', () => {
  test.for(badRows)('$name', async (row) => {
    const given = await row.given?.()
    const wanted = typeof row.wanted === 'function' ? row.wanted() : row.wanted
    const answer = await request(wanted, row.changes, given ?? proxy)
    const { code = 'invalid_request', error = 'invalid_request', check } = row
    const body = oauthAnswer(answer)
    expect(body).toEqual({
      error,
      error_description: typeof row.says === 'string' ? row.says : expect.stringMatching(row.says),
      error_uri: `${ISSUER}/problems/${code}`,
      ...(check === undefined ? {} : { check }),
      request_id: answer.headers['x-request-id'],
    })
    expect(answer.status).toBe(400)
    const isRecorded = row.known === true || code === 'invalid_token'
    const lines = await refusalsOf(service(), String(body['request_id']))
    expect(lines.map((line) => [line.event, line.code, line.sub !== undefined])).toEqual(
      isRecorded ? [['access_token.refused', code, row.known === true]] : [],
    )
  })

  test('a request works once', async () => {
    const fields = signedFields(proxy, { audiences: [STORAGE], at: new Date(now) })
    expect((await post(fields)).status).toBe(200)
    expect(oauthAnswer(await post(fields))).toMatchObject({ check: 'proof_replayed' })
  })

  test('an ended proxy', async () => {
    const short = await getProxy(service(), {
      token: tokenOf({}),
      key,
      parameters: { lifetime_seconds: 120 },
    })
    now += 121_000
    expect(oauthAnswer(await request({}, {}, short))).toMatchObject({
      error: 'invalid_request',
      error_description: 'the proxy has expired or is not valid yet',
    })
  })

  test('a proxy whose EEC is revoked', async () => {
    const token = tokenOf({ sub: 'revoked' })
    const given = await getProxy(service(), { token, key })
    expect((await request({}, {}, given)).status).toBe(200)
    await ask(service(), `/v1/credentials/${given.credentialId}`, { method: 'DELETE', token })
    expect(oauthAnswer(await request({}, {}, given))).toMatchObject({
      error: 'invalid_request',
      error_description: 'the proxy is revoked',
      check: 'revoked',
    })
  })

  test('the private key must not be sent', async () => {
    const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
    expect(oauthAnswer(await request({}, { subject_token: `${proxy.chain}${pem}` }))).toMatchObject(
      {
        check: 'private_key',
      },
    )
  })

  test('our own tokens are not accepted here', async () => {
    const token = String(oauthAnswer(await request())['access_token'])
    const answer = await ask(service(), '/v1/proxies', { token })
    expect(answer.status).toBe(401)
    expect(await answer.json()).toMatchObject({ code: 'invalid_token', check: 'issuer' })
  })
})

describe('with another configuration', () => {
  async function started(changes: Record<string, Record<string, unknown>>): Promise<TestService> {
    const { configuration } = options
    const other = await startTestService({
      ...options,
      configuration: { ...configuration, ...changes },
    })
    onTestFinished(async () => other.stop())
    return other
  }
  const requestAt = async (other: TestService, given: TestProxy) =>
    postForm(
      other,
      new URLSearchParams(
        signedFields(given, { audiences: [STORAGE], at: new Date(now) }),
      ).toString(),
    )

  test('off: no trace of it', async () => {
    const other = await started({ access_tokens: {} })
    const given = await getProxy(other, { token: other.token(), key })
    expect(oauthAnswer(await requestAt(other, given))).toMatchObject({
      error: 'invalid_request',
      error_description: `subject_token_type: must be ${ACCESS_TOKEN} or ${JWT}`,
    })
    for (const path of ['/oauth2/jwks', '/.well-known/openid-configuration'])
      expect((await fetch(`${other.url}${path}`)).status).toBe(404)
    const metadata = await (
      await fetch(`${other.url}/.well-known/oauth-authorization-server`)
    ).json()
    expect(metadata).not.toHaveProperty('jwks_uri')
    expect(await other.running.service.store.tokenKeys.list()).toEqual([])
  })

  test('a token without groups removes those of the token before', async () => {
    const authz = { allow: [{ provider: 'any', claims: { sub: { any: true } } }] }
    const other = await started({ services: { proxy: { authz } } })
    const groupsWith = async (groups: string[] | undefined) => {
      const given = await getProxy(other, { token: other.token('alice', { groups }), key })
      now += 1000
      return decodeJwt(String(oauthAnswer(await requestAt(other, given))['access_token']))[
        'wlcg.groups'
      ]
    }
    expect(await groupsWith(['cms'])).toEqual(['/cms'])
    expect(await groupsWith(undefined)).toBeUndefined()
    expect(await groupsWith(['atlas'])).toEqual(['/atlas'])
    expect(await groupsWith([])).toBeUndefined()
    expect(await (await fetch(`${other.url}/metrics`)).text()).toContain(
      'tts_access_tokens_issued_total 4',
    )
  })

  test('a banned identity', async () => {
    const other = await started({})
    const given = await getProxy(other, { token: other.token(), key })
    expect((await requestAt(other, given)).status).toBe(200)
    const { bans } = other.running.service.store
    const audit = {
      at: new Date(now),
      event: 'ban.made',
      outcome: 'allowed',
      origin: { requestId: 'x', address: 'local', interface: 'cli' },
      issuer: undefined,
      sub: undefined,
      serviceId: undefined,
      credentialId: undefined,
      code: undefined,
      check: undefined,
      detail: undefined,
    } as const
    const target = { kind: 'group', group: 'cms', issuer: undefined } as const
    await bans.add(
      {
        id: 'ban-1',
        target,
        reason: 'test',
        createdAt: new Date(now),
        createdBy: 'test',
        liftedAt: undefined,
      },
      audit,
    )
    now += 1000
    await new Promise((resolve) => setTimeout(resolve, 1100))
    const answer = oauthAnswer(await requestAt(other, given))
    expect(answer).toMatchObject({ error: 'invalid_request', check: 'banned' })
  })

  test('a service that is disabled now issues no tokens for its proxies either', async () => {
    const other = await started({})
    const given = await getProxy(other, { token: other.token(), key })
    const { services } = other.running.service
    const proxies = services.get('proxy') as { enabled: boolean }
    Object.defineProperty(proxies, 'enabled', { value: false })
    expect(oauthAnswer(await requestAt(other, given))).toMatchObject({ check: 'enabled' })
  })

  test('rates of an identity hold', async () => {
    const limits = {
      ...(quick.configuration as { limits: object }).limits,
      credentials_per_second_per_identity: 0.01,
      burst_per_identity: 2,
    }
    const other = await started({ limits })
    const given = await getProxy(other, { token: other.token(), key })
    expect((await requestAt(other, given)).status).toBe(200)
    now += 1000
    const refused = await requestAt(other, given)
    expect(refused.status).toBe(429)
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    expect(oauthAnswer(refused)).toMatchObject({
      error: 'temporarily_unavailable',
      check: 'identity_rate',
    })
  })
})

describe('metadata and key set', () => {
  test('both well-known documents lead to the keys', async () => {
    const wanted = {
      issuer: ISSUER,
      jwks_uri: `${ISSUER}/oauth2/jwks`,
      token_endpoint: `${ISSUER}/oauth2/token`,
      tts_subject_token_types_supported: [ACCESS_TOKEN, JWT, PROXY_TOKEN_TYPE],
    }
    for (const name of ['openid-configuration', 'oauth-authorization-server'])
      expect(await (await fetch(`${service().url}/.well-known/${name}`)).json()).toMatchObject(
        wanted,
      )
  })

  test('the key set has public members only, and an entity tag', async () => {
    const answer = await fetch(`${service().url}/oauth2/jwks`)
    const { keys } = (await answer.json()) as JSONWebKeySet
    expect(keys.length).toBeGreaterThan(0)
    for (const jwk of keys)
      expect(Object.keys(jwk).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    expect(answer.headers.get('etag')).toMatch(/^"[\w-]{43}"$/)
    const posted = await fetch(`${service().url}/oauth2/jwks`, {
      method: 'POST',
      headers: bearer('x'),
    })
    expect([posted.status, posted.headers.get('allow')]).toEqual([405, 'GET, HEAD'])
  })

  test('OpenAPI and metrics name the path', async () => {
    await fetch(`${service().url}/oauth2/jwks`)
    expect(await (await fetch(`${service().url}/openapi.json`)).json()).toMatchObject({
      paths: { '/oauth2/jwks': { get: {} }, '/.well-known/openid-configuration': { get: {} } },
    })
    expect(await (await fetch(`${service().url}/metrics`)).text()).toContain('route="/oauth2/jwks"')
  })
})
