/** The checks of the machine: TLS files, addresses, data directory, clocks, database. */
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { clockChecks } from '../../../src/cli/check/clock.ts'
import { spaceChecks } from '../../../src/cli/check/data-directory.ts'
import { listenChecks } from '../../../src/cli/check/listener.ts'
import { prepareDataDirectory } from '../../../src/files/data-directory.ts'
import { readTlsFiles } from '../../../src/http/tls-files.ts'
import { missingPostgresPackage, startPostgres } from '../../support/postgres.ts'
import { runTts, type TtsRunOptions } from '../../support/terminal.ts'

let directory = ''
const path = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-machine-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

const base = { data_dir: 'data', ca: { key_kind: 'ec-p256' } }

async function check(
  configuration: Record<string, unknown> = {},
  options: TtsRunOptions = {},
): Promise<string> {
  writeFileSync(path('tts.yaml'), JSON.stringify({ ...base, ...configuration }))
  return (await runTts(['--config', path('tts.yaml'), 'check'], options)).out
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']

function makeCertificate(name: string, ...options: string[]): void {
  const files = ['-keyout', `${name}.key`, '-out', `${name}.pem`]
  openssl('req', '-x509', ...newKey, ...files, '-subj', '/CN=tts', '-days', '90', ...options)
}

const days = (count: number) => ({ now: () => new Date(Date.now() + count * 86_400_000) })

describe('TLS files', () => {
  const listen = (certificate: string, key: string) => ({
    listen: {
      tls_certificate_file: certificate,
      tls_key_file: key,
      public_url: 'https://tts.example.org',
    },
  })

  test('that fit are said with the days left, and the host', async () => {
    makeCertificate('tls', '-addext', 'subjectAltName=DNS:tts.example.org')
    const files = listen('tls.pem', 'tls.key')
    expect(await check(files)).toMatch(/^ok {7}tls: certificate and key fit, (89|90) days/m)
    expect(await check(files, days(75))).toMatch(
      /^warning {2}tls: certificate and key fit, (14|15) days/m,
    )
    expect(await check(files, days(91))).toMatch(/^FAILED {3}tls: the certificate expired on 20/m)
    expect(await check(files, days(-2))).toMatch(
      /^FAILED {3}tls: the certificate is not valid before/m,
    )
    makeCertificate('other', '-addext', 'subjectAltName=DNS:other.example.org')
    expect(await check(listen('other.pem', 'other.key'))).toMatch(
      /^warning {2}tls host: the certificate is not for tts\.example\.org/m,
    )
  })

  test.for([
    {
      name: 'a missing certificate',
      certificate: 'none.pem',
      key: 'tls.key',
      says: /none\.pem does not exist$/,
    },
    {
      name: 'a missing key',
      certificate: 'tls.pem',
      key: 'none.key',
      says: /none\.key does not exist$/,
    },
    {
      name: 'the key of another one',
      certificate: 'tls.pem',
      key: 'other.key',
      says: /the key .*other\.key is not that of the certificate .*tls\.pem$/,
    },
    {
      name: 'an encrypted key',
      certificate: 'tls.pem',
      key: 'locked.key',
      says: /locked\.key is encrypted/,
    },
    {
      name: 'an old encrypted key',
      certificate: 'tls.pem',
      key: 'old.key',
      says: /old\.key is encrypted/,
    },
    {
      name: 'no certificate',
      certificate: 'tls.key',
      key: 'tls.key',
      says: /must be a certificate in PEM$/,
    },
    {
      name: 'no key',
      certificate: 'tls.pem',
      key: 'tls.pem',
      says: /must be a private key in PEM$/,
    },
    { name: 'a directory', certificate: 'data', key: 'tls.key', says: /data is a directory$/ },
  ])('$name', async ({ certificate, key, says }) => {
    makeCertificate('tls')
    makeCertificate('other')
    mkdirSync(path('data'), { mode: 0o700 })
    openssl('pkey', '-in', 'tls.key', '-aes256', '-passout', 'pass:x', '-out', 'locked.key')
    openssl('ec', '-in', 'tls.key', '-aes256', '-passout', 'pass:x', '-out', 'old.key')
    const out = await check(listen(certificate, key))
    const [line = ''] = out.split('\n').filter((each) => each.startsWith('FAILED   tls: '))
    expect(line).toMatch(says)
    // The same words stop the service at its start.
    expect(() => readTlsFiles({ certificateFile: path(certificate), keyFile: path(key) })).toThrow(
      line.slice('FAILED   tls: '.length),
    )
  })
})

describe('addresses', () => {
  test('one that this machine does not have', async () => {
    const listen = { host: '192.0.2.1', trusted_proxies: ['10.0.0.1'] }
    expect(await check({ listen })).toMatch(
      /^FAILED {3}listener: cannot listen on 192\.0\.2\.1 port 8080: this machine does not have the address$/m,
    )
  })

  test('one of the MyProxy server', async () => {
    const myproxy = { listen: '192.0.2.1' }
    expect(await check({ voms: { host: 'tts.example.org' }, myproxy })).toMatch(
      /^FAILED {3}MyProxy server: cannot listen on 192\.0\.2\.1 port 7512: this machine does not have the address$/m,
    )
  })

  test.for([
    { code: 'EACCES', port: 443, state: 'warning', says: 'this user may not listen on port 443' },
    { code: 'EACCES', port: 1024, state: 'failed', says: 'port 1024: permission denied' },
    { code: 'ENOTFOUND', port: 443, state: 'failed', says: 'the host name does not exist' },
    { code: 'EPROTO', port: 8080, state: 'failed', says: 'port 8080: system error EPROTO' },
  ])('$code on port $port: $state', ({ code, port, state, says }) => {
    const [found] = listenChecks({ name: 'listener', host: 'tts.test', port }, { code })
    expect(found).toMatchObject({ check: 'listener', state })
    expect(found?.detail).toContain(says)
    expect(found?.remedy).toMatch(/^[A-Z].*\.$/)
  })

  test('one that is in use is in order: the service runs', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    expect(await check({ listen: { port } })).not.toContain('listener')
    server.close()
  })
})

