/** The MyProxy server, byte by byte: what it issues, and what it answers to everything else. */
import { X509Certificate } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { once } from 'node:events'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pino } from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { createMyProxyApp, type MyProxyApp } from '../../../src/api/myproxy/app.ts'
import { listenMyProxy } from '../../../src/api/myproxy/listen.ts'
import type { TrustAnchorFile } from '../../../ca/trust-anchors.ts'
import { TtsError } from '../../../src/base/errors.ts'
import { createRequestsInFlight } from '../../../src/http/requests-in-flight.ts'
import { oncePerCrl } from '../../../src/domain/revocation/trust-anchors.ts'
import { loadConfiguration } from '../../../src/config/load.ts'
import {
  connectMyProxy,
  type MyProxyService,
  myproxyRequest,
  OK,
  refusal,
  startMyProxyService,
} from '../../support/myproxy.ts'
import { builtCsr, greedyCsr, rsaCsr } from '../csr-cases.ts'
import { derOf, everythingSaid, soundCsr, wideLimits } from '../support.ts'

const STORES_NOTHING =
  'this server stores no credentials; it issues one for an access token (myproxy-logon)'
const OFF = 'the service you tried to use is disabled'
const NO_CODE = 'the one-time code is unknown, was used before, or has expired: get a new one'

let service: MyProxyService
let now = Date.now()
beforeAll(async () => {
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  service = await startMyProxyService({
    now: () => new Date(now),
    configuration: {
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: wideLimits,
      services: {
        proxy: { authz: { allow } },
        x509: {
          authz: { allow },
          maximum_lifetime_seconds: 36_000,
          default_lifetime_seconds: 7200,
        },
        off: { plugin: 'x509-certificate', enabled: false, authz: { allow } },
        who: { plugin: 'info', authz: { allow } },
      },
    },
  })
})
afterAll(async () => service.stop())
beforeEach(() => {
  // Forwards only: the audit trail is in the order of its times.
  now = Math.max(now + 1, Date.now())
})

const hasOk = (bytes: Buffer): boolean => bytes.includes(OK)

/** What a client got: the first response, the certificates, and the rest. */
interface Got {
  readonly first: string
  readonly certificates: readonly X509Certificate[]
  readonly last: string
}

async function get(request: string, csr: Buffer, port = service.port): Promise<Got> {
  const client = await connectMyProxy(port)
  client.send('0')
  client.send(request)
  const first = await client.received((bytes) => bytes.includes(0))
  client.send(csr)
  const rest = (await client.all()).subarray(first.length)
  const certificates: X509Certificate[] = []
  let at = 1
  for (let count = rest[0] ?? 0; count > 0 && count < 10; count -= 1) {
    const length = rest.readUInt16BE(at + 2) + 4
    certificates.push(new X509Certificate(rest.subarray(at, at + length)))
    at += length
  }
  const last = certificates.length === 0 ? rest : rest.subarray(at)
  return { first: first.toString(), certificates, last: last.toString() }
}

/** Sends bytes and returns all that comes back. */
async function exchange(sent: string | Buffer, port = service.port): Promise<string> {
  const client = await connectMyProxy(port)
  client.send(sent)
  return (await client.all()).toString()
}

const lifeOf = ({ validToDate }: X509Certificate): number =>
  Math.round((validToDate.getTime() - now) / 1000)

