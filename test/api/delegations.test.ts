import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { AUDIENCE, startTestService, useTestService } from '../support/service.ts'
import { delegate, delegating, eventsOf, logIn, renew, show } from './delegation-support.ts'
import { ask, everythingSaid, problemOf, proxyJson, soundCsr } from './support.ts'

const service = useTestService(delegating())
const DAY_MS = 86_400_000

afterEach(() => {
  const { provider } = service()
  provider.faults.clear()
  provider.tokens.reuseRefreshToken = false
  provider.tokens.suspension = 'at_refresh'
  Object.assign(provider.user('alice'), { suspended: false, aupSigned: true, deleted: false })
})

describe('making a delegation', () => {
  test('answers id, secret and forecast, once', async () => {
    const before = Date.now()
    const response = await ask(service(), '/v1/delegations', {
      token: await logIn(service()),
      headers: { 'content-type': 'application/json' },
      body: '{"label": "cluster 7"}',
    })
    expect(response.status).toBe(201)
    expect(response.headers.get('cache-control')).toBe('no-store')
    const made = (await response.json()) as Record<string, string>
    expect(made).toMatchObject({
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      renewal_secret: expect.stringMatching(/^tts_renew_[\w-]{43}$/),
      identity: '/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test',
      label: 'cluster 7',
      state: 'active',
      advice: expect.stringContaining('before that, make a new delegation'),
    })
    const until = Date.parse(made['renews_until'] ?? '')
    expect(until - before).toBeGreaterThanOrEqual(30 * DAY_MS)
    expect(until - before).toBeLessThanOrEqual(30 * DAY_MS + Date.now() - before)
  })

  const bodies = {
    'another parameter': '{"labels": "x"}',
    'a label that is no text': '{"label": 7}',
    'a label with a line feed': '{"label": "a\\nb"}',
    'a label that is too long': `{"label": "${'x'.repeat(101)}"}`,
    'no JSON': '{',
  }
  test.for(Object.entries(bodies))('%s is refused', async ([, body]) => {
    const response = await ask(service(), '/v1/delegations', {
      headers: { 'content-type': 'application/json' },
      body,
    })
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'invalid_request' })
  })

  test('who may use no service can delegate nothing, and the provider is not asked', async () => {
    const { provider } = service()
    const token = await logIn(service(), 'bob')
    provider.faults.resetCounts()
    const response = await ask(service(), '/v1/delegations', { token })
    expect(await problemOf(response)).toMatchObject({
      status: 403,
      code: 'access_denied',
      check: 'authorisation',
    })
    expect(provider.faults.count('/token')).toBe(0)
  })

  test.for([
    ['no token', undefined, 401, 'missing_token'],
    ['a bad token', 'eyJhbGciOiJub25lIn0.e30.', 401, 'invalid_token'],
    ['a renewal secret', `tts_renew_${'a'.repeat(43)}`, 401, 'invalid_token'],
  ] as const)('%s makes none', async ([, token, status, code]) => {
    const response = await ask(service(), '/v1/delegations', { token })
    expect(await problemOf(response)).toMatchObject({ status, code })
  })

  test('a token that the provider does not know is refused by it', async () => {
    const response = await ask(service(), '/v1/delegations')
    expect(await problemOf(response)).toMatchObject({
      status: 403,
      code: 'grant_refused',
      check: 'subject_token_refused',
    })
  })

  test('a token of our own client is refused by the provider (indigo-iam/iam#392)', async () => {
    // Only a client that logs people in has such tokens; the demo's exchange makes one.
    const { provider } = service()
    const { clientId, clientSecret } = provider.clients.tts
    const answer = await fetch(`${provider.issuer}token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${clientId}:${clientSecret}`).toString('base64')}`,
      },
      body: new URLSearchParams({
        grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
        subject_token: await logIn(service()),
        subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
        scope: 'openid profile',
        audience: AUDIENCE,
      }),
    })
    const { access_token: token } = (await answer.json()) as { access_token: string }
    const response = await ask(service(), '/v1/delegations', { token })
    expect(await problemOf(response)).toMatchObject({
      status: 403,
      code: 'grant_refused',
      check: 'same_client',
    })
  })

  test.for([
    ['the AUP is not signed', { aupSigned: false }, 'aup_not_signed'],
    ['the account is suspended', { suspended: true }, 'user_disabled'],
  ] as const)('%s: 403 in words', async ([, standing, check]) => {
    const token = await logIn(service())
    // IAM itself refuses a suspended user only when the delegation is renewed.
    service().provider.tokens.suspension = 'everywhere'
    Object.assign(service().provider.user('alice'), standing)
    const response = await ask(service(), '/v1/delegations', { token })
    expect(await problemOf(response)).toMatchObject({ status: 403, code: 'grant_refused', check })
  })

  test('a provider that is down: 503, and nothing is left', async () => {
    const token = await logIn(service())
    const { store } = service().running.service
    const { active } = (await store.delegations.census(new Date())).counts
    service().provider.faults.set('/token', { kind: 'status', status: 503 })
    const response = await ask(service(), '/v1/delegations', { token })
    expect(await problemOf(response)).toMatchObject({ status: 503, code: 'provider_unavailable' })
    expect(response.headers.get('retry-after')).not.toBeNull()
    expect((await store.delegations.census(new Date())).counts.active).toBe(active)
  })
})

describe('renewing', () => {
  test('gives a proxy for the CSR, under the name of the identity, and asks the provider each time', async () => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.resetCounts()
    for (let round = 1; round <= 3; round += 1) {
      const response = await renew(service(), made)
      const pem = await response.text()
      expect(response.status, pem).toBe(200)
      expect(response.headers.get('content-type')).toMatch(/^application\/x-pem-file/)
      expect(response.headers.get('cache-control')).toBe('no-store')
      expect(response.headers.get('tts-renews-until')).toMatch(/^\d{4}-.*Z$/)
      expect(response.headers.get('tts-not-after')).toMatch(/^\d{4}-.*Z$/)
      const { certificates, privateKey } = parseProxyFile(pem)
      expect(certificates).toHaveLength(2)
      expect(privateKey).toBeUndefined()
      expect(faults.count('/token')).toBe(round)
    }
    const { last_used_at: used, advice } = await show(service(), made)
    expect(Date.parse(used ?? '')).toBeGreaterThan(Date.now() - 60_000)
    expect(advice).toContain('Every renewal extends this')
    expect(await eventsOf(service(), made)).toEqual([
      'used',
      'rotated',
      'used',
      'rotated',
      'used',
      'rotated',
      'made',
    ])
  })

  test('takes body, query and answers as POST /v1/proxies does', async () => {
    const made = await delegate(service())
    const url = `${service().url}/v1/delegations/${made.id}/proxies`
    const headers = {
      authorization: `Bearer ${made.renewal_secret}`,
      accept: 'application/json',
      'content-type': 'application/json',
    }
    const body = JSON.stringify({
      proxy_type: 'limited',
      lifetime_seconds: 7200,
      key_type: 'ec-p256',
    })
    const response = await fetch(url, { method: 'POST', headers, body })
    const answer = (await response.json()) as Record<string, string>
    expect(response.status).toBe(200)
    expect(answer).toMatchObject({ service: 'proxy', identity: made.identity })
    expect(parseProxyFile(answer['pem'] ?? '').privateKey).toBeDefined()
    expect(Date.parse(answer['not_after'] ?? '')).toBeLessThanOrEqual(Date.now() + 7_200_000)
    const credential = await service().running.service.store.findCredential(answer['id'] ?? '')
    expect(credential).toMatchObject({
      delegationId: made.id,
      clientId: 'tts',
      origin: { interface: 'delegation' },
    })
    for (const [query, code] of [
      ['?lifetime_seconds=99999999', 'invalid_request'],
      ['?service=x509', 'invalid_request'],
      ['?service=nothing', 'not_found'],
      ['?colour=red', 'invalid_request'],
    ] as const) {
      const refusal = await renew(service(), made, query)
      expect(await problemOf(refusal), query).toMatchObject({ code })
    }
  })

  test('the wrong secret and the wrong id are told alike, and neither asks the provider', async () => {
    const [made, other] = [await delegate(service()), await delegate(service())]
    const { faults } = service().provider
    faults.resetCounts()
    const secret = `tts_renew_${'A'.repeat(43)}`
    const problems = []
    for (const wrong of [
      { id: made.id, renewal_secret: secret },
      { id: made.id, renewal_secret: other.renewal_secret },
      { id: made.id, renewal_secret: service().token() },
      { id: '0f8fad5b-d9cb-469f-a165-70867728950e', renewal_secret: made.renewal_secret },
      { id: 'not-an-id', renewal_secret: made.renewal_secret },
    ]) {
      const response = await renew(service(), wrong)
      expect(response.headers.get('www-authenticate')).toMatch(/error="invalid_token"/)
      const { request_id: _, ...problem } = await problemOf(response)
      problems.push(problem)
    }
    expect(problems[0]).toMatchObject({
      status: 401,
      code: 'invalid_token',
      check: 'renewal_secret',
    })
    for (const problem of problems) expect(problem).toEqual(problems[0])
    expect(faults.count('/token')).toBe(0)
    expect(await eventsOf(service(), made)).toEqual(['refused', 'refused', 'refused', 'made'])
    const none = await ask(service(), `/v1/delegations/${made.id}/proxies`, { token: undefined })
    expect(await problemOf(none)).toMatchObject({ status: 401, code: 'missing_token' })
  })

  test('a suspended account gets no proxy; when it is restored, renewal continues', async () => {
    const made = await delegate(service())
    const alice = service().provider.user('alice')
    alice.suspended = true
    for (let attempt = 0; attempt < 2; attempt += 1)
      expect(await problemOf(await renew(service(), made))).toMatchObject({
        status: 403,
        code: 'grant_refused',
        check: 'user_disabled',
      })
    expect(await show(service(), made)).toMatchObject({ state: 'active' })
    alice.suspended = false
    expect((await renew(service(), made)).status).toBe(200)
    expect(await eventsOf(service(), made)).toEqual([
      'used',
      'rotated',
      'refused',
      'refused',
      'made',
    ])
  })

  test('a deleted account gets no proxy: 410, and renewal is over for good', async () => {
    const made = await delegate(service())
    const alice = service().provider.user('alice')
    alice.deleted = true
    const refused = await problemOf(await renew(service(), made))
    expect(refused).toMatchObject({
      status: 410,
      code: 'delegation_ended',
      check: 'refresh_token_dead',
      detail: expect.stringContaining('renewal is over'),
    })
    alice.deleted = false
    const { faults } = service().provider
    faults.resetCounts()
    expect(await problemOf(await renew(service(), made))).toMatchObject({ status: 410 })
    expect(faults.count('/token')).toBe(0)
    const {
      state,
      end_reason: reason,
      ended_at: endedAt,
      renews_until: until,
      advice,
    } = await show(service(), made)
    expect({ state, until }).toEqual({ state: 'ended', until: null })
    expect(reason).toContain('renewal is over')
    expect(endedAt).not.toBeNull()
    expect(advice).toContain('make a new delegation')
    expect(await eventsOf(service(), made)).toEqual(['refused', 'refused', 'ended', 'made'])
    const lines = await service().running.service.store.listAudit({ limit: 10 })
    expect(lines.map(({ event }) => event)).toContain('delegation.ended')
  })

  test('who asks in a loop after the end does not fill the ledger', async () => {
    const made = await delegate(service())
    await ask(service(), `/v1/delegations/${made.id}`, {
      method: 'DELETE',
      token: made.renewal_secret,
    })
    for (let round = 0; round < 40; round += 1)
      expect((await renew(service(), made)).status).toBe(410)
    const refusals = (await eventsOf(service(), made)).filter((event) => event === 'refused')
    expect(refusals.length).toBeGreaterThanOrEqual(30)
    expect(refusals.length).toBeLessThan(33)
  })

  test('an AUP that must be signed again: 403, and it goes on once that is done', async () => {
    const made = await delegate(service())
    const alice = service().provider.user('alice')
    alice.aupSigned = false
    expect(await problemOf(await renew(service(), made))).toMatchObject({
      status: 403,
      code: 'grant_refused',
      check: 'aup_not_signed',
    })
    alice.aupSigned = true
    expect((await renew(service(), made)).status).toBe(200)
  })

  test.for([
    ['answers 503', { kind: 'status', status: 503 }],
    ['cuts the connection', { kind: 'reset' }],
    ['answers nonsense', { kind: 'malformed' }],
  ] as const)('a provider that %s: 503, and the delegation lives', async ([, fault]) => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.set('/token', fault)
    const response = await renew(service(), made)
    expect(await problemOf(response)).toMatchObject({ status: 503, code: 'provider_unavailable' })
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    faults.clear()
    expect((await renew(service(), made)).status).toBe(200)
    expect(await eventsOf(service(), made)).toEqual(['used', 'rotated', 'refused', 'made'])
  })

  test('a reply that is lost with the rotated token in it: said so, and over', async () => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.set('/token', { kind: 'lost-reply' })
    expect(await problemOf(await renew(service(), made))).toMatchObject({ status: 503 })
    faults.clear()
    expect(await problemOf(await renew(service(), made))).toMatchObject({
      status: 410,
      code: 'delegation_ended',
      detail: expect.stringContaining('answer of the provider was lost'),
    })
  })

  test('a reply that is lost without rotation: it goes on', async () => {
    service().provider.tokens.reuseRefreshToken = true
    const made = await delegate(service())
    const { faults } = service().provider
    faults.set('/token', { kind: 'lost-reply' })
    expect((await renew(service(), made)).status).toBe(503)
    faults.clear()
    expect((await renew(service(), made)).status).toBe(200)
    const { advice } = await show(service(), made)
    expect(advice).toContain("when the provider's refresh token ends")
  })

  test('many at once share one refresh, and all get their proxy', async () => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.resetCounts()
    faults.set('/token', { kind: 'slow', delayMs: 150 })
    const responses = await Promise.all(Array.from({ length: 12 }, () => renew(service(), made)))
    expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 12 }, () => 200))
    expect(faults.count('/token')).toBe(1)
    const credentials = new Set(responses.map(({ headers }) => headers.get('tts-credential-id')))
    expect(credentials.size).toBe(12)
  })

  test('a caller that goes away leaves a refresh that is finished and stored', async () => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.resetCounts()
    faults.set('/token', { kind: 'slow', delayMs: 200 })
    const gone = new AbortController()
    const request = fetch(`${service().url}/v1/delegations/${made.id}/proxies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${made.renewal_secret}` },
      body: await soundCsr(),
      signal: gone.signal,
    })
    await expect.poll(() => faults.count('/token')).toBeGreaterThan(0)
    gone.abort()
    await expect(request).rejects.toThrow()
    await expect
      .poll(() => eventsOf(service(), made), { timeout: 5000 })
      .toEqual(expect.arrayContaining(['rotated']))
    faults.clear()
    expect((await renew(service(), made)).status).toBe(200)
  })

  test('too often in a row: 429, and the provider is spared', async () => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.resetCounts()
    // The burst; on a slow machine a few more, because one is allowed again every two seconds.
    let renewed = 0
    let last = await renew(service(), made)
    for (; last.status === 200 && renewed < 300; renewed += 1) last = await renew(service(), made)
    expect(renewed).toBeGreaterThanOrEqual(60)
    expect(await problemOf(last)).toMatchObject({
      status: 429,
      code: 'limit_reached',
      check: 'delegation_rate',
    })
    expect(faults.count('/token')).toBe(renewed)
  })

  test('a token for another identity issues nothing', async () => {
    const made = await delegate(service())
    const { provider } = service()
    const { store } = service().running.service
    const before = await store.listCredentials({ limit: 1000 })
    const other = provider.mint({
      claims: { sub: 'somebody-else', groups: ['cms'], aud: AUDIENCE },
    })
    provider.faults.set('/token', {
      kind: 'body',
      body: { access_token: other, token_type: 'Bearer', refresh_token: 'next', expires_in: 3600 },
    })
    expect(await problemOf(await renew(service(), made))).toMatchObject({
      status: 403,
      code: 'access_denied',
      check: 'delegation_identity',
    })
    expect(await store.listCredentials({ limit: 1000 })).toEqual(before)
  })

  test('who loses what the rules ask for is refused, and may come back', async () => {
    const made = await delegate(service())
    const { tokens } = service().provider
    tokens.includeAuthnInfo = false
    expect(await problemOf(await renew(service(), made))).toMatchObject({
      status: 403,
      code: 'access_denied',
      check: 'authorisation',
    })
    tokens.includeAuthnInfo = true
    expect((await renew(service(), made)).status).toBe(200)
  })
})

describe('seeing and taking back', () => {
  test("one sees one's own by token, the one by secret, nobody else's", async () => {
    const made = await delegate(service(), { label: 'mine' })
    const own = await ask(service(), '/v1/delegations', { method: 'GET' })
    const { delegations } = (await own.json()) as { delegations: { id: string }[] }
    expect(delegations[0]).toMatchObject({ id: made.id, label: 'mine', state: 'active' })
    const byToken = await ask(service(), `/v1/delegations/${made.id}`, { method: 'GET' })
    expect(await byToken.json()).toEqual(await show(service(), made))

    const stranger = service().token('bob', { groups: ['cms'] })
    await proxyJson(service(), { token: stranger })
    const theirs = await ask(service(), '/v1/delegations', { method: 'GET', token: stranger })
    expect(await theirs.json()).toEqual({ delegations: [], next: null })
    for (const method of ['GET', 'DELETE']) {
      const response = await ask(service(), `/v1/delegations/${made.id}`, {
        method,
        token: stranger,
      })
      expect(await problemOf(response)).toMatchObject({
        status: 404,
        code: 'not_found',
        check: 'delegation',
      })
    }
    const second = await delegate(service())
    const wrong = { ...made, renewal_secret: second.renewal_secret }
    for (const method of ['GET', 'DELETE']) {
      const response = await ask(service(), `/v1/delegations/${made.id}`, {
        method,
        token: wrong.renewal_secret,
      })
      expect(await problemOf(response)).toMatchObject({ status: 401, check: 'renewal_secret' })
    }
    expect((await renew(service(), made)).status).toBe(200)
  })

  test.for(['token', 'secret'] as const)(
    'a %s takes it back, here and at the provider',
    async (by) => {
      const made = await delegate(service())
      const { faults } = service().provider
      faults.resetCounts()
      const token = by === 'token' ? service().token() : made.renewal_secret
      const options = { method: 'DELETE', token }
      const response = await ask(service(), `/v1/delegations/${made.id}`, options)
      expect(response.status).toBe(200)
      expect(await response.json()).toMatchObject({
        id: made.id,
        state: 'revoked',
        newly_revoked: true,
        provider_told: true,
      })
      expect(faults.count('/revoke')).toBe(1)
      expect(await problemOf(await renew(service(), made))).toMatchObject({
        status: 410,
        code: 'delegation_ended',
        check: 'revoked',
      })
      expect(faults.count('/token')).toBe(0)
      const again = await ask(service(), `/v1/delegations/${made.id}`, options)
      expect(await again.json()).toMatchObject({ state: 'revoked', newly_revoked: false })
    },
  )

  test('taken back while it is being renewed: no proxy, and the new token goes back too', async () => {
    const made = await delegate(service())
    const { faults } = service().provider
    faults.resetCounts()
    faults.set('/token', { kind: 'slow', delayMs: 250 })
    const renewal = renew(service(), made)
    await expect.poll(() => faults.count('/token')).toBe(1)
    const options = { method: 'DELETE', token: made.renewal_secret }
    expect((await ask(service(), `/v1/delegations/${made.id}`, options)).status).toBe(200)
    expect(await problemOf(await renewal)).toMatchObject({ status: 410, check: 'revoked' })
    expect(await eventsOf(service(), made)).not.toContain('used')
  })

  test('with the provider down it is taken back all the same, and that is said', async () => {
    const made = await delegate(service())
    service().provider.faults.set('/revoke', { kind: 'status', status: 503 })
    const options = { method: 'DELETE', token: made.renewal_secret }
    const response = await ask(service(), `/v1/delegations/${made.id}`, options)
    expect(await response.json()).toMatchObject({ newly_revoked: true, provider_told: false })
  })
})

test('metrics tell how many there are and when the first one ends', async () => {
  await delegate(service())
  const text = await (await fetch(`${service().url}/metrics`)).text()
  expect(text).toMatch(/^tts_delegations\{state="active"\} [1-9]\d*$/m)
  expect(text).toMatch(/^tts_delegations\{state="revoked"\} \d+$/m)
  const [, seconds] = /^tts_delegation_first_end_timestamp_seconds (\S+)$/m.exec(text) ?? []
  const days = (Number(seconds) - Date.now() / 1000) / 86_400
  expect(days).toBeGreaterThan(29)
  expect(days).toBeLessThan(31)
  expect(text).toMatch(/^tts_delegations_ending\{within="7d"\} 0$/m)
})

test('no secret is in logs, audit trail, ledgers or the database', async () => {
  const made = await delegate(service())
  await renew(service(), made)
  await renew(service(), { ...made, renewal_secret: `${made.renewal_secret}x` })
  const said = await everythingSaid(service())
  const ledger = JSON.stringify((await show(service(), made)).events)
  const data = join(service().directory, 'data')
  const files = readdirSync(data).filter((name) => name.startsWith('tts.db'))
  const database = files.map((name) => readFileSync(join(data, name), 'latin1')).join('')
  expect(database).toContain(made.id)
  for (const secret of [made.renewal_secret, service().provider.clients.tts.clientSecret])
    for (const place of [said, ledger, database]) expect(place).not.toContain(secret)
})

describe('what the operator sets', () => {
  test('a provider without the section makes none: 404, so that callers know', async () => {
    const other = await startTestService(delegating({ provider: { delegation: undefined } }))
    try {
      const response = await ask(other, '/v1/delegations', { token: await logIn(other) })
      expect(await problemOf(response)).toMatchObject({
        status: 404,
        code: 'not_found',
        check: 'delegations',
      })
    } finally {
      await other.stop()
    }
  })

  test('scopes that give no usable token are found at the start, and nothing is left', async () => {
    const other = await startTestService(
      delegating({ delegation: { scopes: ['openid', 'offline_access'], audience: 'elsewhere' } }),
    )
    try {
      other.provider.faults.resetCounts()
      const response = await ask(other, '/v1/delegations', { token: await logIn(other) })
      expect(await problemOf(response)).toMatchObject({
        status: 403,
        code: 'grant_refused',
        check: 'exchanged_token',
      })
      expect(other.provider.faults.count('/revoke')).toBe(1)
    } finally {
      await other.stop()
    }
  })

  test('bounds: how many, how long, how many wrong secrets', async () => {
    let now = Date.now()
    const other = await startTestService({
      ...delegating({ delegations: { maximum_per_identity: 2, maximum_days: 0.5 } }),
      now: () => new Date(now),
    })
    try {
      const [made] = [await delegate(other), await delegate(other)]
      expect(made.advice).toContain('the longest that this service allows')
      const third = await ask(other, '/v1/delegations', { token: await logIn(other) })
      expect(await problemOf(third)).toMatchObject({
        status: 409,
        code: 'conflict',
        check: 'delegations_per_identity',
      })
      now += DAY_MS / 4
      // By this clock the provider's token has ended: no 401, since the secret is right.
      expect(await problemOf(await renew(other, made))).toMatchObject({
        status: 403,
        code: 'grant_refused',
        check: 'exchanged_token',
      })
      other.provider.tokens.lifetimeSeconds = 86_400
      expect((await renew(other, made)).status).toBe(200)
      now += DAY_MS / 4 + 1000
      other.provider.faults.resetCounts()
      expect(await problemOf(await renew(other, made))).toMatchObject({
        status: 410,
        code: 'delegation_ended',
        check: 'maximum_days',
      })
      expect(other.provider.faults.count('/token')).toBe(0)
      expect(await eventsOf(other, made)).toContain('ended')

      const wrong = { ...made, renewal_secret: `tts_renew_${'B'.repeat(43)}` }
      const statuses = []
      for (let round = 0; round < 25; round += 1) statuses.push((await renew(other, wrong)).status)
      expect(statuses.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 401))
      expect(statuses.at(-1)).toBe(429)
      // Who has the right one is not kept out by who has not.
      expect((await renew(other, made)).status).toBe(410)
    } finally {
      await other.stop()
    }
  })
})
