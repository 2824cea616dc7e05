/** MyProxy's own clients, unmodified, at the MyProxy server of the service. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { access, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { soundCsr } from '../api/support.ts'
import { describeWithTools, findProgram, runTool, type ToolRun } from '../support/grid-tools.ts'
import { connectMyProxy, type MyProxyService, startMyProxyService } from '../support/myproxy.ts'

const SUBJECT = '/C=EU/O=INDIGO/OU=TTS/CN=9e499e0e-ce25-485b-9353-d19726fd287a@indigo-iam-test'

let service: MyProxyService
let directory = ''
beforeAll(async () => {
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  service = await startMyProxyService({
    configuration: {
      ca: { key_kind: 'rsa-4096' },
      voms: { host: 'localhost', vos: { cms: { provider: 'iam', port: 15_000 } } },
      services: {
        proxy: { authz: { allow } },
        pilot: {
          plugin: 'x509-proxy',
          authz: { allow },
          maximum_lifetime_seconds: 3600,
          default_lifetime_seconds: 3600,
        },
        claims: { plugin: 'info', authz: { allow } },
        x509: {
          authz: { allow },
          maximum_lifetime_seconds: 86_400,
          default_lifetime_seconds: 7200,
        },
      },
      delegations: { renewal_by_possession: { enabled: true } },
    },
  })
})
afterAll(async () => service.stop())
/** Each test has a home of its own. */
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tts-myproxy-'))
  const made = directory
  onTestFinished(async () => rm(made, { recursive: true, force: true }))
})

const path = (name: string): string => join(directory, name)

/** Without this variable the clients want the name that the address of the server has in the DNS. */
const environment = (): Record<string, string> => ({
  PATH: process.env['PATH'] ?? '',
  HOME: directory,
  X509_USER_PROXY: path('proxy'),
  X509_CERT_DIR: path('certificates'),
  GLOBUS_GSSAPI_NAME_COMPATIBILITY: 'STRICT_RFC2818',
})

/** Runs a client with a passphrase on its standard input. */
async function run(program: string, options: string, passphrase = ''): Promise<ToolRun> {
  const found = findProgram(program) ?? program
  const child = spawn(found, options.split(' ').filter(Boolean), { env: environment() })
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => (output += piece.toString()))
  child.stdin.on('error', () => undefined)
  child.stdin.end(passphrase === '' ? '' : `${passphrase}\n`)
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000)
  const [status] = (await once(child, 'close')) as [number | null]
  clearTimeout(timer)
  return { status: status ?? -1, output }
}

const at = (port = service.port): string => `-s localhost -p ${port}`
const logon = async (options: string, passphrase?: string): Promise<ToolRun> =>
  run('myproxy-logon', `${at()} -l me ${options}`, passphrase)
const trust = async (): Promise<void> => {
  expect(await run('myproxy-get-trustroots', `${at()} -b`)).toMatchObject({ status: 0 })
}
const info = async (...args: readonly string[]): Promise<string> =>
  (await runTool('grid-proxy-info', ['-file', path('proxy'), ...args], environment())).output.trim()

