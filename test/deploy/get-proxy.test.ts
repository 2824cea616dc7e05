import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { toPem } from '../../ca/pem.ts'
import type { HeldProxy } from '../../src/certcache/proxy-engine.ts'
import { TtsError } from '../../src/base/errors.ts'
import {
  serverSettings,
  makeHeldProxy,
  standInEngine,
  testServer,
} from '../certcache/server-support.ts'
import { makeCredential } from '../support/authority.ts'
import { findProgram } from '../support/grid-tools.ts'
import {
  deployDirectory,
  getProxyScript,
  runShell,
  type ShellRun,
  shells,
  startShell,
} from './shells.ts'

const SECRET = `made-"for"-this\\run-${process.pid}-${Date.now().toString(36)}`

let proxy: HeldProxy
let root = ''
let directory = ''
let count = 0
const path = (name: string): string => join(directory, name)
beforeAll(async () => {
  proxy = await makeHeldProxy()
  root = mkdtempSync(join(tmpdir(), 'get-proxy-'))
})
afterAll(() => rmSync(root, { recursive: true, force: true }))

const ends: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const end of ends.splice(0)) await end()
})
/** A directory of its own for each test; `out/` is where the proxy goes. */
function fresh(): void {
  directory = join(root, String((count += 1)))
  mkdirSync(path('out'), { recursive: true })
}
const out = (): string => path('out/gwms_proxy')
const written = (): string => readFileSync(out(), 'utf8')
/** Whatever happens, nothing is left beside the proxy. */
const leftovers = (): readonly string[] =>
  readdirSync(path('out')).filter((name) => name !== 'gwms_proxy')

async function cacheServer(...given: Parameters<typeof testServer>) {
  const opened = await testServer(...given)
  ends.push(() => opened.close(0))
  return opened
}
async function server(listener: RequestListener): Promise<string> {
  const listening: Server = createServer(listener)
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve))
  ends.push(() => {
    listening.closeAllConnections()
    listening.close()
  })
  const address = listening.address()
  return `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`
}
const answers =
  (status: number, body: string | Buffer, headers: Record<string, string> = {}): RequestListener =>
  (_request, response) =>
    void response.writeHead(status, headers).end(body)

/** The certificate with another last byte of its signature. */
function forged(certificate: string): string {
  const der = new X509Certificate(certificate).raw
  der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1)
  return toPem('CERTIFICATE', der)
}

test('there are shells to try it in', () => {
  expect(shells.map(({ shell }) => shell)).toEqual(expect.arrayContaining(['dash', 'bash']))
})

const shellcheck = findProgram('shellcheck')
test.skipIf(shellcheck === undefined)('shellcheck has nothing to say', () => {
  const start = `${deployDirectory}/htcondor/start-glidein.sh`
  execFileSync(shellcheck ?? '', ['-s', 'sh', getProxyScript, start], { stdio: 'pipe' })
})