describe('GET', () => {
  test('gives a certificate for the key of the CSR, and records it', async () => {
    const got = await get(myproxyRequest(service.token()), derOf(await soundCsr()))
    expect(got).toMatchObject({ first: OK, last: OK })
    const [certificate] = got.certificates
    expect(certificate?.subject).toContain('CN=9e499e0e-ce25-485b-9353-d19726fd287a')
    expect(certificate?.issuer).toContain('CN=TTS-CA')
    const [line] = await service.running.service.store.listAudit({ event: 'credential.issued' })
    expect(line).toMatchObject({ serviceId: 'x509', outcome: 'allowed' })
    expect(line?.origin.interface).toBe('myproxy')
    const [view] = await service.running.service.store.listCredentials({ limit: 1 })
    expect(view?.certificates[0]?.serial).toBe(certificate?.serialNumber.toLowerCase())
  })

  test.for<readonly [string, number]>([
    ['0', 7200],
    ['600', 600],
    ['43200', 36_000],
    ['99999999', 36_000],
  ])('with the lifetime %s gives one of %i seconds', async ([wanted, seconds]) => {
    const request = myproxyRequest(service.token(), { LIFETIME: wanted })
    const { certificates } = await get(request, derOf(await soundCsr()))
    expect(Math.abs(lifeOf(certificates[0]!) - seconds)).toBeLessThan(5)
  })

  test('takes RSA keys, and nothing but the key of a CSR', async () => {
    const rsa = await get(myproxyRequest(service.token()), derOf(rsaCsr(2048)))
    expect(rsa.certificates[0]?.publicKey.asymmetricKeyType).toBe('rsa')
    const greedy = await get(myproxyRequest(service.token()), derOf(greedyCsr()))
    expect(greedy.certificates[0]?.ca).toBe(false)
    expect(greedy.certificates[0]?.subjectAltName).not.toContain('evil')
  })

  test('of the service proxy gives a proxy with its chain', async () => {
    const request = myproxyRequest(service.token(), { CRED_NAME: 'proxy' })
    const { certificates, last } = await get(request, derOf(await soundCsr()))
    expect(last).toBe(OK)
    const [proxy, endEntity, ...more] = certificates
    expect(more).toEqual([])
    expect(proxy?.issuer).toBe(endEntity?.subject)
    expect(proxy?.verify(endEntity!.publicKey)).toBe(true)
  })

  test('ends without a NUL where the client sends nothing more', async () => {
    const request = myproxyRequest(service.token()).slice(0, -1)
    const { certificates } = await get(request, derOf(await soundCsr()))
    expect(certificates).toHaveLength(1)
  })

  test('works with flag, request and CSR in one piece', async () => {
    const request = `0${myproxyRequest(service.token())}`
    const client = await connectMyProxy(service.port)
    client.send(Buffer.concat([Buffer.from(request), derOf(await soundCsr())]))
    const all = (await client.all()).toString('latin1')
    expect(all.startsWith(OK)).toBe(true)
    expect(all.endsWith(OK)).toBe(true)
    expect(all.length).toBeGreaterThan(400)
  })

  test('gives trust roots with the first response', async () => {
    const request = myproxyRequest(service.token(), { TRUSTED_CERTS: '1' })
    const { first, certificates } = await get(request, derOf(await soundCsr()))
    expect(first).toMatch(/^VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=tts-ca\.pem,/)
    const [, base64 = ''] = /\nFILEDATA_tts-ca\.pem=(.*)\n/.exec(first) ?? []
    const authority = new X509Certificate(Buffer.from(base64, 'base64'))
    expect(certificates[0]?.verify(authority.publicKey)).toBe(true)
    const [, names = ''] = /TRUSTED_CERTS=(.*)/.exec(first) ?? []
    expect([...first.matchAll(/^FILEDATA_(.*?)=/gm)].map(([, name]) => name)).toEqual(
      names.split(','),
    )
    expect(names).toMatch(/,[0-9a-f]{8}\.0,.*,[0-9a-f]{8}\.r0/)
  })
})

test('trust roots are made once for each CRL, and again after a failure', async () => {
  let made = 0
  const files = async () => {
    made += 1
    if (made === 1) throw new TtsError('store_unavailable', 'the database does not answer')
    return [
      { name: 'a.pem', content: 'A' },
      { name: 'b.0', linkTo: 'a.pem' },
    ]
  }
  const { port } = await listenWith({}, { files })
  const ask = async () => exchange('VERSION=MYPROXYv2\nCOMMAND=7\n\0', port)
  expect(await ask()).toContain('ERROR=the database does not answer')
  const expected =
    'VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=a.pem,b.0\nFILEDATA_a.pem=QQ==\nFILEDATA_b.0=QQ==\n\0'
  for (const _ of [1, 2, 3]) expect(await ask()).toBe(expected)
  expect(made).toBe(2)
})

