/** What WaTTS's clients lean on (section 9), the entries of X.509 (8), and DELETE right after the pick-up. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { readCrl } from '../../../ca/crl.ts'
import { parseProxyFile } from '../../../ca/proxy-file.ts'
import { type TestService, useTestService } from '../../support/service.ts'
import { loadConfiguration } from '../../../src/config/load.ts'
import { createLog } from '../../../src/base/log.ts'
import { serve } from '../../../src/service/serve.ts'
import { describeWithTools, runTool } from '../../support/grid-tools.ts'
import { openssl } from '../../support/openssl.ts'
import {
  as,
  cms,
  type Credential,
  type Entry,
  errorText,
  executable,
  json,
  listed,
  obtain,
  post,
  program,
  remove,
  wattsService,
  wire,
} from './support.ts'

let clock = 0
beforeEach(() => {
  clock = 0
})

const service = useTestService({
  ...wattsService(
    {
      guest: executable(program('account.py'), {}, { description: 'accounts on the cloud' }),
      kept: executable(program('account.py'), {}, { revoke_on_delete: 'never' }),
      strict: { plugin: 'x509-certificate', revoke_on_delete: 'at_once', authz: { allow: cms } },
      patient: {
        plugin: 'x509-certificate',
        revoke_on_delete: { after_seconds: 600 },
        authz: { allow: cms },
      },
    }, // Globus code signs proxies under certificates of RSA CAs only.
    { ca: { key_kind: 'rsa-3072' } },
  ),
  now: () => new Date(Date.now() + clock * 1000),
})

const byName = (entries: readonly Entry[], name: string): string =>
  entries.find((entry) => entry.name === name)?.value ?? ''

describe('8. entries of the service x509, asked for without a CSR', () => {
  test('the names, order and file names of the Python plugin', async () => {
    const { entries } = await obtain(service(), { service: 'x509' })
    expect(entries.map(({ name, type, save_as: saveAs }) => [name, type, saveAs])).toEqual([
      ['Certificate', 'textfile', 'watts_cert.pem'],
      ['Private Key', 'textfile', 'watts_cert.key'],
      ['Passphrase (for Private Key)', 'text', undefined],
      ['CA Certificate', 'textfile', 'watts_ca.crt'],
    ])
  })

  test('the key is that of the certificate, encrypted as OpenSSL of all ages reads it, under a passphrase of 192 bits', async () => {
    const { entries } = await obtain(service(), { service: 'x509' })
    const [certificate = '', key = '', passphrase = '', ca = ''] = entries.map(({ value }) => value)
    expect(key).toMatch(
      /^-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,/,
    )
    expect(passphrase).toMatch(/^[A-Za-z0-9_-]{32}$/)
    const parsed = new X509Certificate(certificate)
    expect(parsed.checkPrivateKey(createPrivateKey({ key, passphrase }))).toBe(true)
    expect(parsed.verify(new X509Certificate(ca).publicKey)).toBe(true)
    // `openssl rsa`, as scripts around ttscache call it.
    const opened = await openssl(
      ['rsa', '-in', 'key.pem', '-passin', `pass:${passphrase}`, '-noout', '-check'],
      { 'key.pem': key },
    )
    expect(opened.text).toContain('RSA key ok')
    const wrong = await openssl(['rsa', '-in', 'key.pem', '-passin', 'pass:x', '-noout'], {
      'key.pem': key,
    })
    expect(wrong.ok).toBe(false)
  })

  test('each has a key and a passphrase of its own, and neither is kept or logged', async () => {
    const made = await Promise.all([
      obtain(service(), { service: 'x509' }),
      obtain(service(), { service: 'x509' }),
    ])
    const [one, other] = made.map(({ entries }) => entries.map(({ value }) => value))
    expect(one?.[1]).not.toBe(other?.[1])
    expect(one?.[2]).not.toBe(other?.[2])
    expect(service().logged.join('')).not.toContain(one?.[2])
  })

  test('the service proxy hands out a ready proxy file, as one textfile', async () => {
    const { entries } = await obtain(service(), { service: 'proxy' })
    expect(entries.map(({ name, type }) => [name, type])).toEqual([['Proxy', 'textfile']])
    const { certificates, privateKey, labels } = parseProxyFile(byName(entries, 'Proxy'))
    expect(labels.slice(0, 3)).toEqual(['CERTIFICATE', 'RSA PRIVATE KEY', 'CERTIFICATE'])
    expect(certificates).toHaveLength(2)
    expect(privateKey).toBeDefined()
  })
})

describeWithTools('8. grid-proxy-init', ['globus-proxy-utils'], () => {
  test('takes certificate and key as they came, with the passphrase, and its proxy verifies', async () => {
    const { entries } = await obtain(service(), { service: 'x509' })
    const directory = await mkdtemp(join(tmpdir(), 'tts-test-grid-'))
    try {
      const archive = await fetch(`${service().url}/ca/trust-anchors.tar.gz`)
      await writeFile(join(directory, 'anchors.tar.gz'), Buffer.from(await archive.arrayBuffer()))
      for (const { save_as: saveAs = 'passphrase', value } of entries)
        await writeFile(join(directory, saveAs), value, { mode: 0o600 })
      const script = `cd ${directory} && mkdir ca && tar -xzf anchors.tar.gz -C ca && grid-proxy-init -pwstdin -cert watts_cert.pem -key watts_cert.key -out proxy -certdir "$(dirname "$(find ca -name '*.0' | head -1)")" -verify -valid 1:00 < passphrase`
      const run = await runTool('sh', ['-c', script])
      expect(run).toMatchObject({
        status: 0,
        output: expect.stringContaining('Proxy Verify OK') as string,
      })
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  })
})

describe('9. clients', () => {
  test('ttscache: 303, header lines split by "location", the path joined to its own base, entries by position, DELETE at once', async () => {
    const base = service().url
    const answer = await wire(`${base}/api/v2/iam/credential`, {
      method: 'POST',
      headers: { ...as(service()), ...json },
      body: JSON.stringify({ service_id: 'x509', params: {} }),
    })
    expect(answer.status).toBe(303)
    // pycurl hands over each line as it is on the wire; ttscache looks for these letters in all of them.
    const lines = answer.lines.map(([name, value]) => `${name}: ${value}\r\n`)
    const found = lines.filter((line) => line.includes('location'))
    expect(found).toHaveLength(1)
    expect(lines.filter((line) => /location/i.test(line))).toHaveLength(1)
    const address = (found[0] ?? '').split('location: ')[1]?.trim() ?? ''
    const { pathname } = new URL(address)
    const picked = await wire(`${base}${pathname}`, { headers: as(service()) })
    const { credential } = picked.json() as { credential: Credential }
    const [certificate, key, passphrase] = credential.entries.map(({ value }) => value)
    expect(certificate).toMatch(/^-----BEGIN CERTIFICATE/)
    expect(key).toMatch(/^-----BEGIN RSA PRIVATE KEY/)
    expect(passphrase).toMatch(/^\S+$/)
    const deleted = await remove(service(), credential.id)
    expect(deleted.text).toBe('{"result":"ok"}')
    // The certificate that it has just fetched lives on.
    expect(await isRevoked(service(), certificate ?? '')).toBe(false)
    expect(await listed(service())).not.toContain(credential.id)
  })

  test('no answer has another header line with these letters', async () => {
    for (const path of [
      '/api/v2/info',
      '/api/v2/iam/service',
      '/api/v2/iam/credential_data/x',
      '/api/x',
      '/ca/ca.pem',
      '/v1/credentials',
    ]) {
      const { lines } = await wire(`${service().url}${path}`, { headers: as(service()) })
      expect(lines.filter((line) => /location/i.test(line.join(': ')))).toEqual([])
    }
  })

  test('ttsInK8s: follows the 303 itself with Authorization and wants 200; names with blanks removed and (…) cut', async () => {
    const response = await fetch(`${service().url}/api/v2/iam/credential`, {
      method: 'POST',
      headers: { ...as(service()), ...json },
      body: '{"service_id":"x509"}',
    })
    expect([response.status, response.redirected]).toEqual([200, true])
    const { credential } = (await response.json()) as { credential: Credential }
    const names = credential.entries.map(({ name }) =>
      name.replaceAll(' ', '').replace(/\(.*\)/, ''),
    )
    expect(names).toEqual(['Certificate', 'PrivateKey', 'Passphrase', 'CACertificate'])
    expect(credential.id).toMatch(/^[0-9a-f-]{36}$/)
  })

  test('wattson: v1 by the header, copied on the redirect with Authorization; always sends params', async () => {
    const headers = {
      ...as(service()),
      'X-OpenId-Connect-Issuer': service().provider.issuer,
      'user-agent': 'wattson/1.2.1',
    }
    const list = await wire(`${service().url}/api/v1/service`, { headers })
    expect((list.json()['service_list'] as { id: string }[]).map(({ id }) => id)).toContain('guest')
    const redirect = await wire(`${service().url}/api/v1/credential`, {
      method: 'POST',
      headers: { ...headers, ...json },
      body: '{"service_id":"guest","params":{}}',
    })
    const picked = await wire(redirect.header('location') ?? '', { headers })
    const entries = JSON.parse(picked.text) as Entry[]
    expect(entries[0]?.name).toBe('id')
    const id = entries[0]?.value ?? ''
    const deleted = await wire(`${service().url}/api/v1/credential/${id}`, {
      method: 'DELETE',
      headers,
    })
    expect(deleted.status).toBe(200)
  })

  test('IM: the first provider of oidcp, a service by a part of its description, entries by name', async () => {
    const providers = (await wire(`${service().url}/api/v2/oidcp`)).json()[
      'openid_provider_list'
    ] as { id: string }[]
    const base = `${service().url}/api/v2/${providers[0]?.id}`
    const services = (await wire(`${base}/service`, { headers: as(service()) })).json()[
      'service_list'
    ] as { id: string; description: string }[]
    const found = services.find(({ description }) => description.includes('cloud'))
    const response = await fetch(`${base}/credential`, {
      method: 'POST',
      headers: { ...as(service()), ...json },
      body: JSON.stringify({ service_id: found?.id }),
    })
    const { credential } = (await response.json()) as { credential: Credential }
    expect(byName(credential.entries, 'Username')).toBe(service().provider.user('alice').sub)
    expect(byName(credential.entries, 'Password')).not.toBe('')
  })
})

test.for([
  { after: 9, status: 200 },
  { after: 10, status: 404 },
])('an answer waits 10 s by default: after $after s $status', async ({ after, status }) => {
  const redirect = await post(service(), { service: 'guest' })
  clock += after
  const picked = await wire(redirect.header('location') ?? '', { headers: as(service()) })
  expect(picked.status).toBe(status)
})

test('any replica hands over what another one made', async () => {
  const path = join(service().directory, 'tts.yaml')
  const log = createLog({ level: 'silent', name: 'tts' })
  const replica = await serve(await loadConfiguration(path, {}), log)
  try {
    const redirect = await post(service(), { service: 'guest' })
    const { pathname } = new URL(redirect.header('location') ?? '')
    const picked = await wire(`${replica.url}${pathname}`, { headers: as(service()) })
    expect(picked.status, picked.text).toBe(200)
    errorText(await wire(redirect.header('location') ?? '', { headers: as(service()) }), 404)
  } finally {
    await replica.stop()
  }
})

describe('what DELETE does, by the service', () => {
  test.for([
    { name: 'x509', after: 59, revoked: false },
    { name: 'x509', after: 61, revoked: true },
    { name: 'strict', after: 0, revoked: true },
    { name: 'patient', after: 599, revoked: false },
    { name: 'patient', after: 601, revoked: true },
  ])('$name, $after s after: revoked $revoked', async ({ name, after, revoked }) => {
    const { id, entries } = await obtain(service(), { service: name })
    clock += after
    expect((await remove(service(), id)).status).toBe(200)
    expect(await listed(service())).not.toContain(id)
    expect(await isRevoked(service(), entries[0]?.value ?? '')).toBe(revoked)
    errorText(await remove(service(), id), 404)
  })

  test('what has ended is only forgotten: its EEC may carry others that live', async () => {
    const short = await obtain(service(), { service: 'proxy', params: { lifetime_seconds: '60' } })
    const long = await obtain(service(), { service: 'proxy', params: { lifetime_seconds: '7200' } })
    clock += 3600
    expect((await remove(service(), short.id)).status).toBe(200)
    const record = await service().running.service.store.findCredential(long.id)
    expect(record?.revokedAt).toBeUndefined()
  })

  test('never: the plugin is not asked', async () => {
    const { id } = await obtain(service(), { service: 'kept' })
    expect((await remove(service(), id)).text).toBe('{"result":"ok"}')
    const record = await service().running.service.store.findCredential(id)
    expect([record?.revokedAt, record?.forgottenAt instanceof Date]).toEqual([undefined, true])
  })
})

async function isRevoked(tts: TestService, certificate: string): Promise<boolean> {
  const { serialNumber } = new X509Certificate(certificate)
  const crl = readCrl(Buffer.from(await (await fetch(`${tts.url}/ca/crl.der`)).arrayBuffer()))
  return [...crl.revoked.keys()].some(
    (serial) => BigInt(`0x${serial}`) === BigInt(`0x${serialNumber}`),
  )
}
