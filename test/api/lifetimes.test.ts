import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { formatSlashDn } from '../../ca/name-text.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { opensslRefusal } from '../support/openssl.ts'
import { askProxy, ask, problemOf, proxyJson, quick, soundCsr } from './support.ts'

const DAY_MS = 86_400_000
let service: TestService
/** The service's clock: real time and this much. The CA lives 30 days. */
let aheadMs = 0
const now = (): Date => new Date(Date.now() + aheadMs)

beforeAll(async () => {
  const configuration = quick.configuration as Record<string, Record<string, unknown>>
  service = await startTestService({
    now,
    configuration: { ...configuration, ca: { ...configuration['ca'], lifetime_days: 30 } },
  })
})
afterAll(async () => service.stop())

/** A token that is sound by the service's clock. */
function token(username = 'alice'): string {
  const at = Math.floor(now().getTime() / 1000)
  return service.token(username, { iat: at, exp: at + 600 })
}

async function issue(query = '', username = 'alice') {
  const pem = (await proxyJson(service, { query, token: token(username) })).pem
  const [proxy, eec] = parseProxyFile(pem).certificates
  if (!proxy || !eec) throw new Error('two certificates are wanted')
  return { proxy, eec }
}

async function issueEec() {
  const response = await ask(service, '/v1/certificates', {
    token: token(),
    headers: { 'content-type': 'application/pkcs10' },
    body: await soundCsr(),
  })
  const text = await response.text()
  expect(response.status, text).toBe(200)
  const [eec] = parseProxyFile(text).certificates
  if (!eec) throw new Error('a certificate is wanted')
  return eec
}

describe('nested lifetimes', () => {
  test('at first: the whole life, begun five minutes back', async () => {
    // Times in certificates are whole seconds.
    const earliest = Math.floor(now().getTime() / 1000) * 1000
    const { proxy, eec } = await issue()
    const latest = now().getTime()
    const isAfterIssue = (time: Date, afterMs: number): boolean =>
      time.getTime() >= earliest + afterMs && time.getTime() <= latest + afterMs
    const { certificate } = service.running.service.authority
    expect(isAfterIssue(eec.validity.notAfter, 11 * DAY_MS)).toBe(true)
    expect(isAfterIssue(proxy.validity.notAfter, 4 * DAY_MS)).toBe(true)
    for (const { validity } of [proxy, eec]) {
      expect(validity.notBefore >= certificate.validity.notBefore).toBe(true)
      expect(isAfterIssue(validity.notBefore, -300_000)).toBe(true)
    }
    const { crls, authority } = service.running.service
    const request = { leaf: proxy, untrusted: [eec], anchors: [authority.certificate], now: now() }
    expect(await opensslRefusal({ ...request, crls: [(await crls.current()).der] })).toBeUndefined()
  })

  test('the EEC is used again', async () => {
    const serials = new Set<string>()
    for (let round = 0; round < 3; round += 1) serials.add((await issue()).eec.serial)
    expect(serials.size).toBe(1)
  })

  test('at once: one EEC for all', async () => {
    const all = await Promise.all(
      Array.from({ length: 12 }, async () => {
        const claims = { sub: 'newcomer', iat: Math.floor(now().getTime() / 1000) }
        return proxyJson(service, { token: service.token('alice', claims) })
      }),
    )
    expect(new Set(all.map((answer) => answer.end_entity_serial)).size).toBe(1)
  })

  test('an EEC that is too short for what is asked is followed by a new one', async () => {
    const { eec: first } = await issue()
    aheadMs = 5 * DAY_MS
    expect((await issue('?lifetime_seconds=3600')).eec.serial).toBe(first.serial)
    const { eec: second, proxy } = await issue('?lifetime_seconds=604800')
    expect(second.serial).not.toBe(first.serial)
    expect(formatSlashDn(second.subject)).toBe(formatSlashDn(first.subject))
    expect(proxy.validity.notAfter <= second.validity.notAfter).toBe(true)
    // The longer one serves short requests too.
    expect((await issue('?lifetime_seconds=3600')).eec.serial).toBe(second.serial)
  })

  test("near the CA's end nothing outlives it", async () => {
    const { validity } = service.running.service.authority.certificate
    aheadMs = 29 * DAY_MS
    const { proxy, eec } = await issue()
    expect(eec.validity.notAfter).toEqual(validity.notAfter)
    expect(proxy.validity.notAfter).toEqual(validity.notAfter)
    expect((await issueEec()).validity.notAfter).toEqual(validity.notAfter)
    // It cannot be any longer, so that the same one serves on.
    expect((await issue()).eec.serial).toBe(eec.serial)
    const { proxy: short } = await issue('?lifetime_seconds=3600')
    expect(short.validity.notAfter.getTime()).toBeLessThan(validity.notAfter.getTime())
  })

  test("after the CA's end nothing is issued, and the log says why", async () => {
    aheadMs = 31 * DAY_MS
    const response = await askProxy(service, '', token())
    const problem = await problemOf(response)
    expect(problem).toMatchObject({ status: 500, code: 'internal' })
    const line = service.logged.find((text) => text.includes(problem.request_id))
    expect(line).toMatch(/tts ca show/)
    expect((await ask(service, '/healthz', { method: 'GET' })).status).toBe(200)
  })
})
