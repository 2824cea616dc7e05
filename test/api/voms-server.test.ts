/** The VOMS server: who gets which attributes by a certificate, and what it answers to everybody else. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import {
  type AttributeCertificate,
  readAttributeCertificate,
} from '../../ca/voms/read-attributes.ts'
import { cliOrigin, operatorRecord } from '../../src/domain/operator-audit.ts'
import { makeCredential } from '../support/authority.ts'
import { freePort } from '../support/free-port.ts'
import { startTestService, type TestService } from '../support/service.ts'

const HOUR_MS = 3_600_000
const BURST = 40
/** The service's clock goes on by hours. */
const FAR = Math.floor(Date.now() / 1000) + 86_400
const seconds = (): number => Math.floor(now / 1000)
let service: TestService
let port: number
let now = Date.now()
beforeAll(async () => {
  port = await freePort()
  const cms = {
    provider: 'iam',
    port,
    maximum_lifetime_seconds: 8 * 3600,
    groups_valid_seconds: 10 * 3600,
    fqans: [
      { group: 'cms', fqan: '/cms' },
      { group: 'cms/sub', fqan: '/cms/sub' },
      { group: 'cms/production', fqan: '/cms/Role=production' },
      { group: 'cms/many/*', fqan: '/cms/many/*' },
    ],
  }
  const allow = [{ provider: 'iam', claims: { sub: { any: true } } }]
  service = await startTestService({
    now: () => new Date(now),
    configuration: {
      limits: { burst_per_identity: BURST, credentials_per_second_per_identity: 0.01 },
      voms: { host: 'localhost', listen: '127.0.0.1', vos: { cms } },
      services: {
        proxy: { authz: { allow } },
        x509: { authz: { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] } },
      },
    },
  })
})
afterAll(async () => service.stop())
/** Each test has a person of its own. */
let sub = ''
beforeEach(() => {
  now = Date.now()
  sub = randomUUID()
})

/** A certificate chain and key, in PEM. */
interface Credential {
  readonly cert: string
  readonly key: string
}

const cut = (text: string): Credential => ({
  cert: (text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? []).join(''),
  key:
    /-----BEGIN[A-Z ]* PRIVATE KEY-----[^-]+-----END[A-Z ]* PRIVATE KEY-----/.exec(text)?.[0] ?? '',
})

/** Gets a proxy for a token with these claims. */
async function proxyFor(claims: Record<string, unknown>, query = ''): Promise<Credential> {
  const response = await fetch(`${service.url}/v1/proxies?${query}`, {
    method: 'POST',
    headers: {
      Authorization: `Bearer ${service.token('alice', { sub, exp: FAR, iat: seconds(), ...claims })}`,
    },
  })
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return cut(text)
}

interface Answer {
  readonly status: number
  readonly text: string
}

/** One request to the VOMS server. */
async function ask(
  target: string,
  credential: Partial<Credential> = {},
  method = 'GET',
): Promise<Answer> {
  const options = { host: '127.0.0.1', port, path: target, method, rejectUnauthorized: false }
  const request = httpsRequest({ ...options, ...credential, agent: false })
  request.end()
  const [response] = (await once(request, 'response')) as [import('node:http').IncomingMessage]
  let text = ''
  for await (const chunk of response) text += String(chunk)
  return { status: response.statusCode ?? 0, text }
}

function attributesIn({ status, text }: Answer): AttributeCertificate {
  expect(status, text).toBe(200)
  const [, base64 = ''] = /<ac>([^<]+)<\/ac>/.exec(text) ?? []
  return readAttributeCertificate(Buffer.from(base64, 'base64'))
}

const short = ({ fqans }: AttributeCertificate): readonly string[] =>
  fqans.map((fqan) => fqan.replace('/Capability=NULL', '').replace('/Role=NULL', ''))

const member = { groups: ['cms', 'cms/sub', 'cms/production'] }

