/** Proxy and CAs in every program, each as a process: what fails without a setting, and works with it. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { startProgram } from '../support/programs.ts'
import {
  certcache,
  initialise,
  ISSUER,
  run,
  SERVICE,
  serviceConfiguration,
  type Site,
  startSite,
  tts,
} from './site.ts'

let site: Site
beforeAll(async () => {
  site = await startSite()
  await initialise(site)
})
afterAll(async () => site.end())

/** A way to name the CA: environment variables and the section `tls` of the settings. */
interface Naming {
  readonly env: () => Record<string, string>
  readonly tls?: () => Record<string, string>
}
const namings: Readonly<Record<string, Naming>> = {
  nothing: { env: () => ({}) },
  SSL_CERT_FILE: { env: () => ({ SSL_CERT_FILE: site.ca.file }) },
  SSL_CERT_DIR: { env: () => ({ SSL_CERT_DIR: `/nonexistent:${site.ca.gridDirectory}` }) },
  X509_CERT_DIR: { env: () => ({ X509_CERT_DIR: site.ca.gridDirectory }) },
  'tls.ca_file': { env: () => ({}), tls: () => ({ ca_file: 'ca.pem' }) },
  'tls.ca_directory': { env: () => ({}), tls: () => ({ ca_directory: 'certificates' }) },
}

interface Outcome {
  readonly ok: boolean
  readonly text: string
}
interface Program {
  /** Runs it with the section `tls` and the environment. */
  readonly attempt: (tls: object, env: Record<string, string>) => Promise<Outcome>
  /** The namings of the CA that work. */
  readonly trusts: readonly string[]
  /** Namings that the program has no settings file for. */
  readonly without?: readonly string[]
}

async function check(tls: object, env: Record<string, string>): Promise<Outcome> {
  const configuration = site.settings('check.yaml', serviceConfiguration(site, tls))
  const { out, err } = await run(site, [tts, 'check', '--config', configuration], env)
  return { ok: out.includes(`discovery and keys of ${ISSUER} are available`), text: out + err }
}

/** A token is verified with keys that the service fetches from the provider. */
async function serve(tls: object, env: Record<string, string>): Promise<Outcome> {
  const configuration = site.settings('serve.yaml', serviceConfiguration(site, tls))
  const started = startProgram(tts, ['serve', '--config', configuration], { env })
  try {
    const [, url = ''] = await started.says(/"service\.started","url":"(http:[^"]+)"/)
    const response = await fetch(`${url}/v1/proxies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${site.token()}` },
    })
    const text = await response.text()
    // The answer may come before the reason is in the log.
    if (response.status !== 200) await started.says(/provider\.unavailable/)
    return { ok: response.status === 200, text: text + started.stdout() + started.stderr() }
  } finally {
    started.child.kill('SIGKILL')
    await started.ended
  }
}

async function probe(_tls: object, env: Record<string, string>): Promise<Outcome> {
  const { code, out, err } = await run(site, [tts, 'provider', 'probe', ISSUER], env)
  return { ok: code === 0, text: out + err }
}

async function proxyInit(_tls: object, env: Record<string, string>): Promise<Outcome> {
  const out = site.path('proxy')
  const words = ['proxy', 'init', '--url', SERVICE, '--out', out, '--key-type', 'ec-p256']
  const token = { BEARER_TOKEN: await site.world.logIn() }
  const { code, err } = await run(site, [tts, ...words], { ...token, ...env })
  return { ok: code === 0, text: err }
}

/** The provider is asked by the refresh helper, the service by certcache itself. */
async function refresh(tls: object, env: Record<string, string>): Promise<Outcome> {
  const state = site.path('state')
  rmSync(state, { recursive: true, force: true })
  const settings = site.settings('certcache.yaml', {
    service: { url: SERVICE },
    source: {
      ...site.world.ownClient,
      kind: 'refresh',
      issuer: ISSUER,
      refresh_token: await site.refreshToken(),
    },
    state: { directory: state },
    tls,
  })
  const { code, out, err } = await run(site, [certcache, 'refresh', '--config', settings], env)
  const made = code === 0 && parseProxyFile(readFileSync(join(state, 'gwms_proxy'), 'utf8'))
  return { ok: made !== false, text: out + err }
}