describe('a one-time code', () => {
  const make = async (claims: Record<string, unknown> = {}) => {
    const text = service.token('alice', claims)
    const expiresAt = new Date(now + 3_600_000)
    return service.running.service.codes.make({ text, expiresAt })
  }

  test('is good for one credential', async () => {
    const { code, endsAt } = await make()
    expect(code).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}$/)
    expect(endsAt.getTime() - now).toBe(300_000)
    const csr = derOf(await soundCsr())
    expect((await get(myproxyRequest(code), csr)).certificates).toHaveLength(1)
    expect(await exchange(myproxyRequest(code))).toBe(refusal(NO_CODE))
  })

  test('is good for one of many who come at once', async () => {
    const { code } = await make()
    const csr = derOf(await soundCsr())
    const all = await Promise.all(Array.from({ length: 8 }, () => get(myproxyRequest(code), csr)))
    expect(all.filter(({ certificates }) => certificates.length > 0)).toHaveLength(1)
    expect(all.filter(({ first }) => first === refusal(NO_CODE))).toHaveLength(7)
  })

  test('is read however it was typed', async () => {
    const { code } = await make()
    const typed = ` ${code.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')} `
    const { certificates } = await get(myproxyRequest(typed), derOf(await soundCsr()))
    expect(certificates).toHaveLength(1)
  })

  test('ends after five minutes, and with its token', async () => {
    const { code } = await make()
    now += 300_001
    expect(await exchange(myproxyRequest(code))).toBe(refusal(NO_CODE))
    const expiresAt = new Date(now + 60_000)
    const { codes } = service.running.service
    const brief = await codes.make({ text: service.token(), expiresAt })
    expect(brief.endsAt).toEqual(expiresAt)
  })

  test('is worth no more than its token', async () => {
    const { code } = await make({ groups: ['guests'] })
    const { first, last } = await get(myproxyRequest(code), derOf(await soundCsr()))
    expect(first).toBe(OK)
    expect(last).toMatch(/^VERSION=MYPROXYv2\nRESPONSE=1\nERROR=/)
    expect(last).toContain('no rule of this service allows this user (claims checked: groups)')
  })

  test('and a token are nowhere in log, audit trail and database', async () => {
    const { code } = await make()
    const token = service.token()
    await exchange(myproxyRequest('AAAA-BBBB-CCCC'))
    await get(myproxyRequest(code), derOf(await soundCsr()))
    await get(myproxyRequest(token), derOf(await soundCsr()))
    await get(myproxyRequest(`${token}x`), derOf(await soundCsr()))
    const { code: unused } = await make()
    const said = await everythingSaid(service)
    const data = join(service.directory, 'data')
    const files = (await readdir(data)).filter((name) => name.startsWith('tts.db'))
    const contents = await Promise.all(files.map((name) => readFile(join(data, name), 'latin1')))
    const stored = contents.join('')
    expect(stored.length).toBeGreaterThan(10_000)
    for (const secret of [code, unused, 'AAAA-BBBB', token.slice(-40), code.replaceAll('-', '')]) {
      expect(said).not.toContain(secret)
      expect(stored).not.toContain(secret)
    }
    expect(said).toContain('"check":"one_time_code"')
  })
})

