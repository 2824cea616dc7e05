/** The roll-over of the CA's key on two replicas: both CAs are trusted side by side, and no request is lost. */
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { readCertificate } from '../../ca/certificate.ts'
import { readCrl } from '../../ca/crl.ts'
import { verifyCrl } from '../../ca/chain-revocation.ts'
import { formatSlashDn } from '../../ca/name-text.ts'
import { readPem } from '../../ca/pem.ts'
import { createLog } from '../../src/base/log.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { type Running, serve } from '../../src/service/serve.ts'
import { bearer, soundCsr, wideLimits } from '../api/support.ts'
import { describeStores } from '../store/support.ts'
import { openssl } from '../support/openssl.ts'
import { AUDIENCE, testConfiguration, waitUntilReady } from '../support/service.ts'
import { runTts } from '../support/terminal.ts'

let directory = ''
let provider: IdentityProvider
const replicas: Running[] = []
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-roll-over-'))
  provider = await startIdentityProvider()
})
afterEach(async () => {
  await Promise.all(replicas.splice(0).map(async (replica) => replica.stop()))
  await provider.close()
  await rm(directory, { recursive: true, force: true })
})

const path = (name: string): string => join(directory, name)
const tts = async (words: readonly string[], now?: Date) =>
  runTts(['--config', path('a.yaml'), ...words], now ? { now: () => now } : {})

async function configure(settings: StoreSettings): Promise<void> {
  const store =
    settings.url === undefined ? { path: settings.path } : { url: settings.url, pool_size: 4 }
  for (const name of ['a', 'b'])
    await writeFile(
      path(`${name}.yaml`),
      stringify({
        ...testConfiguration(provider),
        listen: { port: 0, public_url: 'http://tts.example.org' },
        data_dir: path(name),
        ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
        limits: wideLimits,
        log: { level: 'silent' },
        store,
      }),
      { mode: 0o600 },
    )
}

async function start(name: string): Promise<Running> {
  const log = createLog({ level: 'silent', name: 'tts' })
  const running = await serve(await loadConfiguration(path(`${name}.yaml`), {}), log)
  replicas.push(running)
  await waitUntilReady(running.url)
  return running
}

const reload = async (): Promise<void> => {
  for (const [index, name] of ['a', 'b'].entries())
    await replicas[index]?.reload(await loadConfiguration(path(`${name}.yaml`), {}))
}

interface Issued {
  readonly id: string
  readonly end_entity_serial: string
  readonly identity: string
  readonly pem: string
}

async function ask(url: string): Promise<Response> {
  const { sub, groups } = provider.user('alice')
  const token = provider.mint({ claims: { sub, groups, aud: AUDIENCE } })
  return fetch(`${url}/v1/proxies`, {
    method: 'POST',
    headers: {
      ...bearer(token),
      'content-type': 'application/pkcs10',
      accept: 'application/json',
    },
    body: await soundCsr(),
  })
}

async function issue({ url }: Running): Promise<Issued> {
  const response = await ask(url)
  expect(response.status).toBe(200)
  return (await response.json()) as Issued
}

async function whileIssuing(work: () => Promise<void>): Promise<number[]> {
  const statuses: number[] = []
  const done = new AbortController()
  const callers = replicas.map(async ({ url }) => {
    while (!done.signal.aborted) {
      const response = await ask(url)
      await response.arrayBuffer()
      statuses.push(response.status)
    }
  })
  await work().finally(() => done.abort())
  await Promise.all(callers)
  return statuses
}

async function authorityOf({ url }: Running) {
  const text = await (await fetch(`${url}/ca/ca.pem`)).text()
  const [block] = readPem(text, 'CA')
  return readCertificate(block?.der ?? Buffer.alloc(0))
}

async function crlAt({ url }: Running, where: string) {
  const response = await fetch(`${url}/ca/${where}`)
  expect(response.status).toBe(200)
  return readCrl(Buffer.from(await response.arrayBuffer()))
}

/** Verifies a proxy with OpenSSL, with CRLs, against the trust anchors that the command writes. */
async function verdictOf(issued: Issued): Promise<string> {
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
    const a = await start('a')
    const old = await issue(a)
    await mkdir(path('b'), { mode: 0o700 })
    for (const name of ['ca', 'master-keys'])
      await cp(path(`a/${name}`), path(`b/${name}`), { recursive: true })
    const b = await start('b')
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

    const fresh = await issue(b)
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
    expect((await issue(a)).identity).toBe(old.identity)
  })

  test('the first CA keeps its CRL URL, also when its certificate was renewed', async () => {
    await configure(await newDatabase())
    const first = await authorityOf(await start('a'))
    await replicas.splice(0)[0]?.stop()
    const roll = async (words: readonly string[], seconds: number): Promise<void> =>
      expect(await tts(['ca', ...words], new Date(Date.now() + seconds * 1000))).toMatchObject({
        code: 0,
      })
    await roll(['roll-over', 'prepare'], 10)
    await roll(['renew'], 20)
    await roll(['roll-over', 'activate'], 30)
    await roll(['roll-over', 'prepare'], 40)
    await roll(['roll-over', 'activate'], 50)
    const a = await start('a')
    expect(formatSlashDn((await authorityOf(a)).subject)).toMatch(/ 3$/)
    expect(await readdir(path('a/ca-former'))).toHaveLength(2)
    expect(verifyCrl(await crlAt(a, 'crl.der'), first)).toBe(true)
  })

  test('a move that was interrupted is completed at the start', async () => {
    await configure(await newDatabase())
    await start('a')
    expect((await tts(['ca', 'roll-over', 'prepare'])).code).toBe(0)
    expect((await tts(['ca', 'roll-over', 'activate'])).code).toBe(0)
    await replicas.splice(0)[0]?.stop()
    const [id = ''] = await readdir(path('a/ca-former'))
    // As after the first of the two renames, and before both.
    await cp(path('a/ca'), path('a/ca-next'), { recursive: true })
    await rm(path('a/ca'), { recursive: true })
    const first = await start('a')
    expect(formatSlashDn((await authorityOf(first)).subject)).toMatch(/ 2$/)
    await replicas.splice(0)[0]?.stop()
    await cp(path('a/ca'), path('a/ca-next'), { recursive: true })
    await rm(path('a/ca'), { recursive: true })
    await cp(path(`a/ca-former/${id}`), path('a/ca'), { recursive: true })
    await rm(path('a/ca-former'), { recursive: true })
    const second = await start('a')
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