const configured = ['SSL_CERT_FILE', 'SSL_CERT_DIR', 'tls.ca_file', 'tls.ca_directory']
const programs: Readonly<Record<string, Program>> = {
  'tts check': { attempt: check, trusts: configured },
  'tts serve': { attempt: serve, trusts: configured },
  'tts provider probe': {
    attempt: probe,
    trusts: ['SSL_CERT_FILE', 'SSL_CERT_DIR'],
    without: ['tls.ca_file', 'tls.ca_directory'],
  },
  'tts proxy init': {
    attempt: proxyInit,
    trusts: ['SSL_CERT_FILE', 'SSL_CERT_DIR', 'X509_CERT_DIR'],
    without: ['tls.ca_file', 'tls.ca_directory'],
  },
  'certcache refresh': { attempt: refresh, trusts: [...configured, 'X509_CERT_DIR'] },
}

describe.for(Object.entries(programs))('%s', ([, { attempt, trusts, without = [] }]) => {
  const cases = Object.entries(namings).filter(([name]) => !without.includes(name))
  test.for(cases)('through the proxy, the CA named by %s', async ([name, { env, tls }]) => {
    const { ok, text } = await attempt(tls?.() ?? {}, { ...site.proxied, ...env() })
    expect({ ok, text }).toMatchObject({ ok: trusts.includes(name) })
    expect(text).not.toContain('s3cret-of-the-proxy')
    if (!ok) expect(text).toMatch(/trusted/)
  })

  test('without the proxy no name resolves', async () => {
    const { ok, text } = await attempt({}, { SSL_CERT_FILE: site.ca.file })
    expect(ok).toBe(false)
    expect(text).toMatch(/does not exist|cannot be resolved/)
  })

  test('in lower case', async () => {
    const { HTTPS_PROXY: url } = site.proxied
    const env = { https_proxy: url, HTTPS_PROXY: 'http://127.0.0.1:1' }
    expect(await attempt({}, { ...env, SSL_CERT_FILE: site.ca.file })).toMatchObject({ ok: true })
  })

  const failures: readonly (readonly [string, () => string, RegExp])[] = [
    [
      'wants a password',
      () => `127.0.0.1:${site.proxy.port}`,
      /the proxy 127\.0\.0\.1:\d+ does not connect to \w+\.example\.org \(HTTP 407\).*Put the right user and password of the proxy into HTTPS_PROXY/s,
    ],
    [
      'is down',
      () => 'http://worker:s3cret-of-the-proxy@127.0.0.1:1',
      /the proxy 127\.0\.0\.1:1 refuses connections.*Check HTTPS_PROXY and the proxy, or add \w+\.example\.org to NO_PROXY/s,
    ],
  ]
  test.for(failures)('a proxy that %s is named', async ([, proxy, expected]) => {
    const env = { HTTPS_PROXY: proxy(), SSL_CERT_FILE: site.ca.file }
    const { ok, text } = await attempt({}, env)
    expect(ok).toBe(false)
    expect(text).toMatch(expected)
    expect(text).not.toContain('s3cret-of-the-proxy')
  })

  test('NO_PROXY makes it connect directly', async () => {
    const before = site.proxy.targets.length
    const env = { ...site.proxied, NO_PROXY: 'example.org', SSL_CERT_FILE: site.ca.file }
    const { ok, text } = await attempt({}, env)
    expect(ok).toBe(false)
    expect(text).toMatch(/does not exist|cannot be resolved/)
    expect(site.proxy.targets).toHaveLength(before)
  })
})