describe('the VOMS server gives attributes', () => {
  test.for<readonly [string, string, readonly string[]]>([
    ['of the groups', '?fqans=/cms&lifetime=3600', ['/cms', '/cms/sub']],
    ['without any parameter', '', ['/cms', '/cms/sub']],
    ['with a role', '?fqans=/cms/Role=production', ['/cms/Role=production', '/cms', '/cms/sub']],
    ['percent-encoded', '?fqans=%2Fcms%2Fsub', ['/cms/sub', '/cms']],
    ['of all kinds', '?fqans=all', ['/cms', '/cms/sub', '/cms/Role=production']],
    [
      'in the order that was asked for',
      '?fqans=/cms/Role=production&order=/cms/sub,/cms:production,/nothing here',
      ['/cms/sub', '/cms/Role=production', '/cms'],
    ],
    [
      'once, also when the order repeats some',
      `?order=${Array.from({ length: 100 }, () => '/cms/sub').join(',')}`,
      ['/cms/sub', '/cms'],
    ],
  ])('%s', async ([, query, expected]) => {
    const answer = await ask(`/generate-ac${query.replace(' ', '%20')}`, await proxyFor(member))
    expect(short(attributesIn(answer))).toEqual(expected)
  })

  test('for the life that was asked for, or less, and then it says so', async () => {
    const credential = await proxyFor(member)
    const left = (answer: Answer): number =>
      Math.round((attributesIn(answer).validity.notAfter.getTime() - now) / 1000)
    const hour = await ask('/generate-ac?lifetime=3600', credential)
    expect(Math.abs(left(hour) - 3600)).toBeLessThan(5)
    expect(hour.text).not.toContain('<warning>')
    const most = await ask('/generate-ac?lifetime=-1', credential)
    expect(Math.abs(left(most) - 8 * 3600)).toBeLessThan(5)
    const long = await ask('/generate-ac?lifetime=86400', credential)
    expect(Math.abs(left(long) - 8 * 3600)).toBeLessThan(5)
    expect(long.text).toMatch(
      /<warning>cms: The validity of this VOMS AC in your proxy is shortened to 28[78]\d\d seconds!</,
    )
    // Not beyond what the groups are known for, and not beyond the proxy.
    now += 5 * HOUR_MS
    expect(Math.abs(left(await ask('/generate-ac', credential)) - 5 * 3600)).toBeLessThan(5)
    const brief = await proxyFor({ ...member }, 'lifetime_seconds=600')
    expect(Math.abs(left(await ask('/generate-ac', brief)) - 600)).toBeLessThan(5)
  })

  test('for these hosts only', async () => {
    const answer = await ask('/generate-ac?targets=a.example.org,b', await proxyFor(member))
    const targets = attributesIn(answer).extensions.at(-1)
    expect(targets).toMatchObject({ oid: '2.5.29.55', critical: true })
    expect(targets?.value.includes('a.example.org')).toBe(true)
  })

  test('to an EEC whose key the user has, and to proxies that the user made', async () => {
    const key = await generatePrivateKey('rsa-2048')
    const response = await fetch(`${service.url}/v1/certificates`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${service.token('alice', { sub, ...member })}` },
      body: await createCsr([], createSigner(key)),
    })
    const { cert } = cut(await response.text())
    const pem = key.export({ type: 'pkcs8', format: 'pem' }).toString()
    expect(short(attributesIn(await ask('/generate-ac', { cert, key: pem })))).toEqual([
      '/cms',
      '/cms/sub',
    ])
  })

  test('of the newest token, whatever older ones said', async () => {
    const old = seconds() - 600
    const credential = await proxyFor({ groups: ['cms'], iat: old + 300 })
    expect(short(attributesIn(await ask('/generate-ac', credential)))).toEqual(['/cms'])
    await proxyFor({ ...member, iat: old })
    expect(short(attributesIn(await ask('/generate-ac', credential)))).toEqual(['/cms'])
    await proxyFor({ ...member, iat: old + 400 })
    expect(short(attributesIn(await ask('/generate-ac', credential)))).toEqual(['/cms', '/cms/sub'])
  })

  test('no others than those in the proxy, and says so', async () => {
    const credential = await proxyFor({ groups: ['cms'] }, 'voms=cms:/cms')
    await proxyFor(member)
    const answer = await ask('/generate-ac', credential)
    expect(short(attributesIn(answer))).toEqual(['/cms'])
    expect(answer.text).toContain('your certificate already contains attributes, only a subset')
    const role = await ask('/generate-ac?fqans=/cms/Role=production', credential)
    expect(short(attributesIn(role))).toEqual(['/cms'])
    // Attributes that have ended still limit: a job could wait for their end.
    now += 9 * HOUR_MS
    await proxyFor({ ...member })
    expect(short(attributesIn(await ask('/generate-ac', credential)))).toEqual(['/cms'])
  })

  test('with a warning about parameters that it does not know', async () => {
    const answer = await ask('/generate-ac?principal=x', await proxyFor(member))
    expect(answer.text).toContain('<warning>Unknown parameters in the request were ignored!<')
  })

  test('and leaves a line in the audit trail', async () => {
    await ask('/generate-ac', await proxyFor(member))
    const [line] = await service.running.service.store.listAudit({
      event: 'attributes.issued',
      sub,
    })
    expect(line).toMatchObject({
      outcome: 'allowed',
      issuer: service.provider.issuer.replace(/\/$/, ''),
    })
    expect(line?.origin.interface).toBe('voms')
    expect(line?.detail).toMatch(/^serial [0-9a-f]{32}, ends .*: \/cms \/cms\/sub$/)
  })
})

describe('the VOMS server refuses', () => {
  const stranger = 'User unknown to this VO'
  test.for<readonly [string, string, number, string, string]>([
    [
      'a role that is not theirs',
      '?fqans=/cms/Role=admin',
      400,
      'BadRequest',
      'not have /cms/Role=admin',
    ],
    ['a group that is not theirs', '?fqans=/cms/other', 400, 'BadRequest', 'not have /cms/other'],
    ['one bad FQAN among good ones', '?fqans=/cms,/cms/x', 400, 'BadRequest', 'not have /cms/x'],
    ['an FQAN of another VO', '?fqans=/atlas', 400, 'BadRequest', 'must begin with /cms'],
    ['a longer VO name', '?fqans=/cmsx', 400, 'BadRequest', 'must begin with /cms'],
    ['a VO name like a path', '?fqans=/../cms', 400, 'BadRequest', 'an FQAN must look like'],
    ['XML in an FQAN', '?fqans=/cms/%3Cac%3E', 400, 'BadRequest', 'an FQAN must look like'],
    ['a line feed in an FQAN', '?fqans=/cms%0A/x', 400, 'BadRequest', 'an FQAN must look like'],
    ['no slash', '?fqans=cms', 400, 'BadRequest', 'must begin with a slash'],
    ['two lists of FQANs', '?fqans=/cms&fqans=/cms', 400, 'BadRequest', 'fqans is given twice'],
    ['broken percent-encoding', '?fqans=/cms%', 400, 'BadRequest', 'percent-encoded'],
    ['a lifetime in words', '?lifetime=long', 400, 'BadRequest', 'a number of seconds'],
    [
      'too many FQANs',
      `?fqans=${Array.from({ length: 101 }, () => '/cms').join(',')}`,
      400,
      'BadRequest',
      'at most 100 FQANs',
    ],
    [
      'too long an order',
      `?order=${Array.from({ length: 101 }, () => '/cms').join(',')}`,
      400,
      'BadRequest',
      'at most 100 FQANs can be ordered',
    ],
    [
      'too many targets',
      `?targets=${Array.from({ length: 17 }, () => 'x').join(',')}`,
      400,
      'BadRequest',
      'at most 16 targets',
    ],
    ['a target with a space', '?targets=a%20b', 400, 'BadRequest', 'a target must be a host name'],
  ])('%s', async ([, query, status, code, words]) => {
    const answer = await ask(`/generate-ac${query}`, await proxyFor(member))
    expect(answer.status).toBe(status)
    expect(answer.text).toMatch(
      new RegExp(
        `^<\\?xml [^>]*><voms><error><code>${code}</code><message>cms: [^<]*not active[^<]*</message></error></voms>$`,
      ),
    )
    expect(answer.text).toContain(words)
  })

  const refused = async (
    credential: Partial<Credential>,
    code: string,
    words: string,
  ): Promise<void> => {
    const { status, text } = await ask('/generate-ac', credential)
    expect(text).toContain(`<code>${code}</code>`)
    expect(text).toContain(words)
    expect(status).toBe(403)
  }

  test('somebody in no group of the VO, now or ever', async () => {
    await refused(await proxyFor({ groups: ['atlas'] }), 'NoSuchUser', `cms: ${stranger}.<`)
    sub = randomUUID()
    const never = await proxyFor({ groups: undefined })
    await refused(never, 'NoSuchUser', `cms: ${stranger}.<`)
  })

  test('groups that ended, and groups that were seen too long ago', async () => {
    const credential = await proxyFor(member)
    await proxyFor({ groups: ['atlas'] })
    await refused(credential, 'NoSuchUser', `cms: ${stranger}.<`)
    await proxyFor(member)
    now += 10 * HOUR_MS
    await refused(
      credential,
      'SuspendedUser',
      'your membership is suspended: your groups in the VO cms',
    )
  })

  test('groups that are not in the newest token, also when that token was refused', async () => {
    const credential = await proxyFor(member)
    const token = service.token('alice', { sub, exp: FAR, iat: seconds() + 1, groups: ['atlas'] })
    const headers = { Authorization: `Bearer ${token}` }
    now += 1000
    const answer = await fetch(`${service.url}/v1/certificates`, { method: 'POST', headers })
    expect(answer.status).toBe(403)
    await refused(credential, 'NoSuchUser', `cms: ${stranger}.<`)
  })

  test('no certificate, and one of another CA', async () => {
    await refused({}, 'NoSuchUser', `${stranger}: show a certificate or proxy of this service`)
    const foreign = await makeCredential({ now: new Date() })
    await refused(
      cut(foreign.text),
      'NoSuchUser',
      `${stranger}: your certificate is not one of this`,
    )
  })

  test('a proxy that has ended, and one without rights', async () => {
    const credential = await proxyFor(member, 'lifetime_seconds=600')
    const independent = await proxyFor(member, 'proxy_type=independent')
    await refused(independent, 'NoSuchUser', 'not active: an independent proxy does not stand for')
    now += HOUR_MS
    await refused(
      credential,
      'NoSuchUser',
      'your certificate is not active: your certificate is not valid',
    )
  })

  test('a revoked certificate', async () => {
    const token = service.token('alice', { sub, ...member })
    const authorization = { Authorization: `Bearer ${token}` }
    const response = await fetch(`${service.url}/v1/proxies`, {
      method: 'POST',
      headers: authorization,
    })
    const id = response.headers.get('TTS-Credential-Id')
    const credential = cut(await response.text())
    attributesIn(await ask('/generate-ac', credential))
    const revoked = { method: 'DELETE', headers: authorization }
    expect((await fetch(`${service.url}/v1/credentials/${id}`, revoked)).status).toBe(200)
    await refused(credential, 'SuspendedUser', 'you are suspended: your certificate is revoked')
  })

  test('somebody who is banned, also when their certificate is not revoked yet', async () => {
    const credential = await proxyFor(member)
    attributesIn(await ask('/generate-ac', credential))
    const at = new Date(now)
    const ban = {
      id: randomUUID(),
      target: { kind: 'identity', issuer: service.provider.issuer.replace(/\/$/, ''), sub },
      reason: 'stolen laptop',
      createdAt: at,
      createdBy: 'cli',
      liftedAt: undefined,
    } as const
    const audit = { at, event: 'ban.added', origin: cliOrigin, detail: sub }
    await service.running.service.store.bans.add(ban, operatorRecord(audit))
    // Read once a second.
    await expect.poll(async () => (await ask('/generate-ac', credential)).status).toBe(403)
    await refused(credential, 'SuspendedUser', 'you are suspended: ')
  })

  test('who asks more often than an identity may', async () => {
    const credential = await proxyFor(member)
    for (let count = 1; count < BURST; count += 1)
      attributesIn(await ask('/generate-ac', credential))
    const { status, text } = await ask('/generate-ac', credential)
    expect(status).toBe(429)
    expect(text).toContain('<code>InternalError</code>')
  })

  test('other paths and methods', async () => {
    const credential = await proxyFor(member)
    expect(await ask('/', credential)).toMatchObject({ status: 404 })
    expect((await ask('/generate-ac/x', credential)).text).toContain('ask GET /generate-ac')
    expect(await ask('/generate-ac', credential, 'POST')).toMatchObject({ status: 404 })
  })

  test('the refusals are in the audit trail', async () => {
    await ask('/generate-ac?fqans=/cms/Role=admin', await proxyFor(member))
    const filter = { event: 'attributes.refused', outcome: 'refused', sub } as const
    const [line] = await service.running.service.store.listAudit(filter)
    expect(line).toMatchObject({ code: 'access_denied', check: 'voms_fqan' })
  })
})

describe('old clients', () => {
  /** Sends bytes over TLS and returns all that comes back. */
  async function send(parts: readonly string[], credential: Credential): Promise<string> {
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...credential })
    let text = ''
    socket.on('data', (chunk: Buffer) => (text += chunk.toString()))
    const closed = once(socket, 'close')
    await once(socket, 'secureConnect')
    for (const part of parts) {
      socket.write(part)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await closed
    return text
  }
  const request = 'GET /generate-ac?fqans=/cms&lifetime=3600 HTTP/1.0\nHost: localhost:1\n\n'

  test.for<readonly [string, readonly string[]]>([
    ['the delegation flag first', ['0', request]],
    ['the delegation flag with the request', [`0${request}`]],
    ['no delegation flag', [request]],
    ['one byte after the other', ['0', 'G', 'ET /generate-ac HTTP/1.0\nHost: a\n', '\n']],
  ])('are answered with %s', async ([, parts]) => {
    const text = await send(parts, await proxyFor(member))
    expect(text).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    expect(text).toContain('<voms><ac>')
  })

  const legacy = (commands: readonly string[], more = ''): string =>
    `<?xml version="1.0" encoding="US-ASCII"?><voms>${commands.map((text) => `<command>${text}</command>`).join('')}<base64>1</base64><version>4</version>${more}</voms>`

  test.for<readonly [readonly string[], string, readonly string[]]>([
    [['G/cms'], '', ['/cms', '/cms/sub']],
    [
      ['B/cms:production'],
      '<lifetime>3600</lifetime>',
      ['/cms/Role=production', '/cms', '/cms/sub'],
    ],
    [['G/cms/sub', 'B/cms:production'], '', ['/cms/sub', '/cms/Role=production', '/cms']],
    [['A'], '<lifetime></lifetime>', ['/cms', '/cms/sub', '/cms/Role=production']],
    [['A'], '<order>/cms/sub</order>', ['/cms/sub', '/cms', '/cms/Role=production']],
  ])('of the protocol before HTTP get %j', async ([commands, more, expected]) => {
    const text = await send(['0', legacy(commands, more)], await proxyFor(member))
    expect(text).toMatch(
      /^<\?xml version="1.0" encoding = "US-ASCII"\?><vomsans><version>3<\/version><ac>/,
    )
    const [, base64 = ''] = /<ac>([^<]+)<\/ac><\/vomsans>$/.exec(text) ?? []
    expect(short(readAttributeCertificate(Buffer.from(base64, 'base64')))).toEqual(expected)
  })

  test('of the protocol before HTTP get many attributes whole', async () => {
    const many = Array.from(
      { length: 80 },
      (_, index) => `cms/many/group-with-a-long-name-${index}`,
    )
    const credential = await proxyFor({ groups: ['cms', ...many] })
    const text = await send(['0', legacy(['A'], '<targets/>')], credential)
    const [, base64 = ''] = /<ac>([^<]+)<\/ac><\/vomsans>$/.exec(text) ?? []
    expect(base64.length).toBeGreaterThan(5000)
    expect(short(readAttributeCertificate(Buffer.from(base64, 'base64')))).toHaveLength(82)
  })

  test('of the protocol before HTTP are told why they get nothing', async () => {
    const text = await send(
      ['0', legacy(['B/cms:admin']).slice(0, 60), legacy(['B/cms:admin']).slice(60)],
      await proxyFor(member),
    )
    expect(text).toContain('<error><item><number>1003</number><message>cms: Unable to satisfy')
    expect(text).toContain('you do not have /cms/Role=admin')
    expect(text).toContain('<ac>QQ==\n</ac>')
  })

  test.for([
    ['an XML document of something else', ['<html></html></voms>']],
    ['a command with entities', [legacy(['G/cms&amp;'])]],
    ['targets with entities', [legacy(['A'], '<targets>a&amp;b</targets>')]],
    ['targets with an attribute', [legacy(['A'], '<targets x="">a</targets>')]],
    ['a document without end', [`<voms>${'x'.repeat(17_000)}`]],
    ['neither', ['HELO there\r\n\r\n']],
  ] as const)('are told that this is a VOMS server: %s', async ([, parts]) => {
    const text = await send(parts, await proxyFor(member))
    expect(text).toMatch(
      /^<\?xml .*<number>1003<\/number><message>this is a VOMS server, and the request/,
    )
  })

  test('get one answer a connection', async () => {
    const text = await send([request + request], await proxyFor(member))
    expect(text.match(/HTTP\/1\.1/g)).toHaveLength(1)
  })
})
