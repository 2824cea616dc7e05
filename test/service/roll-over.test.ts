/** The roll-over of the CA's key on two replicas: both CAs are trusted side by side, and no request is lost. */
import { cp, mkdir, readdir, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { readCertificate } from '../../ca/certificate.ts'
import { readCrl } from '../../ca/crl.ts'
import { verifyCrl } from '../../ca/chain-revocation.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { readPem } from '../../ca/pem.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { askProxy, proxyJson } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { openssl } from '../support/openssl.ts'
import type { TestService } from '../support/service.ts'
import { useStoredServices } from '../support/stored-services.ts'

const installation = useStoredServices()
const { path, services, start } = installation
const replicas = { a: 'a.yaml', b: 'b.yaml' }
const tts = async (words: readonly string[], now?: Date) =>
  installation.tts(words, { name: replicas.a, ...(now && { now }) })

async function configure(settings: StoreSettings): Promise<void> {
  const listen = { port: 0, public_url: 'http://tts.example.org' }
  for (const [name, file] of Object.entries(replicas))
    await installation.configure(settings, { listen, data_dir: path(name) }, file)
}

const reload = async (): Promise<void> => installation.reload(replicas.a, replicas.b)

async function whileIssuing(work: () => Promise<void>): Promise<number[]> {
  const statuses: number[] = []
  const done = new AbortController()
  const callers = services.map(async (service) => {
    while (!done.signal.aborted) {
      const response = await askProxy(service)
      await response.arrayBuffer()
      statuses.push(response.status)
    }
  })
  await work().finally(() => done.abort())
  await Promise.all(callers)
  return statuses
}

async function authorityOf({ url }: TestService) {
  const text = await (await fetch(`${url}/ca/ca.pem`)).text()
  const [block] = readPem(text, 'CA')
  return readCertificate(block?.der ?? Buffer.alloc(0))
}

async function crlAt({ url }: TestService, where: string) {
  const response = await fetch(`${url}/ca/${where}`)
  expect(response.status).toBe(200)
  return readCrl(Buffer.from(await response.arrayBuffer()))
}

/** Verifies a proxy with OpenSSL, with CRLs, against the trust anchors that the command writes. */
async function verdictOf(issued: { readonly pem: string }): Promise<string> {
  await rm(path('certificates'), { recursive: true, force: true })
  expect((await tts(['ca', 'export', path('certificates')])).code).toBe(0)
  const strict = ['-x509_strict', '-allow_proxy_certs', '-no-CAfile', '-no-CAstore']
  const trust = ['-CApath', path('certificates'), '-crl_check_all', '-purpose', 'any']
  const words = ['verify', ...strict, ...trust, '-untrusted', 'proxy', 'proxy']
  return (await openssl(words, { proxy: issued.pem })).text
}

const anchors = async (): Promise<number> =>
  (await readdir(path('certificates'))).filter((name) => name.endsWith('.signing_policy')).length

describeStores('the roll-over', ({ newDatabase }) => {
  test('prepare, activate, finish: no request is lost, old proxies live to their end', async () => {
    await configure(await newDatabase())
    const a = await start(replicas.a)
    const old = await proxyJson(a)
    await mkdir(path('b'), { mode: 0o700 })
    for (const name of ['ca', 'master-keys'])
      await cp(path(`a/${name}`), path(`b/${name}`), { recursive: true })
    const b = await start(replicas.b)
    const before = await authorityOf(a)

    const prepared = await tts(['ca', 'roll-over', 'prepare'])
    expect(prepared.code).toBe(0)
    expect(prepared.notes).toContain('The next CA is /C=EU/O=INDIGO/OU=TTS/CN=TTS-CA 2.')
    expect((await tts(['ca', 'roll-over', 'prepare'])).code).toBe(1)
    await cp(path('a/ca-next'), path('b/ca-next'), { recursive: true })
    await reload()
    // Sites learn to trust both, and nothing else has changed.
    expect(await verdictOf(old)).toBe('proxy: OK\n')
    expect((await authorityOf(b)).der).toEqual(before.der)

    const statuses = await whileIssuing(async () => {
      const { code, notes } = await tts(['ca', 'roll-over', 'activate'])
      expect({ code, notes }).toEqual({
        code: 0,
        notes: expect.stringContaining('/CN=TTS-CA 2 signs from now on') as string,
      })
      // Both replicas follow by themselves.
      for (const replica of [a, b])
        await expect
          .poll(async () => formatSlashDn((await authorityOf(replica)).subject), {
            timeout: 30_000,
            interval: 100,
          })
          .toBe('/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA 2')
    })
    expect(new Set(statuses)).toEqual(new Set([200]))
    expect(await readdir(path('b/ca-former'))).toHaveLength(1)

    const fresh = await proxyJson(b)
    expect(fresh.identity).toBe(old.identity)
    expect(fresh.end_entity_serial).not.toBe(old.end_entity_serial)
    expect(await verdictOf(old)).toBe('proxy: OK\n')
    expect(await verdictOf(fresh)).toBe('proxy: OK\n')

    // Each CA has a CRL with everything that is revoked, where its certificates say.
    expect((await tts(['credential', 'revoke', old.id])).code).toBe(0)
    const after = await authorityOf(a)
    const [formerId = ''] = await readdir(path('a/ca-former'))
    for (const replica of [a, b]) {
      await expect
        .poll(async () => (await crlAt(replica, 'crl.der')).revoked.has(old.end_entity_serial), {
          timeout: 5000,
        })
        .toBe(true)
      expect(verifyCrl(await crlAt(replica, 'crl.der'), before)).toBe(true)
      expect(verifyCrl(await crlAt(replica, `${formerId}/crl.der`), before)).toBe(true)
    }
    expect(await verdictOf(old)).toContain('certificate revoked')
    expect(await verdictOf(fresh)).toBe('proxy: OK\n')
    const url = /URI:http:\/\/tts\.example\.org\/ca\/([0-9a-f]{8}\/crl\.der)/
    const [, eec = ''] = fresh.pem.split(/(?=-----BEGIN CERTIFICATE)/)
    const shown = await openssl(
      ['x509', '-noout', '-ext', 'crlDistributionPoints', '-in', 'eec.pem'],
      { 'eec.pem': eec },
    )
    const where = url.exec(shown.text)?.[1] ?? 'none'
    expect(verifyCrl(await crlAt(b, where), after)).toBe(true)

    // The end: refused while something lives.
    expect(await anchors()).toBeGreaterThan(3)
    const early = await tts(['ca', 'roll-over', 'finish'])
    expect(early.code).toBe(1)
    expect(early.notes).toContain('a certificate of the former CA is valid until 20')
    const later = await tts(['ca', 'roll-over', 'finish'], new Date(Date.now() + 400 * 86_400_000))
    expect(later.notes).toContain('Deleted /C=EU/O=INDIGO/OU=TTS/CN=TTS-CA with its key.')
    expect(await readdir(path('a/ca-former'))).toEqual([])
    await reload()
    expect(await verdictOf(fresh)).toBe('proxy: OK\n')
    expect((await proxyJson(a)).identity).toBe(old.identity)
  })

  test('the first CA keeps its CRL URL, also when its certificate was renewed', async () => {
    await configure(await newDatabase())
    const first = await authorityOf(await start(replicas.a))
    await installation.stop()
    const roll = async (words: readonly string[], seconds: number): Promise<void> =>
      expect(await tts(['ca', ...words], new Date(Date.now() + seconds * 1000))).toMatchObject({
        code: 0,
      })
    await roll(['roll-over', 'prepare'], 10)
    await roll(['renew'], 20)
    await roll(['roll-over', 'activate'], 30)
    await roll(['roll-over', 'prepare'], 40)
    await roll(['roll-over', 'activate'], 50)
    const a = await start(replicas.a)
    expect(formatSlashDn((await authorityOf(a)).subject)).toMatch(/ 3$/)
    expect(await readdir(path('a/ca-former'))).toHaveLength(2)
    expect(verifyCrl(await crlAt(a, 'crl.der'), first)).toBe(true)
  })

  test('a move that was interrupted is completed at the start', async () => {
    await configure(await newDatabase())
    await start(replicas.a)
    expect((await tts(['ca', 'roll-over', 'prepare'])).code).toBe(0)
    expect((await tts(['ca', 'roll-over', 'activate'])).code).toBe(0)
    await installation.stop()
    const [id = ''] = await readdir(path('a/ca-former'))
    // As after the first of the two renames, and before both.
    await cp(path('a/ca'), path('a/ca-next'), { recursive: true })
    await rm(path('a/ca'), { recursive: true })
    const first = await start(replicas.a)
    expect(formatSlashDn((await authorityOf(first)).subject)).toMatch(/ 2$/)
    await installation.stop()
    await cp(path('a/ca'), path('a/ca-next'), { recursive: true })
    await rm(path('a/ca'), { recursive: true })
    await cp(path(`a/ca-former/${id}`), path('a/ca'), { recursive: true })
    await rm(path('a/ca-former'), { recursive: true })
    const second = await start(replicas.a)
    expect(formatSlashDn((await authorityOf(second)).subject)).toMatch(/ 2$/)
    expect(await readdir(path('a/ca-former'))).toEqual([id])
  })

  test.for([
    { subject: '/C=EU/O=INDIGO/OU=TTS/CN=TTS-CA', code: 2 },
    { subject: '/C=EU/O=INDIGO/OU=TTS/CN=tts-ca', code: 2 },
    { subject: '/C=EU/O=Elsewhere/CN=TTS-CA 2', code: 2 },
    { subject: '/C=EU/O=INDIGO/OU=TTS/CN=Another CA', code: 0 },
  ])('the name $subject ends with $code', async ({ subject, code }) => {
    await configure(await newDatabase())
    expect((await tts(['ca', 'init'])).code).toBe(0)
    expect((await tts(['ca', 'roll-over', 'activate'])).code).toBe(5)
    expect((await tts(['ca', 'roll-over', 'finish'])).code).toBe(5)
    expect((await tts(['ca', 'roll-over', 'prepare', '--subject', subject])).code).toBe(code)
  })
})