describe('certcache status', () => {
  const status = async (env: Record<string, string>) =>
    run(site, [certcache, 'status', '--url', SERVICE], env)
  const reached = 'does not answer like a certcache (HTTP 404)'

  test.for(['SSL_CERT_FILE', 'SSL_CERT_DIR', 'X509_CERT_DIR'])(
    'through the proxy, the CA named by %s',
    async (name) => {
      const { out, err } = await status({ ...site.proxied, ...namings[name]?.env() })
      expect(out + err).toContain(reached)
    },
  )

  test('fails without the CA, without the proxy, and with a proxy that is down', async () => {
    const { out: untrusted } = await status({ ...site.proxied })
    expect(untrusted).toMatch(
      /tts\.example\.org does not answer: its certificate is not from a trusted CA/,
    )
    const ca = { SSL_CERT_FILE: site.ca.file }
    expect((await status(ca)).out).toMatch(
      /does not answer: the host (does not exist|name cannot be resolved at the moment)/,
    )
    const { out: down } = await status({ ...ca, HTTPS_PROXY: 'http://127.0.0.1:1' })
    expect(down).toContain('does not answer: the proxy 127.0.0.1:1 refuses connections')
  })

  test('the certcache of this machine is reached without the proxy', async () => {
    const { keyFile, certFile } = site.ca.issue('127.0.0.2')
    const settings = site.settings('status.yaml', {
      service: { url: site.world.serviceUrl },
      listen: {
        host: '127.0.0.2',
        port: 0,
        tls_certificate_file: certFile,
        tls_key_file: keyFile,
      },
      access: { secret: 'secret-of-this-certcache' },
      state: { directory: site.path('status-state') },
    })
    const env = { HTTPS_PROXY: 'http://127.0.0.1:1', BEARER_TOKEN: await site.world.logIn() }
    const started = startProgram(certcache, ['serve', '--config', settings], { env })
    try {
      const [, port = ''] = await started.says(/"url":"https:\/\/127\.0\.0\.2:(\d+)/)
      const asked = { ...env, CERTCACHE_LISTEN__PORT: port }
      const { out, err } = await run(site, [certcache, 'status', '--config', settings], asked)
      expect(out + err).toContain(`certcache at https://127.0.0.2:${port}`)
      expect(out + err).not.toContain('the state in')
    } finally {
      started.child.kill('SIGKILL')
      await started.ended
    }
  })
})

describe('broken settings', () => {
  test('a broken file in a directory is a warning that names it', async () => {
    const directory = site.path('broken')
    mkdirSync(directory)
    writeFileSync(join(directory, 'good.pem'), readFileSync(site.ca.file))
    const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
    writeFileSync(join(directory, 'bad.0'), broken)
    const result = await proxyInit({}, { ...site.proxied, X509_CERT_DIR: directory })
    expect(result.ok).toBe(true)
    expect(result.text).toContain(
      `tts: warning: X509_CERT_DIR: ${join(directory, 'bad.0')} holds a certificate that cannot be parsed`,
    )
  })

  test.for([
    [
      'ca_file',
      'missing.pem',
      /tls\.ca_file: .*missing\.pem cannot be read: the file or its directory does not exist/,
    ],
    [
      'ca_directory',
      'missing',
      /tls\.ca_directory: .*missing cannot be read: the file or its directory does not exist/,
    ],
  ] as const)('tls.%s that cannot be read is an error', async ([key, value, expected]) => {
    const configuration = site.settings('bad.yaml', serviceConfiguration(site, { [key]: value }))
    const { code, err } = await run(site, [tts, 'check', '--config', configuration], {})
    expect(code).toBe(2)
    expect(err).toMatch(expected)
  })

  test('a proxy URL that cannot be used is an error without its password', async () => {
    const env = { HTTPS_PROXY: 'socks5://worker:s3cret-of-the-proxy@127.0.0.1:1080' }
    const { ok, text } = await proxyInit({}, env)
    expect(ok).toBe(false)
    expect(text).toContain(
      'HTTPS_PROXY: must be the URL of an HTTP proxy, such as http://proxy.example.org:3128',
    )
    expect(text).not.toContain('s3cret-of-the-proxy')
  })
})