describe.for(shells)('in $shell', ({ words: shell }) => {
  type Env = Record<string, string>
  const environment = (url: string, more: Env = {}): Env => ({
    CERTCACHE_URL: url,
    CERTCACHE_WORKER_OUT: out(),
    CERTCACHE_WORKER_WAIT: '0',
    HOME: directory,
    ...more,
  })
  const get = (url: string, more: Env = {}, words: readonly string[] = []): Promise<ShellRun> =>
    runShell([...shell, getProxyScript, ...words], { env: environment(url, more), cwd: directory })
  /** A shell that runs this text. */
  const script = (text: string, env: Env): Promise<ShellRun> =>
    runShell([...shell, '-c', text, 'caller'], { env, cwd: directory })
  async function warm() {
    const engine = standInEngine()
    engine.put(proxy)
    return cacheServer(engine)
  }

  describe('a proxy that is there', () => {
    test('is written for its owner alone, and its path printed', async () => {
      fresh()
      const run = await get((await warm()).url)
      expect(run).toEqual({ code: 0, out: `${out()}\n`, err: '' })
      expect(written()).toBe(proxy.pem.toString())
      expect(statSync(out()).mode & 0o777).toBe(0o600)
      expect(leftovers()).toEqual([])
    })

    test.for([
      { name: 'with a slash at the end', url: (url: string) => `${url}/` },
      { name: 'as the old scripts name it', url: () => '', old: true },
      { name: 'by X509_USER_PROXY', url: (url: string) => url, variable: 'X509_USER_PROXY' },
    ])('$name', async ({ url, old, variable }) => {
      fresh()
      const { url: real } = await warm()
      const env: Env = old ? { PROXY_CACHE: real } : {}
      if (variable) Object.assign(env, { CERTCACHE_WORKER_OUT: '', [variable]: out() })
      expect((await get(url(real), env)).code).toBe(0)
      expect(written()).toBe(proxy.pem.toString())
    })

    test('under a relative name, in the directory that it is called in', async () => {
      fresh()
      const run = await get((await warm()).url, { CERTCACHE_WORKER_OUT: 'here' })
      expect({ code: run.code, out: run.out }).toEqual({ code: 0, out: 'here\n' })
      expect(readdirSync(directory).sort()).toEqual(['here', 'out'])
    })

    test('by its name, over a Unix socket', async () => {
      fresh()
      const engine = standInEngine(['gwms_proxy', 'limited'])
      engine.put({ ...proxy, name: 'limited' })
      const { url } = await cacheServer(engine, {
        settings: serverSettings({ listen: { socket: path('socket') } }),
      })
      expect((await get(url, { CERTCACHE_WORKER_NAME: 'limited' })).code).toBe(0)
      expect(written()).toBe(proxy.pem.toString())
    })

    test('the variables and files that steer curl elsewhere do not', async () => {
      fresh()
      writeFileSync(path('.curlrc'), `output = ${path('stolen')}\n`)
      const other = await server(answers(200, 'the proxy server'))
      const run = await get((await warm()).url, { http_proxy: other, ALL_PROXY: other })
      expect(run.code).toBe(0)
      expect(existsSync(path('stolen'))).toBe(false)
      expect(written()).toBe(proxy.pem.toString())
    })

    test('ten at once: one whole file, nothing left', async () => {
      fresh()
      const { url } = await warm()
      const runs = await Promise.all(Array.from({ length: 10 }, async () => get(url)))
      expect(runs.map(({ code }) => code)).toEqual(Array(10).fill(0))
      expect(written()).toBe(proxy.pem.toString())
      expect(leftovers()).toEqual([])
    })
  })

  test('503 at first: it comes again, and says why it waits', async () => {
    fresh()
    const engine = standInEngine()
    engine.fail(new TtsError('provider_unavailable', 'the identity provider does not answer'))
    const { url } = await cacheServer(engine)
    const started = startShell([...shell, getProxyScript], {
      env: environment(url, { CERTCACHE_WORKER_WAIT: '20' }),
    })
    await expect.poll(started.err, { timeout: 10_000 }).toContain('next try in')
    engine.put(proxy)
    const { code, err } = await started.ended
    expect(code).toBe(0)
    expect(err).toMatch(
      /^get-proxy: 503: No valid proxy is available: the identity provider does not answer\.; next try in [12] s\n/,
    )
    expect(written()).toBe(proxy.pem.toString())
  })

  describe('what fails leaves the old file as it was', () => {
    const half = () => proxy.pem.subarray(0, 2500)
    const lines = (from: string, to: string) => (): string => {
      const text = proxy.pem.toString()
      return text.replace(new RegExp(`${from}[^]*?${to}\n`), '')
    }
    test.for<{
      name: string
      listener: () => RequestListener
      env?: Env
      code: number
      says: string
      /** Seen without openssl too. */
      plainly?: boolean
    }>([
      {
        name: 'never a proxy',
        listener: () => answers(503, 'No valid proxy is available: the token has expired.\n'),
        code: 4,
        says: 'gave up after 0 seconds; 503: No valid proxy is available: the token has expired.',
        plainly: true,
      },
      {
        name: 'an error of the server',
        listener: () => answers(500, '<p>grid-proxy-info failed</p>'),
        code: 4,
        says: '500: <p>grid-proxy-info failed</p>',
      },
      {
        name: 'somewhere else',
        listener: () => answers(302, '', { Location: '/other' }),
        code: 4,
        says: '302: ',
      },
      {
        name: 'a refusal',
        listener: () => answers(401, 'The secret is wrong.\n'),
        code: 3,
        says: 'refused (401): The secret is wrong.',
      },
      {
        name: 'another refusal, that plays with the terminal',
        listener: () => answers(403, '\x1b]0;gotcha\x07No.\nsecond line\n'),
        code: 3,
        says: 'refused (403): ]0;gotchaNo.\n',
      },
      {
        name: 'no such proxy',
        listener: () => answers(404, 'None.\n'),
        code: 5,
        says: '(404): None.',
      },
      {
        name: 'garbage with 200',
        listener: () => answers(200, '<html>login</html>'),
        code: 6,
        says: 'not a complete proxy file',
        plainly: true,
      },
      {
        name: 'nothing with 200',
        listener: () => answers(200, ''),
        code: 6,
        says: 'not a complete proxy file',
      },
      {
        name: 'half a file with 200',
        listener: () => answers(200, half()),
        code: 6,
        says: 'not a complete proxy file',
        plainly: true,
      },
      {
        name: 'a file whose last byte is missing',
        listener: () => answers(200, proxy.pem.subarray(0, -2)),
        code: 6,
        says: 'not a complete proxy file',
      },
      {
        name: 'a connection that is cut in the middle',
        listener: () => (_request, response) => {
          response.writeHead(200, { 'Content-Length': String(proxy.pem.length) })
          response.write(half(), () => response.destroy())
        },
        code: 4,
        says: 'cannot be reached: ',
        plainly: true,
      },
      {
        name: 'a file without the key',
        listener: () => answers(200, lines('-----BEGIN RSA PRIVATE', 'PRIVATE KEY-----')()),
        code: 6,
        says: 'not a complete proxy file',
        plainly: true,
      },
      {
        name: 'a mebibyte',
        listener: () => answers(200, Buffer.alloc(1024 * 1024, 'x')),
        code: 6,
        says: 'far too long',
      },
      {
        name: 'an endless answer',
        listener: () => (_request, response) => {
          response.on('error', () => undefined)
          const more = (): void =>
            void (response.destroyed || response.write(Buffer.alloc(65_536, 'x'), more))
          more()
        },
        code: 6,
        says: 'far too long',
      },
      {
        name: 'a proxy that ends too soon',
        listener: () => answers(200, proxy.pem),
        env: { CERTCACHE_WORKER_VALID: '345600' },
        code: 6,
        says: 'certificate 1 cannot be read or expires within 345600 seconds',
      },
    ])('$name: $code', async ({ listener, env = {}, code, says, plainly }) => {
      const url = await server(listener())
      // A PATH without openssl.
      const bare = join(root, 'bare')
      if (!existsSync(bare)) {
        mkdirSync(bare)
        for (const name of [
          'sh',
          'curl',
          'sed',
          'grep',
          'mkdir',
          'rm',
          'mv',
          'chmod',
          'sleep',
          'date',
          'id',
          'wc',
        ])
          symlinkSync(findProgram(name) ?? '', join(bare, name))
        for (const { words } of shells) {
          const [name] = words
          if (name !== undefined) symlinkSync(findProgram(name) ?? '', join(bare, name))
        }
      }
      for (const more of [{}, ...(plainly ? [{ PATH: bare }] : [])] as Env[]) {
        fresh()
        writeFileSync(out(), 'the old file')
        const run = await get(url, { ...env, ...more })
        expect({ code: run.code, out: run.out, err: run.err }).toEqual({
          code,
          out: '',
          err: expect.stringContaining(says) as string,
        })
        expect(run.err).not.toMatch(/[^\n\x20-\x7e]|PRIVATE/)
        expect(written()).toBe('the old file')
        expect(leftovers()).toEqual([])
      }
    })

    test('parts that do not belong together: 6', async () => {
      const { text: other } = await makeCredential({ now: new Date(), endEntityKey: 'ec-p256' })
      const blocks = (text: string) => text.match(/-----BEGIN[^]*?-----END .*-----\n/g) ?? []
      const [certificate = '', key = '', ...above] = blocks(proxy.pem.toString())
      const ecKey = execFileSync('openssl', [
        'genpkey',
        '-algorithm',
        'EC',
        '-pkeyopt',
        'ec_paramgen_curve:P-256',
      ])
      for (const [body, says] of [
        [
          certificate + ecKey.toString() + above.join(''),
          'the private key does not match the certificate',
        ],
        [forged(certificate) + key + above.join(''), 'the certificates are not a chain'],
        [certificate + key + blocks(other).slice(2).join(''), 'the certificates are not a chain'],
      ] as const) {
        fresh()
        const run = await get(await server(answers(200, body)))
        expect(run.code).toBe(6)
        expect(run.err).toContain(says)
        expect(existsSync(out())).toBe(false)
      }
    })

    test('nobody listens: 4', async () => {
      fresh()
      const { code, err } = await get('http://127.0.0.1:9')
      expect(code).toBe(4)
      expect(err).toContain('cannot be reached')
    })
  })

  describe('the place of the file', () => {
    test('a file that all could read is replaced by a private one', async () => {
      fresh()
      writeFileSync(out(), 'old', { mode: 0o644 })
      chmodSync(out(), 0o666)
      expect((await get((await warm()).url)).code).toBe(0)
      expect(statSync(out()).mode & 0o777).toBe(0o600)
      expect(written()).toBe(proxy.pem.toString())
    })

    test.for([
      {
        name: 'a symbolic link',
        make: () => {
          writeFileSync(path('elsewhere'), 'mine')
          symlinkSync(path('elsewhere'), out())
        },
        says: 'is a symbolic link',
      },
      {
        name: 'a link to nothing',
        make: () => symlinkSync('/nonexistent/x', out()),
        says: 'is a symbolic link',
      },
      { name: 'a directory', make: () => mkdirSync(out()), says: 'is a directory' },
      {
        name: 'a directory that is not there',
        make: () => rmSync(path('out'), { recursive: true }),
        says: 'cannot be written',
      },
    ])('$name: 1, and nothing is asked', async ({ make, says }) => {
      fresh()
      let asked = 0
      const url = await server(() => (asked += 1))
      make()
      const run = await get(url)
      expect({ code: run.code, asked }).toEqual({ code: 1, asked: 0 })
      expect(run.err).toContain(says)
      if (existsSync(path('elsewhere')))
        expect(readFileSync(path('elsewhere'), 'utf8')).toBe('mine')
    })

    test('no room by ulimit: 1, the old file stays', async () => {
      fresh()
      writeFileSync(out(), 'the old file')
      const { url } = await warm()
      const run = await script(
        `ulimit -f 4 && exec ${shell.join(' ')} ${getProxyScript}`,
        environment(url),
      )
      expect(run.code).toBe(1)
      expect(run.err).toContain('cannot be written')
      expect(written()).toBe('the old file')
      expect(leftovers()).toEqual([])
    })

    test.skipIf(process.getuid?.() !== 0)('a full disk: 1, the old file stays', async () => {
      fresh()
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8k', 'tmpfs', path('out')])
      try {
        writeFileSync(out(), 'the old file')
        const run = await get((await warm()).url)
        expect(run.code).toBe(1)
        expect(run.err).toContain('cannot be written')
        expect(written()).toBe('the old file')
        expect(leftovers()).toEqual([])
      } finally {
        execFileSync('umount', [path('out')])
      }
    })

    test('names that somebody has laid out before are not used', async () => {
      fresh()
      // Of the process that is started next, as far as one can guess.
      const text = `for n in 1 2 3; do ln -s ${path('trap')} ${path('out')}/.get-proxy-$$-$n; done; exec ${shell.join(' ')} ${getProxyScript}`
      mkdirSync(path('trap'))
      const run = await script(text, environment((await warm()).url))
      expect(run.code).toBe(0)
      expect(readdirSync(path('trap'))).toEqual([])
      expect(leftovers()).toHaveLength(3)
    })
  })

  describe('the secret', () => {
    const secretFile = (text = `${SECRET}\n`) => {
      writeFileSync(path('secret'), text, { mode: 0o600 })
      return { CERTCACHE_SECRET_FILE: path('secret') }
    }
    const guarded = () => serverSettings({ access: { secret: SECRET } })

    test('is sent to this machine, and does not show in the list of processes', async () => {
      fresh()
      const engine = standInEngine()
      const { url } = await cacheServer(engine, { settings: guarded() })
      // Of whoever has no umask.
      const text = `umask 0; exec ${shell.join(' ')} ${getProxyScript}`
      const started = startShell([...shell, '-c', text], {
        env: environment(url, { ...secretFile(), CERTCACHE_WORKER_WAIT: '20' }),
      })
      await expect.poll(() => engine.obtained.count, { timeout: 10_000 }).toBe(1)
      const lines = readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .map((pid) => {
          try {
            return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          } catch {
            return ''
          }
        })
      const [room = ''] = readdirSync(path('out'))
      expect(statSync(path(`out/${room}`)).mode & 0o777).toBe(0o700)
      for (const name of readdirSync(path(`out/${room}`)))
        expect([name, statSync(path(`out/${room}/${name}`)).mode & 0o777]).toEqual([name, 0o600])
      engine.put(proxy)
      expect((await started.ended).code).toBe(0)
      expect(
        lines.filter((line) => line.includes('curl') && line.includes(path('out'))),
      ).not.toEqual([])
      expect(lines.filter((line) => line.includes(SECRET))).toEqual([])
      expect(written()).toBe(proxy.pem.toString())
    })

    test.for([
      { name: 'a wrong one', text: 'another-secret-of-nobody\n', code: 3 },
      { name: 'an empty file', text: '', code: 3 },
      {
        name: 'with blanks at the end of its line and more lines',
        text: `${SECRET} \r\nsecond\n`,
        code: 0,
      },
      { name: 'without an end of line', text: SECRET, code: 0 },
    ])('$name: $code', async ({ text, code }) => {
      fresh()
      const engine = standInEngine()
      engine.put(proxy)
      const { url } = await cacheServer(engine, { settings: guarded() })
      const run = await get(url, secretFile(text))
      expect(run.code).toBe(code)
      expect(run.err).not.toContain(SECRET)
    })

    test('in the URL, as old set-ups have it', async () => {
      fresh()
      const secret = 'of-letters-and-digits-1'
      const engine = standInEngine()
      engine.put(proxy)
      const { url } = await cacheServer(engine, {
        settings: serverSettings({ access: { secret } }),
      })
      const run = await get(url.replace('http://', `http://${secret}@`))
      expect(run).toEqual({ code: 0, out: `${out()}\n`, err: '' })
    })

    test.for([
      'http://192.0.2.1',
      'http://127.0.0.1@192.0.2.1',
      'http://127.0.0.1.example.invalid',
      'http://localhost.example.invalid',
      'http://localhost@192.0.2.1/',
      'http://192.0.2.1/localhost',
      'http://192.0.2.1?127.0.0.1',
      'http://192.0.2.1#@127.0.0.1',
    ])('is not sent in clear to %s', async (url) => {
      fresh()
      const run = await get(url, secretFile())
      expect(run.code).toBe(2)
      expect(run.err).toContain('the secret is not sent over plain http')
    })

    test('over TLS, with a CA and with a client certificate', async () => {
      fresh()
      const openssl = (words: string): void =>
        void execFileSync('openssl', words.split(' '), { cwd: directory, stdio: 'pipe' })
      openssl(
        'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x -addext subjectAltName=IP:127.0.0.1 -days 2 -keyout tls.key -out tls.pem',
      )
      const engine = standInEngine()
      engine.put(proxy)
      const { url } = await cacheServer(engine, {
        settings: serverSettings({
          listen: { tls_certificate_file: path('tls.pem'), tls_key_file: path('tls.key') },
          access: { mode: 'restricted', secret: SECRET, client_ca_file: path('tls.pem') },
        }),
      })
      const ca = { CERTCACHE_WORKER_CACERT: path('tls.pem') }
      expect((await get(url, { ...ca, ...secretFile() })).code).toBe(0)
      const client = {
        CERTCACHE_WORKER_CERT: path('tls.pem'),
        CERTCACHE_WORKER_KEY: path('tls.key'),
      }
      expect((await get(url, { ...ca, ...client })).code).toBe(0)
      expect((await get(url, ca)).code).toBe(3)
      const untrusted = await get(url, { ...secretFile(), CERTCACHE_WORKER_WAIT: '20' })
      expect(untrusted.code).toBe(4)
      expect(untrusted.err).toContain('is not trusted')
      expect((await get(url, { CERTCACHE_WORKER_CACERT: '/nonexistent' })).code).toBe(2)
    })
  })

  test.for<{ env: Env; says: string }>([
    { env: { CERTCACHE_URL: '' }, says: 'CERTCACHE_URL must be set' },
    { env: { CERTCACHE_URL: 'ftp://localhost' }, says: 'CERTCACHE_URL must begin with' },
    { env: { CERTCACHE_URL: 'localhost:8081' }, says: 'CERTCACHE_URL must begin with' },
    { env: { CERTCACHE_URL: 'unix:relative' }, says: 'CERTCACHE_URL must begin with' },
    { env: { CERTCACHE_URL: 'http://localhost"\noutput = x' }, says: 'quotes' },
    { env: { CERTCACHE_WORKER_WAIT: 'soon' }, says: 'CERTCACHE_WORKER_WAIT must be a number' },
    { env: { CERTCACHE_WORKER_VALID: '-1' }, says: 'CERTCACHE_WORKER_VALID must be a number' },
    { env: { CERTCACHE_WORKER_NAME: 'a/b' }, says: 'must be the name of a proxy' },
    {
      env: { CERTCACHE_SECRET_FILE: '/nonexistent' },
      says: 'CERTCACHE_SECRET_FILE: /nonexistent cannot be read',
    },
  ])('$env: 2', async ({ env, says }) => {
    fresh()
    const run = await get('http://127.0.0.1:9', env)
    expect({ code: run.code, out: run.out }).toEqual({ code: 2, out: '' })
    expect(run.err).toContain(says)
    expect(leftovers()).toEqual([])
  })

  test('SIGTERM in mid-wait: nothing is left', async () => {
    fresh()
    const engine = standInEngine()
    const { url } = await cacheServer(engine)
    // Its child, curl, is told too, as when a container stops.
    const started = startShell(['setsid', ...shell, getProxyScript], {
      env: environment(url, { CERTCACHE_WORKER_WAIT: '20' }),
    })
    await expect.poll(() => engine.obtained.count, { timeout: 10_000 }).toBe(1)
    process.kill(-started.pid, 'SIGTERM')
    expect(['SIGTERM', 143]).toContain((await started.ended).code)
    await expect.poll(() => readdirSync(path('out'))).toEqual([])
  })

  describe('with a command', () => {
    test('the command runs with the proxy, and its code is the code', async () => {
      fresh()
      const { url } = await warm()
      const words = ['sh', '-c', 'echo "$X509_USER_PROXY" "$1"; exit 7', 'x', 'two words']
      expect(await get(url, {}, words)).toEqual({ code: 7, out: `${out()} two words\n`, err: '' })
    })
    test('without a proxy it does not run', async () => {
      fresh()
      const run = await get('http://127.0.0.1:9', {}, ['echo', 'it ran'])
      expect({ code: run.code, out: run.out }).toEqual({ code: 4, out: '' })
    })
    test('--help prints what it takes', async () => {
      fresh()
      const run = await get('', {}, ['--help'])
      expect(run.code).toBe(0)
      expect(run.out).toMatch(
        /^get-proxy\.sh: fetches[^]*CERTCACHE_WORKER_WAIT[^]*6 the last answer/,
      )
    })
  })

  describe('sourced', () => {
    test('it sets X509_USER_PROXY and changes nothing else', async () => {
      fresh()
      const { url } = await warm()
      const state = `{ umask; set -o; printf '%s' "$IFS" | od -c; trap; pwd; echo "$*"; }`
      const text = `set -uC; IFS=:; umask 027; trap 'echo bye' EXIT; set -- a b
${state} >before; . ${getProxyScript}; code=$?; ${state} >after
cmp before after && echo "$code:$X509_USER_PROXY"; command -v certcache_get_proxy || sh -c 'echo "$X509_USER_PROXY"'`
      const run = await script(text, environment(url))
      expect(run).toEqual({ code: 0, out: `0:${out()}\n${out()}\nbye\n`, err: '' })
    })

    test('in vain: its code is returned, the shell goes on, X509_USER_PROXY stays', async () => {
      fresh()
      const env = environment('http://127.0.0.1:9', { X509_USER_PROXY: '/the/old/one' })
      const text = `. ${getProxyScript}; echo "$? $X509_USER_PROXY"`
      expect((await script(text, env)).out).toBe('4 /the/old/one\n')
      const condition = `if . ${getProxyScript}; then echo yes; else echo no; fi`
      expect((await script(condition, env)).out).toBe('no\n')
    })
  })
})