describe('the server refuses', () => {
  const versions = 'this is a MyProxy server: the request must have VERSION MYPROXYv2'
  const command = (number: string): string => myproxyRequest('secret', { COMMAND: number })
  const commands = 'COMMAND must be 0 (GET), 2 (INFO) or 7 (trust roots) at this server'

  test.for<readonly [string, string | Buffer, string]>([
    ['HTTP', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n\0', refusal(versions)],
    ['HTTP without NUL', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', refusal(versions)],
    ['garbage', Buffer.from([1, 2, 3, 0xff, 0xfe, 0]), refusal(versions)],
    ['a NUL alone', '0\0', refusal(versions)],
    ['two flags', `00${myproxyRequest('x')}`, refusal(versions)],
    ['no VERSION', 'COMMAND=0\nPASSPHRASE=x\n\0', refusal(versions)],
    ['another version', myproxyRequest('x', { VERSION: 'MYPROXYv3' }), refusal(versions)],
    ['no COMMAND', 'VERSION=MYPROXYv2\nPASSPHRASE=x\n\0', refusal(commands)],
    ['an unknown command', command('8'), refusal(commands)],
    ['a command in words', command('GET'), refusal(commands)],
    ['PUT', command('1'), refusal(STORES_NOTHING)],
    ['DESTROY', command('3'), refusal(STORES_NOTHING)],
    ['CHANGE_PASSPHRASE', command('4'), refusal(STORES_NOTHING)],
    ['STORE', command('5'), refusal(STORES_NOTHING)],
    ['RETRIEVE', command('6'), refusal(STORES_NOTHING)],
    ['INFO of a stranger', command('2'), refusal('show a certificate or proxy of this service')],
    [
      'a lifetime in words',
      myproxyRequest('x', { LIFETIME: '12h' }),
      refusal('LIFETIME must be a whole number of seconds'),
    ],
    [
      'a field given twice',
      `PASSPHRASE=y\n${myproxyRequest('x')}`,
      refusal('PASSPHRASE is given twice'),
    ],
    [
      'a request of 21,000 bytes',
      myproxyRequest('x'.repeat(21_000)),
      refusal('the request is longer than 20480 bytes'),
    ],
    [
      'a token of 17,000 bytes',
      myproxyRequest('x'.repeat(17_000)),
      refusal('the access token has 17000 bytes; this service accepts at most 16384'),
    ],
    ['a code that is none', myproxyRequest('7K3M-QX0A-99ZD'), refusal(NO_CODE)],
    [
      'a password',
      myproxyRequest('correct horse battery staple'),
      refusal(
        'the token has characters that are not allowed in a bearer token (RFC 6750 section 2.1)',
      ),
    ],
    [
      'something that is no token',
      myproxyRequest('secret'),
      refusal(
        'the token is not a signed JWT, and introspection is not configured for any provider',
      ),
    ],
  ])('%s', async ([, sent, expected]) => {
    expect(await exchange(sent)).toBe(expected)
  })

  test.for<readonly [string, Record<string, unknown>, RegExp]>([
    [
      'expired',
      { exp: Math.floor(Date.now() / 1000) - 3600 },
      /^ERROR=the (access )?token (has )?expired/m,
    ],
    ['for another audience', { aud: 'https://other.example.org' }, /^ERROR=.*audience/m],
    ['not valid yet', { nbf: Math.floor(Date.now() / 1000) + 3600 }, /^ERROR=.*not.*valid/m],
    ['of another issuer', { iss: 'https://evil.example.org' }, /^ERROR=.*issuer/m],
  ])('a token that is %s', async ([, claims, expected]) => {
    expect(await exchange(myproxyRequest(service.token('alice', claims)))).toMatch(expected)
  })

  test('a token that the client has cut, and says what to do', async () => {
    const long = service.token('alice', { pad: 'x'.repeat(1000) })
    expect(await exchange(myproxyRequest(long.slice(0, 1024)))).toBe(
      refusal(
        `the passphrase is no valid token, and has 1024 characters, after which myproxy-logon cuts longer tokens: use a shorter token, or a one-time code from ${service.url}/services`,
      ),
    )
    expect(await exchange(myproxyRequest(long.slice(0, 1023)))).not.toContain('1024')
  })

  test.for<readonly [string, string, string]>([
    ['a service that does not exist', 'x510', 'no service has the name that CRED_NAME gives'],
    [
      'a service of something else',
      'who',
      'this service makes no certificates for MyProxy clients',
    ],
  ])('%s, before it asks for a CSR', async ([, name, expected]) => {
    const request = myproxyRequest(service.token(), { CRED_NAME: name })
    expect(await exchange(request)).toBe(refusal(expected))
  })

  test.for<readonly [string, () => Buffer | Promise<Buffer>, RegExp | string]>([
    [
      'garbage',
      () => Buffer.from('garbage'),
      'the request for a certificate must be PKCS#10 in DER',
    ],
    [
      'PEM',
      async () => Buffer.from(await soundCsr()),
      'the request for a certificate must be PKCS#10 in DER',
    ],
    [
      'one that is too long',
      () => Buffer.concat([Buffer.of(0x30, 0x82, 0x7f, 0xff), Buffer.alloc(40_000)]),
      'the request for a certificate is longer than 16384 bytes',
    ],
    ['a weak key', () => derOf(rsaCsr(1024)), /ERROR=.*2048/],
    ['a wrong signature', () => builtCsr({ breakSignature: true }), /ERROR=.*signature/],
    ['an empty SEQUENCE', () => Buffer.of(0x30, 0x82, 0, 0), /ERROR=.*CSR/],
    [
      'a certificate',
      () => Buffer.concat([Buffer.of(0x30, 0x82, 0x01, 0x00), Buffer.alloc(256, 5)]),
      /ERROR=.*CSR/,
    ],
  ])('a CSR that is %s', async ([, csr, expected]) => {
    const { first, last, certificates } = await get(myproxyRequest(service.token()), await csr())
    expect(first).toBe(OK)
    expect(certificates).toEqual([])
    if (typeof expected === 'string') expect(last).toBe(refusal(expected))
    else expect(last).toMatch(expected)
    const [line] = await service.running.service.store.listAudit({ outcome: 'refused', limit: 1 })
    expect(line).toMatchObject({ event: 'credential.refused', serviceId: 'x509' })
    expect(line?.sub).toBe('9e499e0e-ce25-485b-9353-d19726fd287a')
  })

  test('a disabled service, and a user whom the rules do not allow', async () => {
    const csr = derOf(await soundCsr())
    const off = await get(myproxyRequest(service.token(), { CRED_NAME: 'off' }), csr)
    expect(off.last).toBe(refusal(OFF))
    const bob = await get(myproxyRequest(service.token('bob')), csr)
    expect(bob.first).toBe(OK)
    expect(bob.last).toContain('ERROR=')
    expect(bob.last).toContain('no rule of this service allows this user (claims checked: groups)')
  })

  test('no passphrase, but gives trust roots to everybody', async () => {
    const expected = `there was no passphrase: it must be an access token, or a one-time code from ${service.url}/services`
    expect(await exchange(myproxyRequest(''))).toBe(refusal(expected))
    const request = myproxyRequest('', { TRUSTED_CERTS: '1' })
    const { first, last } = await get(request, derOf(await soundCsr()))
    expect(first).toMatch(/^VERSION=MYPROXYv2\nRESPONSE=0\nTRUSTED_CERTS=tts-ca\.pem,/)
    expect(last).toBe(refusal(expected))
    expect(await exchange('VERSION=MYPROXYv2\nCOMMAND=7\n\0')).toBe(first)
  })

  test('what it refuses is counted and logged', async () => {
    await exchange(command('1'))
    const metrics = await (await fetch(`${service.url}/metrics`)).text()
    expect(metrics).toMatch(/tts_refused_total\{code="invalid_request",check="command"\} [1-9]/)
    expect(metrics).toMatch(/tts_credentials_issued_total\{service="x509"\} [1-9]/)
    const lines = service.logged.filter((line) => line.includes('myproxy.request'))
    expect(JSON.parse(lines.at(-1) ?? '{}')).toMatchObject({
      command: 'PUT',
      code: 'invalid_request',
      check: 'command',
      address: '127.0.0.1',
    })
  })
})

describe('a connection', () => {
  const inFlight = () => service.running.service.inFlight.count

  test('closed half way leaves nothing behind', async () => {
    const client = await connectMyProxy(service.port)
    client.send(myproxyRequest(service.token()))
    await client.received(hasOk)
    expect(inFlight()).toBe(1)
    client.send(derOf(await soundCsr()).subarray(0, 50))
    client.socket.destroy()
    await expect.poll(inFlight).toBe(0)
    await expect
      .poll(async () => {
        const [line] = await service.running.service.store.listAudit({ limit: 1 })
        return line
      })
      .toMatchObject({ event: 'credential.refused', check: 'closed' })
  })

  test('of a client that only authenticates is closed by the client', async () => {
    const client = await connectMyProxy(service.port)
    client.send(myproxyRequest(service.token()))
    expect((await client.received(hasOk)).toString()).toBe(OK)
    client.socket.end()
    expect((await client.all()).toString().startsWith(OK)).toBe(true)
  })

  test('without a request is closed in silence', async () => {
    const before = service.logged.length
    const client = await connectMyProxy(service.port)
    client.socket.end('0')
    expect(await client.all()).toEqual(Buffer.alloc(0))
    expect(service.logged.slice(before).join('')).not.toContain('myproxy')
  })

  test('without TLS is closed, and the next one is served', async () => {
    const socket = connectTcp({ host: '127.0.0.1', port: service.port })
    socket.write(`0${myproxyRequest('x')}`)
    socket.resume()
    socket.on('error', () => undefined)
    await once(socket, 'close')
    expect(await exchange(myproxyRequest('', { COMMAND: '3' }))).toBe(refusal(STORES_NOTHING))
  })

  test('speaks TLS 1.2, whose clients read no session tickets', async () => {
    const { socket } = await connectMyProxy(service.port)
    expect(socket.getProtocol()).toBe('TLSv1.2')
    const { issuerCertificate: root } = socket.getPeerX509Certificate() ?? {}
    expect(root?.subject).toContain('CN=TTS-CA')
    expect(root?.issuer).toBe(root?.subject)
    socket.destroy()
  })
})

interface AppChanges {
  readonly timeoutMs?: number
  readonly files?: () => Promise<readonly TrustAnchorFile[]>
  readonly requestsAtOnce?: number
}

const silent = pino({ level: 'silent' })

/** The application of the service with other parts. */
function appWith({
  timeoutMs = 30_000,
  files = async () => [],
  requestsAtOnce: total,
}: AppChanges = {}): MyProxyApp {
  const { issuing, codes, inFlight } = service.running.service
  const few =
    total === undefined
      ? inFlight
      : createRequestsInFlight({ total, perAddress: total, nowMs: () => performance.now() })
  const rate = { take: () => 0, look: () => 0 }
  const metrics = { refused: () => undefined, credentialIssued: () => undefined }
  return createMyProxyApp({
    issuing,
    codes,
    codesUrl: () => undefined,
    certificates: { store: issuing.store, authorities: [issuing.authority], now: issuing.now },
    defaultService: 'x509',
    vos: [],
    trustAnchors: {
      ofPublished: (make) =>
        oncePerCrl(service.running.service.crls, async () => make(await files())),
    },
    metrics: metrics as never,
    requests: {
      ...({} as Parameters<typeof createMyProxyApp>[0]['requests']),
      log: silent,
      metrics: metrics as never,
      addresses: rate,
      probes: rate,
      inFlight: few,
      timeoutMs,
      stopping: () => false,
    },
  })
}

/** Listens with other limits than the service, and closes after the test. */
async function listenWith(
  limits: Partial<Parameters<typeof listenMyProxy>[0]>,
  changes: AppChanges = {},
): Promise<Awaited<ReturnType<typeof listenMyProxy>>> {
  const app = appWith(changes)
  const unlimited = { total: 100, perAddress: 100, isTrustedProxy: () => false, onClosed: () => {} }
  const listening = await listenMyProxy({
    host: '127.0.0.1',
    port: 0,
    tls: service.running.service.voms.tlsWithRoot,
    connections: unlimited,
    app: () => app,
    maxRequestBytes: 20_000,
    log: silent,
    ...limits,
  })
  onTestFinished(async () => listening.close(0))
  return listening
}

describe('a slow client', () => {
  test('has two minutes, here a tenth of a second, until its request', async () => {
    const { port } = await listenWith({ requestWaitMs: 100 })
    expect(await exchange('0', port)).toBe(refusal('no request came within 0.1 seconds'))
    expect(await exchange('0VERSION=MYPROXYv2\nCOMM', port)).toBe(
      refusal('no request came within 0.1 seconds'),
    )
  })

  test('has one deadline for all that follows', async () => {
    const { port } = await listenWith({}, { timeoutMs: 300 })
    const client = await connectMyProxy(port)
    client.send(myproxyRequest(service.token()))
    await client.received(hasOk)
    const csr = derOf(await soundCsr())
    for (const at of [0, 1, 2]) {
      client.send(csr.subarray(at, at + 1))
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    expect((await client.all()).toString()).toBe(
      `${OK}${refusal('the request took longer than 0.3 seconds')}`,
    )
  })

  test('gets nothing after its deadline', async () => {
    const late = Promise.withResolvers<readonly []>()
    const sent: string[] = []
    await appWith({ timeoutMs: 50, files: async () => late.promise })({
      request: Buffer.from('VERSION=MYPROXYv2\nCOMMAND=7\n'),
      reader: { csr: async () => Buffer.alloc(0) },
      address: '127.0.0.1',
      certificates: [],
      closed: new AbortController().signal,
      send: (message) => void sent.push(message.toString()),
      sent: async () => undefined,
      drop: () => undefined,
    })
    late.resolve([])
    await new Promise(setImmediate)
    expect(sent).toEqual([refusal('the request took longer than 0.05 seconds')])
  })

  test('is closed when others need the room', async () => {
    const closed: string[] = []
    const connections = {
      total: 100,
      perAddress: 2,
      isTrustedProxy: () => false,
      onClosed: (reason: string) => void closed.push(reason),
    }
    const { port } = await listenWith({ connections })
    const idle = await connectMyProxy(port)
    const busy = await connectMyProxy(port)
    busy.send(myproxyRequest(service.token()))
    await busy.received(hasOk)
    expect(await exchange(myproxyRequest('', { COMMAND: '1' }), port)).toBe(refusal(STORES_NOTHING))
    await idle.all()
    expect(busy.socket.destroyed).toBe(false)
    // Those with a request stay, and the next one is refused.
    const second = await connectMyProxy(port)
    second.send(myproxyRequest(service.token()))
    await second.received(hasOk)
    const third = connectTcp({ host: '127.0.0.1', port })
    third.on('error', () => undefined)
    await once(third, 'close')
    expect(closed).toEqual(['address'])
    busy.socket.destroy()
    second.socket.destroy()
  })

  test('keeps its place in the limits until its answer is read, or others need it', async () => {
    const content = 'x'.repeat(8_000_000)
    const files = async () => [{ name: 'a.pem', content }]
    const { port } = await listenWith({}, { files, requestsAtOnce: 1 })
    const ask = 'VERSION=MYPROXYv2\nCOMMAND=7\n\0'
    const slow = await connectMyProxy(port)
    slow.socket.pause()
    slow.send(ask)
    await expect.poll(async () => exchange(ask, port)).toContain('RESPONSE=1')
    // After a second without a read it is dropped for the next one.
    await expect
      .poll(async () => exchange(ask, port), { timeout: 5000, interval: 200 })
      .toContain('RESPONSE=0')
    slow.socket.destroy()
  })

  test('does not keep the server from closing during its handshake', async () => {
    const listening = await listenWith({})
    const silent = connectTcp({ host: '127.0.0.1', port: listening.port })
    silent.on('error', () => undefined)
    await once(silent, 'connect')
    await new Promise((resolve) => setTimeout(resolve, 50))
    const startMs = performance.now()
    await listening.close(100)
    expect(performance.now() - startMs).toBeLessThan(2000)
    silent.destroy()
  })

  test('does not keep the server from closing', async () => {
    const listening = await listenWith({})
    const idle = await connectMyProxy(listening.port)
    const busy = await connectMyProxy(listening.port)
    busy.send(myproxyRequest(service.token()))
    await busy.received(hasOk)
    const startMs = performance.now()
    const closing = listening.close(200)
    await idle.all()
    expect(busy.socket.destroyed).toBe(false)
    await closing
    expect(performance.now() - startMs).toBeLessThan(2000)
    await busy.all()
  })
})

test('the rate of an address is limited', async () => {
  const limited = await startMyProxyService({
    configuration: {
      limits: { requests_per_second_per_address: 0.1, burst_per_address: 2, key_pool_size: 0 },
    },
  })
  onTestFinished(async () => limited.stop())
  // Each interface counts for itself.
  const ask = async () => exchange(myproxyRequest('', { COMMAND: '1' }), limited.port)
  expect(await ask()).toBe(refusal(STORES_NOTHING))
  expect(await ask()).toBe(refusal(STORES_NOTHING))
  expect(await ask()).toMatch(
    /^VERSION=MYPROXYv2\nRESPONSE=1\nERROR=too many requests from your address\nERROR=try again in \d+ seconds\n\0$/,
  )
})

test('a reload reaches the next request', async () => {
  const other = await startMyProxyService()
  onTestFinished(async () => other.stop())
  const request = (): string => myproxyRequest(other.token())
  const csr = derOf(await soundCsr())
  expect((await get(request(), csr, other.port)).certificates).toHaveLength(1)
  const waiting = await connectMyProxy(other.port)
  const path = join(other.directory, 'tts.yaml')
  const configuration = parse(await readFile(path, 'utf8')) as Record<string, object>
  const { x509 } = configuration['services'] as Record<string, object>
  const services = { x509: { ...x509, enabled: false } }
  await writeFile(path, stringify({ ...configuration, services }))
  await other.running.reload(await loadConfiguration(path, {}))
  const refused = await get(request(), csr, other.port)
  expect(refused.last).toBe(refusal(OFF))
  // A connection from before the reload, too.
  waiting.send(request())
  await waiting.received(hasOk)
  waiting.send(csr)
  expect((await waiting.all()).toString()).toBe(`${OK}${refusal(OFF)}`)
})
