import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { verifyCrl } from '../../ca/chain-revocation.ts'
import { readCrl, revocationReasons } from '../../ca/crl.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { opensslRefusal } from '../support/openssl.ts'
import { AUDIENCE, useTestService } from '../support/service.ts'
import { ask, problemOf, proxyJson, quick, rawRequest, soundCsr } from './support.ts'

const service = useTestService(quick)
const credentialNotFound = {
  status: 404,
  code: 'not_found',
  check: 'credential',
  detail: 'no credential has this id',
}

/** A token of a user of one's own, so that tests do not meet. */
function tokenOf(sub: string): string {
  return service().provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })
}

interface Shown {
  readonly id: string
  readonly subject: string
  readonly revoked_at: string | null
  readonly revocation_reason: string | null
  readonly end_entity_serial: string
  readonly certificates: readonly { serial: string; kind: string; fingerprint_sha256: string }[]
}

async function list(token: string, query = ''): Promise<readonly Shown[]> {
  const response = await ask(service(), `/v1/credentials${query}`, { method: 'GET', token })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  expect(response.headers.get('cache-control')).toBe('no-store')
  return (JSON.parse(text) as { credentials: Shown[] }).credentials
}

async function revoke(id: string, token: string, query = '') {
  const response = await ask(service(), `/v1/credentials/${id}${query}`, {
    method: 'DELETE',
    token,
  })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  return JSON.parse(text) as {
    newly_revoked: boolean
    affected: string[]
    end_entity_serial: string
  }
}

async function crl() {
  const response = await ask(service(), '/ca/crl.der', { method: 'GET', token: undefined })
  const der = Buffer.from(await response.arrayBuffer())
  const read = readCrl(der)
  expect(verifyCrl(read, service().running.service.authority.certificate)).toBe(true)
  return { der, ...read }
}

describe('list and show', () => {
  test('who never asked for anything has nothing', async () => {
    expect(await list(tokenOf('nobody-yet'))).toEqual([])
    expect(await list(tokenOf('nobody-yet'), '?limit=1&active=true')).toEqual([])
  })

  test('one sees what one was given, newest first, page by page', async () => {
    const token = tokenOf('lister')
    const made: string[] = []
    for (let round = 0; round < 5; round += 1)
      made.unshift((await proxyJson(service(), { token })).id)
    expect((await list(token)).map(({ id }) => id)).toEqual(made)
    const first = await list(token, '?limit=2')
    const second = await list(token, `?limit=2&after=${first[1]?.id}`)
    const third = await list(token, `?limit=2&after=${second[1]?.id}`)
    expect([...first, ...second, ...third].map(({ id }) => id)).toEqual(made)
  })

  test('a credential as it is shown', async () => {
    const token = tokenOf('shown')
    const {
      id,
      pem,
      end_entity_serial: serial,
      not_after: notAfter,
    } = await proxyJson(service(), { token })
    const response = await ask(service(), `/v1/credentials/${id}`, { method: 'GET', token })
    const shown = (await response.json()) as Shown
    const [proxy] = parseProxyFile(pem).certificates
    expect(shown).toMatchObject({
      id,
      service: 'proxy',
      subject: '/C=EU/O=INDIGO/OU=TTS/CN=shown@indigo-iam-test',
      not_after: notAfter,
      revoked_at: null,
      revocation_reason: null,
      end_entity_serial: serial,
      client_id: 'demo-cli',
      address: '127.0.0.1',
      interface: 'native',
    })
    expect(shown.certificates).toEqual([
      expect.objectContaining({
        kind: 'proxy',
        serial: proxy?.serial,
        fingerprint_sha256: new X509Certificate(proxy?.der ?? '').fingerprint256
          .replaceAll(':', '')
          .toLowerCase(),
      }),
    ])
  })

  test("others' are not there: 404, and never in a list", async () => {
    const { id } = await proxyJson(service(), { token: tokenOf('owner') })
    const other = tokenOf('other')
    await proxyJson(service(), { token: other })
    for (const [method, token] of [
      ['GET', other],
      ['DELETE', other],
      ['GET', tokenOf('never-seen')],
      ['DELETE', tokenOf('never-seen')],
      ['GET', service().token('bob')],
    ] as const) {
      const response = await ask(service(), `/v1/credentials/${id}`, { method, token })
      expect(await problemOf(response)).toMatchObject(credentialNotFound)
    }
    expect((await list(other)).map((one) => one.id)).not.toContain(id)
    const paged = await ask(service(), `/v1/credentials?after=${id}`, {
      method: 'GET',
      token: other,
    })
    expect(await problemOf(paged)).toMatchObject({ status: 400, code: 'invalid_request' })
    expect((await list(tokenOf('owner'))).map((one) => one.revoked_at)).toEqual([null])
  })

  test.for([
    '?limit=0',
    '?limit=1001',
    '?limit=-1',
    '?limit=x',
    '?limit=1.5',
    '?limit=1&limit=2',
    '?active=yes',
    '?active=',
    '?after=00000000-0000-4000-8000-000000000000',
    '?after=',
    '?after=1.2',
  ])('%s: 400', async (query) => {
    const token = tokenOf('lister')
    await proxyJson(service(), { token })
    const response = await ask(service(), `/v1/credentials${query}`, { method: 'GET', token })
    expect(await problemOf(response)).toMatchObject({ status: 400, code: 'invalid_request' })
  })

  test('a bad token: 401 on every path', async () => {
    for (const [method, path] of [
      ['GET', '/v1/credentials'],
      ['GET', '/v1/credentials/00000000-0000-4000-8000-000000000000'],
      ['DELETE', '/v1/credentials/00000000-0000-4000-8000-000000000000'],
    ] as const) {
      const response = await ask(service(), path, {
        method,
        token: service().token('alice', { exp: 1 }),
      })
      expect(response.headers.get('www-authenticate')).toContain('error="invalid_token"')
      expect(await problemOf(response)).toMatchObject({ status: 401, check: 'expired' })
    }
  })
})