describeWithTools('MyProxy clients', ['myproxy', 'globus-proxy-utils', 'openssl'], () => {
  describe('myproxy-logon', () => {
    beforeEach(trust)

    test('gets a certificate for its own key by a token', async () => {
      const { status, output } = await logon('-S', service.token())
      expect(output).toBe(`A credential has been received for user me in ${path('proxy')}.\n`)
      expect(status).toBe(0)
      expect(await info('-subject')).toBe(SUBJECT)
      expect(await info('-type')).toBe('end entity credential')
      expect(await info('-timeleft')).toMatch(/^(432|431)\d\d$/)
      const args = ['verify', '-crl_check', '-CApath', path('certificates'), path('proxy')]
      expect(await runTool('openssl', args)).toMatchObject({ status: 0 })
    })

    test('gets one that grid-proxy-init and voms-proxy-info can use', async () => {
      await logon('-S', service.token())
      const init = `-cert ${path('proxy')} -key ${path('proxy')} -out ${path('further')} -verify`
      expect((await run('grid-proxy-init', init)).output).toContain('Proxy Verify OK')
      const shown = await runTool('voms-proxy-info2', ['-file', path('further')], environment())
      expect(shown.output).toContain(`issuer    : ${SUBJECT}`)
    })

    test('gets one by a one-time code, once', async () => {
      const expiresAt = new Date(Date.now() + 3_600_000)
      const { codes } = service.running.service
      const { code } = await codes.make({ text: service.token(), expiresAt })
      expect(await logon('-S', code)).toMatchObject({ status: 0 })
      expect(await info('-subject')).toBe(SUBJECT)
      const { status, output } = await logon('-S', code)
      expect(status).toBe(1)
      expect(output).toContain(
        'ERROR from myproxy-server:\nthe one-time code is unknown, was used before, or has expired',
      )
    })

    test('gets trust anchors beside it', async () => {
      await rm(path('certificates/tts-ca.info'))
      const { output } = await logon('-S -T', service.token())
      expect(output).toContain('Trust roots have been installed')
      await access(path('certificates/tts-ca.info'))
    })

    test('gets a proxy from the service that -k names', async () => {
      expect(await logon('-S -k proxy', service.token())).toMatchObject({ status: 0 })
      expect(await info('-type')).toBe('RFC 3820 compliant impersonation proxy')
      expect(await info('-identity')).toBe(SUBJECT)
      const args = ['-allow_proxy_certs', '-CApath', path('certificates')]
      const chain = ['-untrusted', path('proxy'), path('proxy')]
      const verified = await runTool('openssl', ['verify', ...args, ...chain])
      expect(verified).toMatchObject({ status: 0 })
    })

    test('gets a proxy with VOMS attributes from here, and runs no voms-proxy-init', async () => {
      const token = service.token('alice', { groups: ['cms', 'cms/production'] })
      const { status, output } = await logon('-S -k proxy -m cms', token)
      expect(status, output).toBe(0)
      const shown = await runTool('openssl', ['x509', '-in', path('proxy'), '-noout', '-text'])
      expect(shown.output).toContain('1.3.6.1.4.1.8005.100.100.5')
      expect(output).not.toContain('Contacting')
    })

    test('gets a life as asked for, or the longest there is', async () => {
      await logon('-S -t 1', service.token())
      expect(await info('-timeleft')).toMatch(/^(36|35)\d\d$/)
      await logon('-S -t 1000', service.token())
      expect(await info('-timeleft')).toMatch(/^86[34]\d\d$/)
      await logon('-S -t 0', service.token())
      expect(await info('-timeleft')).toMatch(/^(72|71)\d\d$/)
    })

    test('gets a certificate for a request that somebody else made', async () => {
      const files = ['-keyout', path('key.pem'), '-out', path('csr.pem')]
      const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
      await runTool('openssl', ['req', '-new', ...key, ...files, '-subj', '/CN=x'], {
        OPENSSL_CONF: '/etc/ssl/openssl.cnf',
      })
      const { status, output } = await logon(`-S -Q ${path('csr.pem')}`, service.token())
      expect(status, output).toBe(0)
      const text = await readFile(path('proxy'), 'utf8')
      expect(text).not.toContain('PRIVATE KEY')
      const shown = await runTool('openssl', ['x509', '-in', path('proxy'), '-noout', '-text'])
      expect(shown.output).toContain('P-256')
    })

    test('with a proxy of ours gets the next one, and trust anchors', async () => {
      await logon('-S -k proxy', service.token())
      const before = await readFile(path('proxy'), 'utf8')
      await rm(path('certificates/tts-ca.info'))
      const { status, output } = await logon('-n -T')
      expect(status, output).toBe(0)
      // 12 hours, as the client asks: that other services give less does not matter.
      expect(await info('-timeleft')).toMatch(/^4[23]\d{3}$/)
      await access(path('certificates/tts-ca.info'))
      expect(await readFile(path('proxy'), 'utf8')).not.toBe(before)
      expect(await info('-identity')).toBe(SUBJECT)
    })

    test('only authenticates with -N', async () => {
      expect(await logon('-S -N', service.token())).toMatchObject({ status: 0 })
      await expect(access(path('proxy'))).rejects.toThrow('ENOENT')
    })

    test.for<readonly [string, string, () => string, string]>([
      ['a wrong code', '-S', () => 'AAAA-BBBB-CCCC', 'the one-time code is unknown'],
      ['a token for others', '-S', () => service.token('alice', { aud: 'x' }), 'audience'],
      [
        'an ended token',
        '-S',
        () => service.token('alice', { exp: Math.floor(Date.now() / 1000) - 600 }),
        'expired',
      ],
      [
        'a user whom the rules do not allow',
        '-S',
        () => service.token('bob'),
        'no rule of this service allows this user (claims checked: groups)',
      ],
      ['an unknown service', '-S -k x', () => service.token(), 'no service has the name that'],
      [
        'no passphrase',
        '-n',
        () => '',
        'there was no passphrase: it must be an access token, or a one-time code from http://',
      ],
      [
        'a token that it cuts without a word',
        '-S',
        () => service.token('alice', { pad: 'x'.repeat(1000) }),
        'has 1024 characters, after which myproxy-logon cuts longer tokens: use a shorter token, or a one-time code from http://',
      ],
    ])('says why it gets nothing: %s', async ([, options, passphrase, expected]) => {
      const { status, output } = await logon(options, passphrase())
      expect(status).toBe(1)
      expect(output).toContain('ERROR from myproxy-server:')
      expect(output).toContain(expected)
      await expect(access(path('proxy'))).rejects.toThrow('ENOENT')
    })
  })

  test('without trust anchors, -b takes the CA from the server, and -n -N -T all files', async () => {
    const untrusting = await logon('-S', service.token())
    expect(untrusting.status).toBe(1)
    const { status, output } = await logon('-b -n -N -T')
    expect(status, output).toBe(0)
    const files = await readdir(path('certificates'))
    expect(files).toEqual(
      expect.arrayContaining(['tts-ca.pem', 'tts-ca.signing_policy', 'tts-ca.namespaces']),
    )
    expect(files.filter((name) => /^[0-9a-f]{8}\.r0$/.test(name))).toHaveLength(2)
    expect(await logon('-S', service.token())).toMatchObject({ status: 0 })
  })

  test('trust anchors arrive over a network that cuts them into packets', async () => {
    await trust()
    for (let count = 0; count < 50; count += 1) await issueAndRevoke()
    const port = await slowNetwork(service.port)
    const client = await connectMyProxy(service.port)
    client.send('VERSION=MYPROXYv2\nCOMMAND=7\n\0')
    // More than one TLS record, of which clients could take the first one for all.
    expect((await client.all()).length).toBeGreaterThan(16_384)
    for (const _ of [1, 2, 3]) {
      const { status, output } = await run('myproxy-get-trustroots', at(port))
      expect(status, output).toBe(0)
    }
  })

  test('myproxy-info lists what its holder was issued', async () => {
    await trust()
    const token = service.token('bob', { groups: ['cms'] })
    await logon('-S', token)
    for (let count = 0; count < 25; count += 1)
      await fetch(`${service.url}/api/v2/iam/credential`, {
        method: 'POST',
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
        body: JSON.stringify({ service_id: 'claims', params: {} }),
      })
    const { status, output } = await run('myproxy-info', `${at()} -l me`)
    expect(status, output).toBe(0)
    expect(output).toMatch(
      /^username: me\nowner: \/C=EU\/O=INDIGO\/OU=TTS\/CN=.*\n {2}name: x509-[0-9a-f]{8}\n {2}timeleft: 1[12]:/,
    )
  })

  test.for(['myproxy-destroy', 'myproxy-init', 'myproxy-store', 'myproxy-change-pass-phrase'])(
    '%s is told that nothing is stored',
    async (program) => {
      await trust()
      await logon('-S', service.token())
      const options: Readonly<Record<string, string>> = {
        'myproxy-init': `-n -C ${path('proxy')} -y ${path('proxy')}`,
        'myproxy-store': `-c ${path('proxy')} -y ${path('proxy')}`,
        'myproxy-change-pass-phrase': '-S',
      }
      const passphrases = 'secret-1\nsecret-2\nsecret-2'
      const { status, output } = await run(
        program,
        `${at()} -l me ${options[program] ?? ''}`,
        passphrases,
      )
      expect(status).toBe(1)
      expect(output).toContain('this server stores no credentials')
    },
  )
})

/** Makes the CRL longer. */
async function issueAndRevoke(): Promise<void> {
  const headers = {
    authorization: `Bearer ${service.token()}`,
    'content-type': 'application/pkcs10',
  }
  const url = `${service.url}/v1/certificates`
  const response = await fetch(url, { method: 'POST', headers, body: await soundCsr() })
  const id = response.headers.get('tts-credential-id') ?? ''
  const revoked = await fetch(`${service.url}/v1/credentials/${id}`, { method: 'DELETE', headers })
  expect(revoked.status).toBe(200)
}

/** Forwards to a port in pieces as large as packets, one after the other. */
async function slowNetwork(to: number): Promise<number> {
  const sockets: Socket[] = []
  const server = createServer((client) => {
    const upstream = connect(to, '127.0.0.1')
    sockets.push(client, upstream)
    for (const socket of [client, upstream]) socket.on('error', () => undefined)
    client.setNoDelay(true).pipe(upstream)
    void (async () => {
      for await (const piece of upstream as AsyncIterable<Buffer>)
        for (let from = 0; from < piece.length; from += 1448) {
          client.write(piece.subarray(from, from + 1448))
          await new Promise((resolve) => setTimeout(resolve, 2))
        }
      client.end()
    })().catch(() => undefined)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}
