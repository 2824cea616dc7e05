import { execFileSync } from 'node:child_process'
import { createHash, type KeyObject, randomUUID, sign } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { certificateFacts } from '../../ca/certificate-facts.ts'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { toPem } from '../../ca/pem.ts'
import { formatProxyFile, parseProxyFile } from '../../ca/proxy-file.ts'
import type { Service } from '../../src/domain/issuing/service.ts'
import { makeCredential } from '../support/authority.ts'
import { startTestService, type TestService, useTestService } from '../support/service.ts'
import { delegate, delegating, renew } from './delegation-support.ts'
import { auditLine } from '../store/support.ts'
import { ask, bearer, derOf, problemOf, quick } from './support.ts'

const DAY_MS = 86_400_000
const directory = mkdtempSync(join(tmpdir(), 'tts-successor-'))
const path = (name: string): string => join(directory, name)
let service: TestService
let now = Date.now()
let key: KeyObject
let csr = ''

beforeAll(async () => {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2']
  const files = ['-keyout', path('tls.key'), '-out', path('tls.pem')]
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, ...files], { stdio: 'pipe' })
  const possession = { renewal_by_possession: { enabled: true, maximum_days: 3 } }
  const listen = { port: 0, tls_certificate_file: path('tls.pem'), tls_key_file: path('tls.key') }
  const options = delegating({ delegations: possession, more: { listen } })
  // Its own certificate is made this minute: node's fetch, which waits for readiness, does not know it.
  service = await startTestService({ ...options, now: () => new Date(now), awaitReady: false })
  service.provider.tokens.lifetimeSeconds = 10 * 86_400
  key = await generatePrivateKey('ec-p256')
  csr = await createCsr([], createSigner(key))
})
afterAll(async () => {
  await service.stop()
  rmSync(directory, { recursive: true, force: true })
})

interface Answer {
  readonly status: number
  readonly text: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
}