describe('the data directory', () => {
  test('before it exists: nothing is created', async () => {
    expect(await check()).toMatch(/^ok {7}data directory: .*\/data does not exist yet/m)
    expect(readdirSync(directory)).toEqual(['tts.yaml'])
  })

  test('nothing is left behind', async () => {
    mkdirSync(path('data'), { mode: 0o700 })
    expect(await check()).toMatch(
      /^ok {7}data directory: .*, readable and writable by user id \d+$/m,
    )
    expect(readdirSync(path('data'))).toEqual([])
  })

  test('a file in its place', async () => {
    writeFileSync(path('data'), '')
    const says = `the data directory ${path('data')} cannot be used: it, or a part of its path, is not a directory`
    expect(await check()).toContain(
      `FAILED   data directory: ${says}\n         -> Set data_dir (TTS_DATA_DIR) to a directory.\n`,
    )
    // The same words stop the service at its start.
    await expect(prepareDataDirectory(path('data'))).rejects.toThrow(says)
  })

  test('what others can read or change', async () => {
    await check()
    expect((await runTts(['--config', path('tts.yaml'), 'ca', 'init'])).code).toBe(0)
    expect(await check()).not.toContain('files')
    chmodSync(path('data/ca/ca-key.pem'), 0o644)
    chmodSync(path('data'), 0o777)
    const out = await check()
    expect(out).toMatch(
      /^FAILED {3}files: .*\/ca-key\.pem can be used by other users \(mode 0644\)\n {9}-> Run chmod 600 /m,
    )
    expect(out).toMatch(
      /^FAILED {3}files: .*\/data\/? can be used by other users \(mode 0777\)\n {9}-> Run chmod 700 /m,
    )
    // Everybody may read the certificate.
    expect(out).not.toContain('ca.pem can be used')
  })

  test.for([
    { mib: 1024, state: undefined },
    { mib: 1023, state: 'warning' },
    { mib: 50, state: 'warning' },
    { mib: 49, state: 'failed' },
  ])('$mib MiB free: $state', ({ mib, state }) => {
    const [found] = spaceChecks('/data', mib)
    expect(found?.state).toBe(state)
    if (found) expect(found.detail).toBe(`${mib} MiB are free on the disk of /data`)
  })

  test('files of another user', async ({ skip }) => {
    skip(process.getuid?.() !== 0, 'only root can give files away')
    await check()
    expect((await runTts(['--config', path('tts.yaml'), 'ca', 'init'])).code).toBe(0)
    chownSync(path('data/ca/passphrase'), 61_003, 61_003)
    expect(await check()).toMatch(
      /^FAILED {3}files: .*\/passphrase belongs to user id 61003, not to this user \(user id 0\)$/m,
    )
  })
})

describe('clocks', () => {
  test.for([
    { seconds: 59, state: undefined, says: '' },
    { seconds: 60, state: 'warning', says: '60 seconds ahead of that of X' },
    { seconds: -299, state: 'warning', says: '299 seconds behind that of X' },
    { seconds: 300, state: 'failed', says: '300 seconds ahead of that of X' },
  ])('a difference of $seconds s', ({ seconds, state, says }) => {
    const theirs = new Date('2026-11-27T12:00:00Z')
    const ours = new Date(theirs.getTime() + seconds * 1000)
    const [found] = clockChecks('X', { theirs, ours })
    expect(found?.state).toBe(state)
    if (found) expect(found.detail).toBe(`the clock of this machine is ${says}`)
  })

  test('the clock of a provider is compared', async () => {
    const document = {
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['RS256'],
    }
    const server = createServer((request, response) => {
      response.setHeader('Date', new Date(Date.now() - 400_000).toUTCString())
      response.setHeader('Content-Type', 'application/json')
      const { port } = server.address() as AddressInfo
      const issuer = `http://127.0.0.1:${port}`
      const isKeys = request.url === '/jwks'
      response.end(
        JSON.stringify(isKeys ? { keys: [] } : { ...document, issuer, jwks_uri: `${issuer}/jwks` }),
      )
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const out = await check({ providers: { iam: { issuer, audiences: ['x'] } } })
    server.close()
    expect(out).toMatch(
      /^FAILED {3}clock: the clock of this machine is (399|400|401) seconds ahead of that of provider iam$/m,
    )
  })
})

const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'

describe.skipIf(missingPostgresPackage !== undefined && !required)('PostgreSQL', () => {
  test('is looked at before there is a CA, and nothing is created', async () => {
    const cluster = await startPostgres()
    try {
      const url = await cluster.createDatabase()
      const out = await check({ store: { url } })
      expect(out).toMatch(/^ok {7}database: postgresql \d+/m)
      expect(out).toMatch(/^warning {2}ca: there is no CA in /m)
      const late = await check({ store: { url } }, { now: () => new Date(Date.now() + 120_000) })
      expect(late).toMatch(/^warning {2}clock: .* 1(19|20) seconds ahead of that of the database$/m)
      const wrong = await check({ store: { url: url.replace(/tts_\d+/, 'nowhere') } })
      expect(wrong).toMatch(
        /^FAILED {3}database: the database is not available\n {9}-> PostgreSQL has no database of this name\./m,
      )
      expect(readdirSync(directory)).toEqual(['tts.yaml'])
    } finally {
      await cluster.stop()
    }
  })
})