describe('revoke', () => {
  test('the EEC is on the CRL before the answer is there; openssl refuses the proxy', async () => {
    const token = tokenOf('revoker')
    const before = await crl()
    const first = await proxyJson(service(), { token })
    const second = await proxyJson(service(), { token })
    const [proxy, eec] = parseProxyFile(first.pem).certificates
    if (!proxy || !eec) throw new Error('two certificates are wanted')
    expect(before.revoked.has(eec.serial)).toBe(false)
    const { authority } = service().running.service
    const request = { leaf: proxy, untrusted: [eec], anchors: [authority.certificate] }
    expect(
      await opensslRefusal({ ...request, crls: [before.der], now: new Date() }),
    ).toBeUndefined()

    const answer = await revoke(first.id, token, '?reason=keyCompromise')
    expect(answer).toMatchObject({ newly_revoked: true, end_entity_serial: eec.serial })
    expect(answer.affected.toSorted()).toEqual([first.id, second.id].toSorted())
    // On record before the answer was sent, not when somebody comes to fetch it.
    const recorded = await service().running.service.store.latestCrl()
    expect(readCrl(recorded?.der ?? Buffer.alloc(0)).revoked.has(eec.serial)).toBe(true)

    const after = await crl()
    expect(after.revoked.has(eec.serial)).toBe(true)
    expect(after.number).toBe((before.number ?? 0) + 1)
    expect(await opensslRefusal({ ...request, crls: [after.der], now: new Date() })).toMatch(
      /certificate revoked/,
    )
    for (const shown of await list(token)) {
      expect(shown).toMatchObject({ revocation_reason: 'keyCompromise' })
      expect(shown.revoked_at).not.toBeNull()
    }
    expect(await list(token, '?active=true')).toEqual([])
  })

  test('the next proxy stands under a new EEC, which is sound', async () => {
    const token = tokenOf('again')
    const first = await proxyJson(service(), { token })
    await revoke(first.id, token)
    const second = await proxyJson(service(), { token })
    expect(second.end_entity_serial).not.toBe(first.end_entity_serial)
    expect(second.identity).toBe(first.identity)
    const [proxy, eec] = parseProxyFile(second.pem).certificates
    if (!proxy || !eec) throw new Error('two certificates are wanted')
    const { authority } = service().running.service
    const { der } = await crl()
    const request = { leaf: proxy, untrusted: [eec], anchors: [authority.certificate] }
    expect(await opensslRefusal({ ...request, crls: [der], now: new Date() })).toBeUndefined()
    const held = await service().running.service.store.findHeldEndEntity(
      (await service().running.service.store.findCredential(first.id))?.identity.id ?? '',
      new Date(),
      'ec-p256',
    )
    expect(held?.certificate.serial).toBe(second.end_entity_serial)
  })

  test('twice: the first time and reason stay', async () => {
    const token = tokenOf('twice')
    const { id } = await proxyJson(service(), { token })
    await revoke(id, token, '?reason=superseded')
    const [first] = await list(token)
    const number = (await crl()).number
    expect((await revoke(id, token, '?reason=keyCompromise')).newly_revoked).toBe(false)
    expect(await list(token)).toEqual([first])
    expect((await crl()).number).toBe(number)
  })

  test.for(Object.keys(revocationReasons))('reason %s, as openssl reads it', async (reason) => {
    const token = tokenOf(`reason-${reason}`)
    const { id, end_entity_serial: serial } = await proxyJson(service(), { token })
    await revoke(id, token, `?reason=${reason}`)
    const path = join(service().directory, 'crl.der')
    writeFileSync(path, (await crl()).der)
    const text = execFileSync(
      'openssl',
      ['crl', '-inform', 'DER', '-in', path, '-noout', '-text'],
      {
        encoding: 'utf8',
      },
    )
    const entry = text
      .slice(text.indexOf(serial.replace(/^00/, '').toUpperCase()))
      .split('Serial Number')[0]
    const words = reason.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    if (reason === 'unspecified') expect(entry).not.toMatch(/Reason/)
    else expect(entry?.toLowerCase()).toContain(words)
  })

  const oneOf = /^reason: must be one of unspecified, keyCompromise/
  const details: Readonly<Record<string, RegExp>> = {
    '?reason=unspecified&reason=superseded': /^reason is given twice$/,
    '?reasons=superseded': /^unknown parameter: reasons; this path accepts reason$/,
  }
  test.for([
    '?reason=',
    '?reason=bored',
    '?reason=toString',
    '?reason=0',
    '?reason=unspecified&reason=superseded',
    '?reasons=superseded',
  ])('%s: 400, and nothing is revoked', async (query) => {
    const token = tokenOf('bad-reason')
    const { id } = await proxyJson(service(), { token })
    const response = await ask(service(), `/v1/credentials/${id}${query}`, {
      method: 'DELETE',
      token,
    })
    const problem = await problemOf(response)
    expect(problem).toMatchObject({ status: 400, code: 'invalid_request' })
    expect(problem.detail).toMatch(details[query] ?? oneOf)
    expect((await list(token))[0]?.revoked_at).toBeNull()
  })

  test('a certificate for a key of one’s own', async () => {
    const token = tokenOf('own-key')
    const response = await ask(service(), '/v1/certificates', {
      token,
      headers: { 'content-type': 'application/pkcs10' },
      body: await soundCsr(),
    })
    const serial = parseProxyFile(await response.text()).certificates[0]?.serial ?? ''
    await revoke(response.headers.get('tts-credential-id') ?? '', token)
    expect((await crl()).revoked.has(serial)).toBe(true)
  })

  test('it is in the audit trail', async () => {
    const token = tokenOf('audited')
    const { id } = await proxyJson(service(), { token })
    await revoke(id, token, '?reason=affiliationChanged')
    const lines = await service().running.service.store.listAudit({ outcome: 'allowed', limit: 20 })
    expect(
      lines
        .filter((line) => line.credentialId === id)
        .map((line) => [line.event, line.detail, line.sub]),
    ).toEqual([
      ['credential.revoked', 'affiliationChanged', 'audited'],
      ['credential.issued', null, 'audited'].map((value) => value ?? undefined),
    ])
  })

  test('while others are issued: no proxy leaves under a revoked EEC after the answer', async () => {
    const token = tokenOf('racer')
    const ended = new AbortController()
    const issued: { at: number; serial: string }[] = []
    const statuses = new Set<number>()
    const hammer = async (): Promise<void> => {
      while (!ended.signal.aborted) {
        const asked = performance.now()
        const answer = await rawRequest(`${service().url}/v1/proxies?key_type=ec-p256`, {
          headers: {
            authorization: `Bearer ${token}`,
            accept: 'application/json',
            'content-length': '0',
          },
        })
        statuses.add(answer.status)
        if (answer.status !== 200) continue
        const body = JSON.parse(answer.text) as { end_entity_serial: string }
        issued.push({ at: asked, serial: body.end_entity_serial })
      }
    }
    const running = Array.from({ length: 6 }, hammer)
    const revokedAt = new Map<string, number>()
    for (let round = 0; round < 8; round += 1) {
      const { id, end_entity_serial: serial } = await proxyJson(service(), { token })
      await revoke(id, token)
      revokedAt.set(serial, performance.now())
      expect((await crl()).revoked.has(serial)).toBe(true)
    }
    ended.abort()
    await Promise.all(running)
    expect(issued.length).toBeGreaterThan(10)
    const late = issued.filter(({ at, serial }) => at > (revokedAt.get(serial) ?? Infinity))
    expect(late).toEqual([])
    expect([...statuses].filter((status) => ![200, 409].includes(status))).toEqual([])
  })
})

describe('who has the newest list', () => {
  test.for(['/ca/crl.der', '/ca/crl.pem', '/ca/trust-anchors.tar.gz'])(
    'gets no second copy of %s, and the next one when something was revoked',
    async (path) => {
      const get = async (etag = ''): Promise<Response> =>
        // fetch itself would add `no-cache`, which asks for the whole answer.
        fetch(`${service().url}${path}`, {
          headers: { 'if-none-match': etag, 'cache-control': 'max-age=0' },
        })
      const first = await get()
      const etag = first.headers.get('etag') ?? ''
      expect(etag).toMatch(/^"[\w-]{43}"$/)
      // Of two lists of one second it would tell the same.
      expect(first.headers.get('last-modified')).toBeNull()
      const same = await get(etag)
      expect([same.status, await same.text(), same.headers.get('etag')]).toEqual([304, '', etag])

      const token = tokenOf(`cache${path}`)
      await revoke((await proxyJson(service(), { token })).id, token)
      const next = await get(etag)
      expect(next.status).toBe(200)
      expect(next.headers.get('etag')).not.toBe(etag)
    },
  )
})