/** One HTTPS request, with a client certificate or without. */
async function post(
  where: string,
  options: {
    readonly cert?: string
    readonly key?: KeyObject
    readonly headers?: Record<string, string>
    readonly body?: unknown
    readonly agent?: Agent
    readonly method?: string
  } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const { cert, key: clientKey, body } = options
    const sent = httpsRequest(`${service.url}${where}`, {
      method: options.method ?? 'POST',
      ca: readFileSync(path('tls.pem')),
      agent: options.agent ?? new Agent(),
      headers: { 'content-type': 'application/json', ...options.headers },
      ...(cert === undefined ? {} : { cert }),
      ...(clientKey === undefined
        ? {}
        : { key: clientKey.export({ type: 'pkcs8', format: 'pem' }).toString() }),
    })
    sent.once('error', reject)
    sent.once('response', (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.once('error', reject)
      response.once('end', () =>
        resolve({ status: response.statusCode ?? 0, text, headers: response.headers }),
      )
    })
    sent.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

interface Proxy {
  readonly id: string
  /** The certificates as PEM. */
  readonly chain: string
  readonly text: string
}

/** A first proxy for our CSR, with a token. */
async function firstProxy(wanted: Record<string, unknown> = {}, sub = 'carol'): Promise<Proxy> {
  const token = service.token('alice', { sub, exp: Math.floor(now / 1000) + 3600 })
  const answer = await post('/v1/proxies', { headers: bearer(token), body: { csr, ...wanted } })
  expect(answer.status, answer.text).toBe(200)
  return proxyOf(answer)
}

function proxyOf(answer: Answer): Proxy {
  return {
    id: String(answer.headers['tts-credential-id']),
    chain: answer.text,
    text: answer.text,
  }
}

const succeed = (proxy: Pick<Proxy, 'chain'>, body: Record<string, unknown> = {}) =>
  post('/v1/proxies/successor', { cert: proxy.chain, key, body: { csr, ...body } })

function signed(proxy: Pick<Proxy, 'chain'>, changes: Record<string, unknown> = {}) {
  const at = new Date(now).toISOString()
  const digest = createHash('sha256').update(derOf(csr)).digest('hex')
  const signature = sign('sha256', Buffer.from(`tts successor v1\n${at}\n${digest}`), key)
  return { csr, proxy: proxy.chain, at, signature: signature.toString('base64'), ...changes }
}

const problem = (answer: Answer) => JSON.parse(answer.text) as Record<string, unknown>

describe('by TLS client certificate', () => {
  test('the holder of a proxy has its successor, of the same name, on record', async () => {
    const first = await firstProxy()
    const answer = await succeed(first)
    expect(answer.status, answer.text).toBe(200)
    const [successor, endEntity] = parseProxyFile(answer.text).certificates
    expect(endEntity).toBeDefined()
    expect(parseProxyFile(first.text).certificates[1]?.subject).toEqual(endEntity?.subject)
    expect(successor?.serial).not.toBe(parseProxyFile(first.text).certificates[0]?.serial)
    const { store } = service.running.service
    const origin = await store.findCredential(first.id)
    const credential = await store.findCredential(proxyOf(answer).id)
    expect(credential).toMatchObject({
      renewedFrom: first.id,
      firstIssuedAt: origin?.issuedAt,
      clientId: origin?.clientId,
      serviceId: 'proxy',
      origin: { interface: 'possession' },
    })
    const [line] = await store.listAudit({ limit: 1 })
    expect(line).toMatchObject({ event: 'credential.issued', sub: 'carol', serviceId: 'proxy' })
  })

  test('a whole proxy file works as well: the service makes the key', async () => {
    const first = await firstProxy()
    const body = { key_type: 'ec-p256' }
    const answer = await post('/v1/proxies/successor', { cert: first.chain, key, body })
    expect(answer.status, answer.text).toBe(200)
    expect(parseProxyFile(answer.text).privateKey).toBeDefined()
  })

  test('on a resumed connection the chain may stand in the body', async () => {
    const first = await firstProxy()
    const agent = new Agent({ keepAlive: false, maxCachedSessions: 10 })
    const once = () =>
      post('/v1/proxies/successor', {
        cert: first.chain,
        key,
        agent,
        body: { csr, proxy: first.chain },
      })
    for (let round = 0; round < 3; round += 1) {
      const answer = await once()
      expect(answer.status, answer.text).toBe(200)
    }
  })

  test('no certificate, no token: said what to show', async () => {
    const answer = await post('/v1/proxies/successor', { body: { csr } })
    expect(problem(answer)).toMatchObject({ status: 401, code: 'missing_token' })
  })

  test('clients without a certificate are served as before', async () => {
    const answer = await post('/healthz', { method: 'GET' })
    expect(answer.status).toBe(200)
  })

  test('a proxy made below one of ours is not one of ours', async () => {
    const { authority } = service.running.service
    const made = await makeCredential({ now: new Date(now), authority })
    const chain = formatProxyFile(made.proxy.der, undefined, [made.endEntity.der])
    const answer = await post('/v1/proxies/successor', {
      cert: chain,
      key: made.proxyKey,
      body: { csr },
    })
    expect(problem(answer)).toMatchObject({
      status: 401,
      code: 'invalid_token',
      check: 'proxy_record',
    })
  })

  test('a proxy with the serial number of one of ours is not that one', async () => {
    const { authority, store } = service.running.service
    const made = await makeCredential({ now: new Date(now), authority })
    const first = await store.findCredential((await firstProxy()).id)
    const [certificate] = first!.certificates
    const { serial } = made.proxy
    const same = { ...certificate!, serial, fingerprint: 'f'.repeat(64) }
    await store.recordCredential(
      { ...first!, id: randomUUID(), identityId: first!.identity.id, certificates: [same] },
      auditLine(),
    )
    const chain = formatProxyFile(made.proxy.der, undefined, [made.endEntity.der])
    const shown = { cert: chain, key: made.proxyKey, body: { csr } }
    expect(problem(await post('/v1/proxies/successor', shown))).toMatchObject({
      status: 401,
      check: 'proxy_record',
    })
  })

  test("another CA's proxy, and our EEC, are refused", async () => {
    const foreign = await makeCredential({ now: new Date(now) })
    const chain = formatProxyFile(foreign.proxy.der, undefined, [foreign.endEntity.der])
    const answer = await post('/v1/proxies/successor', {
      cert: chain,
      key: foreign.proxyKey,
      body: { csr },
    })
    expect(problem(answer)).toMatchObject({ status: 401, check: 'proxy_record' })
    const token = service.token('alice', { sub: 'carol', exp: Math.floor(now / 1000) + 3600 })
    const own = await post('/v1/certificates', { headers: bearer(token), body: { csr } })
    expect(own.status, own.text).toBe(200)
    expect(problem(await succeed({ chain: own.text }))).toMatchObject({
      status: 401,
      check: 'proxy_chain',
    })
  })

  test('a revoked proxy gets none', async () => {
    const first = await firstProxy({}, 'dave')
    expect((await succeed(first)).status).toBe(200)
    const token = service.token('alice', { sub: 'dave', exp: Math.floor(now / 1000) + 3600 })
    const revoked = await post(`/v1/credentials/${first.id}`, {
      method: 'DELETE',
      headers: bearer(token),
    })
    expect(revoked.status, revoked.text).toBe(200)
    expect(problem(await succeed(first))).toMatchObject({ status: 401, check: 'revoked' })
  })
})

describe('what a successor may be', () => {
  test.for([
    ['limited stays limited when nothing is asked', { proxy_type: 'limited' }, {}, 'limited'],
    ['limited asked as limited', { proxy_type: 'limited' }, { proxy_type: 'limited' }, 'limited'],
    ['impersonation may become limited', {}, { proxy_type: 'limited' }, 'limited'],
    ['independent stays so', { proxy_type: 'independent' }, {}, 'independent'],
  ] as const)('%s', async ([, first, asked, type]) => {
    const answer = await succeed(await firstProxy(first), asked)
    expect(answer.status, answer.text).toBe(200)
    const [proxy] = parseProxyFile(answer.text).certificates
    expect(certificateFacts(proxy!).proxyCertInfo?.type).toBe(type)
  })

  test.for([
    ['limited to full', { proxy_type: 'limited' }, { proxy_type: 'impersonation' }, 'proxy_type'],
    [
      'limited to independent',
      { proxy_type: 'limited' },
      { proxy_type: 'independent' },
      'proxy_type',
    ],
    [
      'independent to full',
      { proxy_type: 'independent' },
      { proxy_type: 'impersonation' },
      'proxy_type',
    ],
    ['a longer path', { path_length: 1 }, { path_length: 2 }, 'path_length'],
  ] as const)('no more rights: %s', async ([, first, asked, check]) => {
    const answer = await succeed(await firstProxy(first), asked)
    expect(problem(answer)).toMatchObject({ status: 403, code: 'access_denied', check })
  })

  test('the path length stays when nothing is asked, and may shrink', async () => {
    const first = await firstProxy({ path_length: 3 })
    for (const [asked, length] of [
      [{}, 3],
      [{ path_length: 1 }, 1],
    ] as const) {
      const [proxy] = parseProxyFile((await succeed(first, asked)).text).certificates
      expect(certificateFacts(proxy!).proxyCertInfo?.pathLength).toBe(length)
    }
  })

  test('an own service cannot be named, and the bounds of the service hold', async () => {
    const first = await firstProxy()
    expect(problem(await succeed(first, { service: 'x509' }))).toMatchObject({ status: 400 })
    const answer = await succeed(first, { lifetime_seconds: 60 })
    expect(answer.status).toBe(200)
  })

  test('a service that was switched off gives none', async () => {
    const first = await firstProxy()
    const { issuing } = service.running.service
    const services = issuing.services as Map<string, Service>
    const on = services.get('proxy')
    services.set('proxy', { ...on!, enabled: false })
    try {
      expect(problem(await succeed(first))).toMatchObject({ status: 403, check: 'enabled' })
    } finally {
      services.set('proxy', on!)
    }
  })

  test('a chain of successors ends at the bound, counted from the token', async () => {
    const start = now
    try {
      let proxy = await firstProxy({ lifetime_seconds: 86_400 })
      for (const day of [0.9, 1.7, 2.4]) {
        now = start + day * DAY_MS
        const answer = await succeed(proxy, { lifetime_seconds: 86_400 })
        expect(answer.status, answer.text).toBe(200)
        proxy = proxyOf(answer)
      }
      const [last] = parseProxyFile(proxy.text).certificates
      const end = last!.validity.notAfter.getTime()
      // Times in certificates are whole seconds.
      expect(Math.abs(end - (start + 3 * DAY_MS))).toBeLessThan(1000)
      now = start + 3 * DAY_MS - 30_000
      expect(problem(await succeed(proxy))).toMatchObject({
        status: 403,
        check: 'possession_life',
      })
      now = start + 3 * DAY_MS + 30_000
      expect(problem(await succeed(proxy))).toMatchObject({ status: 401, check: 'proxy_chain' })
    } finally {
      now = start
    }
  })
})

describe('by a signed request', () => {
  test('works without any client certificate, once', async () => {
    const body = signed(await firstProxy())
    const answer = await post('/v1/proxies/successor', { body })
    expect(answer.status, answer.text).toBe(200)
    const again = await post('/v1/proxies/successor', { body })
    expect(problem(again)).toMatchObject({
      status: 401,
      code: 'invalid_token',
      check: 'proof_replayed',
    })
  })

  test('an ECDSA signature written the other way is the same proof', async () => {
    const body = signed(await firstProxy())
    expect((await post('/v1/proxies/successor', { body })).status).toBe(200)
    const other = { ...body, signature: malleated(Buffer.from(body.signature, 'base64')) }
    expect(problem(await post('/v1/proxies/successor', { body: other }))).toMatchObject({
      check: 'proof_replayed',
    })
  })

  const minutes = (count: number) => new Date(now + count * 60_000).toISOString()
  test.for([
    ['six minutes ago', () => ({ at: minutes(-6) }), 'proof_time'],
    ['in six minutes', () => ({ at: minutes(6) }), 'proof_time'],
    ['no time at all', () => ({ at: 'now' }), 'proof_time'],
    ['another time than was signed', () => ({ at: minutes(1) }), 'proof_signature'],
    ['no signature', () => ({ signature: '' }), 'proof_signature'],
    ['a signature of nothing', () => ({ signature: 'AAAA' }), 'proof_signature'],
  ] as const)('%s is refused', async ([, changes, check]) => {
    const body = signed(await firstProxy(), changes())
    const answer = await post('/v1/proxies/successor', { body })
    expect(problem(answer)).toMatchObject({ status: 401, code: 'invalid_token', check })
  })

  test("another key's signature, and another CSR, are refused", async () => {
    const proxy = await firstProxy()
    const other = await generatePrivateKey('ec-p256')
    const forged = sign('sha256', Buffer.from('anything'), other).toString('base64')
    const csrOfOther = await createCsr([], createSigner(other))
    for (const changes of [{ signature: forged }, { csr: csrOfOther }]) {
      const answer = await post('/v1/proxies/successor', { body: signed(proxy, changes) })
      expect(problem(answer)).toMatchObject({ status: 401, check: 'proof_signature' })
    }
  })

  test.for([
    [
      'a key in the chain',
      (proxy: Proxy) => ({
        proxy: `${proxy.chain}${toPem('PRIVATE KEY', Buffer.from('300100', 'hex'))}`,
      }),
      'invalid_request',
    ],
    ['no chain', () => ({ proxy: '' }), 'invalid_token'],
    ['a chain that is no text', () => ({ proxy: 7 }), 'invalid_request'],
    ['no CSR', () => ({ csr: undefined }), 'invalid_request'],
    ['rubbish for a CSR', () => ({ csr: 'rubbish' }), 'invalid_csr'],
    ['no time', () => ({ at: undefined }), 'invalid_request'],
    ['30 certificates', (proxy: Proxy) => ({ proxy: proxy.chain.repeat(15) }), 'invalid_token'],
  ] as const)('%s: %s', async ([, changes, code]) => {
    const proxy = await firstProxy()
    const answer = await post('/v1/proxies/successor', { body: signed(proxy, changes(proxy)) })
    expect(problem(answer)['code'], answer.text).toBe(code)
    expect(answer.text).not.toContain('PRIVATE')
  })

  /** s becomes n - s: as valid as before. */
  function malleated(der: Buffer): string {
    const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
    const rLength = der[3] ?? 0
    const r = der.subarray(4, 4 + rLength)
    const s = BigInt(`0x${der.subarray(6 + rLength).toString('hex')}`)
    let hex = (order - s).toString(16)
    if (hex.length % 2 === 1) hex = `0${hex}`
    if (Number.parseInt(hex.slice(0, 2), 16) > 127) hex = `00${hex}`
    const flipped = Buffer.from(hex, 'hex')
    const body = Buffer.concat([
      Buffer.from([2, rLength]),
      r,
      Buffer.from([2, flipped.length]),
      flipped,
    ])
    return Buffer.concat([Buffer.from([0x30, body.length]), body]).toString('base64')
  }
})

describe('switched off, as it is by default', () => {
  const plain = useTestService(quick)
  test('there is none', async () => {
    const response = await ask(plain(), '/v1/proxies/successor', { token: undefined })
    expect(await problemOf(response)).toMatchObject({
      status: 404,
      code: 'not_found',
      check: 'renewal_by_possession',
    })
  })
})

describe('with a delegation', () => {
  const delegated = useTestService(
    delegating({ delegations: { renewal_by_possession: { enabled: true } } }),
  )
  test('a proxy that a delegation brought has successors until that is taken back', async () => {
    const made = await delegate(delegated())
    const ourKey = key
    const response = await fetch(`${delegated().url}/v1/delegations/${made.id}/proxies`, {
      method: 'POST',
      headers: { ...bearer(made.renewal_secret), 'content-type': 'application/pkcs10' },
      body: csr,
    })
    expect(response.status).toBe(200)
    const chain = await response.text()
    const successorOf = async (at: Date) => {
      const time = at.toISOString()
      const digest = createHash('sha256').update(derOf(csr)).digest('hex')
      const signature = sign('sha256', Buffer.from(`tts successor v1\n${time}\n${digest}`), ourKey)
      return ask(delegated(), '/v1/proxies/successor', {
        token: undefined,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          csr,
          proxy: chain,
          at: time,
          signature: signature.toString('base64'),
        }),
      })
    }
    const successor = await successorOf(new Date())
    expect(successor.status).toBe(200)
    const id = successor.headers.get('tts-credential-id') ?? ''
    const credential = await delegated().running.service.store.findCredential(id)
    expect(credential?.delegationId).toBe(made.id)
    await ask(delegated(), `/v1/delegations/${made.id}`, {
      method: 'DELETE',
      token: made.renewal_secret,
    })
    expect(await problemOf(await successorOf(new Date(Date.now() + 1000)))).toMatchObject({
      status: 403,
      check: 'delegation',
    })
    expect((await renew(delegated(), made)).status).toBe(410)
  })
})
