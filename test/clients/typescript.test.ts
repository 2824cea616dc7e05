/** clients/typescript against a real service: proxies, delegations, pages, waiting, errors; and the packed package. */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { inspect, promisify } from 'node:util'
import { afterEach, describe, expect, onTestFinished, test } from 'vitest'
import {
  createClient,
  TtsClientError,
  TtsForeignAnswer,
  TtsProblem,
  TtsUnreachable,
  writePrivateFile,
} from '../../clients/typescript/src/index.ts'
import { withRetry } from '../../clients/typescript/src/retry.ts'
import { freePort } from '../support/free-port.ts'
import { AUDIENCE, useTestService } from '../support/service.ts'
import { logIn } from '../api/delegation-support.ts'
import {
  clientDirectory,
  clientService,
  exampleOf,
  untrustedServer,
  verifiedPerson,
} from './support.ts'

const run = promisify(execFile)
const service = useTestService(clientService)

/** A token of a user of one's own, so that tests do not share a limit. */
const tokenOf = (sub: string): string =>
  service().provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })

/** A clock that does not wait, and what it was asked to wait. */
function quickWaiting(before: (ms: number) => void = () => undefined) {
  const waited: number[] = []
  let ms = 0
  const sleep = (wait: number): Promise<void> => {
    waited.push(wait)
    ms += wait
    before(wait)
    return Promise.resolve()
  }
  return { waited, waiting: { nowMs: () => ms, sleep, random: () => 0.5 } }
}

const clientOf = (token: string, more: object = {}) =>
  createClient({ url: service().url, token, ...more })

afterEach(() => service().provider.faults.clear())

describe('a proxy', () => {
  test('with an RSA key made here, as openssl accepts it', async () => {
    const proxy = await clientOf(tokenOf('first')).getProxy({ lifetimeSeconds: 3600 })
    expect(await verifiedPerson(service(), proxy.pem)).toBe('first')
    expect(proxy.pem).toContain('BEGIN RSA PRIVATE KEY')
    expect(proxy.notAfter.getTime() - Date.now()).toBeLessThanOrEqual(3_600_000)
    expect(proxy.notAfter.getTime() - Date.now()).toBeGreaterThan(3_500_000)
    expect(proxy).toMatchObject({ warning: undefined, renewsUntil: undefined })
    const made = await service().running.service.store.findCredential(proxy.credentialId)
    expect(made?.certificates[0]?.keyKind).toBe('rsa-2048')
  })

  test('with an EC key, limited, from a function that gives the token', async () => {
    const client = createClient({ url: `${service().url}/`, token: async () => tokenOf('ec') })
    const proxy = await client.getProxy({ keyType: 'ec-p256', type: 'limited', pathLength: 0 })
    expect(await verifiedPerson(service(), proxy.pem)).toBe('ec')
    expect(proxy.warning).toContain('XRootD')
  })

  test('shown without its key, and with one kind of line ends', async () => {
    const gateway: typeof fetch = async (...words) => {
      const answer = await fetch(...words)
      const body = (await answer.text()).replaceAll('\n', '\r\n')
      return new Response(body, { headers: answer.headers })
    }
    const proxy = await clientOf(tokenOf('gateway'), { fetch: gateway }).getProxy()
    expect(proxy.pem).not.toContain('\r')
    expect(proxy.pem.match(/^-----BEGIN .*-----$/gm)?.length).toBeGreaterThan(2)
    expect(await verifiedPerson(service(), proxy.pem)).toBe('gateway')
    expect(inspect({ proxy })).toContain(proxy.credentialId)
    expect(inspect({ proxy })).not.toContain('PRIVATE')
    expect(Object.keys(proxy)).toContain('pem')
  })

  test('in a file of mode 0600 that replaces the old one', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tts-client-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const path = join(directory, 'proxy')
    await writeFile(path, 'old', { mode: 0o644 })
    await writePrivateFile(path, 'new')
    expect(await readFile(path, 'utf8')).toBe('new')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })
})

describe('lists and delegations', () => {
  test('a delegation: made, listed, used, shown, revoked', async () => {
    const client = clientOf(await logIn(service()))
    const made = await client.createDelegation({ label: 'typescript' })
    const { id, renewal_secret: secret } = made
    const proxy = await client.renewProxy({ id, secret }, { keyType: 'ec-p256' })
    expect(await verifiedPerson(service(), proxy.pem)).not.toBe('')
    expect(proxy.renewsUntil?.toISOString()).toMatch(/^20/)
    expect((await client.listDelegations({ limit: 1 })).delegations).toHaveLength(1)
    const noToken = createClient({ url: service().url })
    const shown = await noToken.showDelegation({ id, secret })
    expect(shown).toMatchObject({ id, label: 'typescript', state: 'active' })
    expect(shown.events.map(({ event }) => event)).toContain('used')
    expect(await noToken.revokeDelegation({ id, secret })).toMatchObject({ newly_revoked: true })
    const refused = await client.renewProxy({ id, secret }).catch((error: unknown) => error)
    expect(refused).toMatchObject({ status: 410, code: 'delegation_ended' })
  })

  test('credentials page by page; shown and revoked', async () => {
    const client = clientOf(tokenOf('pages'))
    const made: string[] = []
    for (let round = 0; round < 3; round += 1)
      made.unshift((await client.getProxy({ keyType: 'ec-p256' })).credentialId)
    const seen: string[] = []
    for await (const { id } of client.allCredentials({ limit: 1, active: true })) seen.push(id)
    expect(seen).toEqual(made)
    const [id = ''] = made
    expect(await client.showCredential(id)).toMatchObject({ id, revoked_at: null })
    const revoked = await client.revokeCredential(id, 'superseded')
    expect(revoked).toMatchObject({ newly_revoked: true })
    expect((await client.listCredentials({ active: true })).credentials).toEqual([])
  })
})

describe('waiting', () => {
  test('a real limit: 429, and the next attempt after Retry-After', async () => {
    const { waited, waiting } = quickWaiting()
    const client = clientOf(tokenOf('limited'), {
      waiting: {
        ...waiting,
        sleep: async (ms: number) => {
          waited.push(ms)
          await new Promise((resolve) => setTimeout(resolve, ms))
        },
      },
    })
    for (let round = 0; round < 3; round += 1) await client.getProxy({ keyType: 'ec-p256' })
    expect(waited).toEqual([1000])
  })

  test('a provider that is away: 503, and the next attempt after Retry-After', async () => {
    const client = clientOf(await logIn(service()))
    const { id, renewal_secret: secret } = await client.createDelegation()
    const { faults } = service().provider
    const { waited, waiting } = quickWaiting(() => faults.clear())
    faults.set('/token', { kind: 'status', status: 503 })
    const patient = createClient({ url: service().url, waiting })
    const proxy = await patient.renewProxy({ id, secret }, { keyType: 'ec-p256' })
    expect(proxy.pem).toContain('PRIVATE KEY')
    expect(waited).toEqual([5000])
  })

  // prettier-ignore
  test.for([
    { name: '429', error: problem(429, 7), repeatable: false, waits: [7000, 7000] },
    { name: '503', error: problem(503, 1), repeatable: false, waits: [1000, 1000] },
    { name: '503 without Retry-After: growing pauses', error: problem(503), repeatable: false, waits: [1500, 3000] },
    { name: '503 with Retry-After: 0', error: problem(503, 0), repeatable: false, waits: [1500, 3000] },
    { name: '408', error: problem(408), repeatable: false, waits: [1500, 3000] },
    { name: 'gateway 502', error: new TtsForeignAnswer(502, undefined), repeatable: true, waits: [1500, 3000] },
    { name: 'gateway 504, not repeatable', error: new TtsForeignAnswer(504, undefined), repeatable: false, waits: [] },
    { name: 'no answer', error: new TtsUnreachable('x'), repeatable: true, waits: [1500, 3000] },
    { name: 'no answer, not repeatable', error: new TtsUnreachable('x'), repeatable: false, waits: [] },
    { name: '400', error: problem(400), repeatable: true, waits: [] },
    { name: '401', error: problem(401), repeatable: true, waits: [] },
    { name: '403', error: problem(403), repeatable: true, waits: [] },
    { name: '409', error: problem(409), repeatable: true, waits: [] },
    { name: '500', error: problem(500), repeatable: true, waits: [] },
    { name: '502 of a plugin', error: problem(502), repeatable: true, waits: [] },
    { name: 'Retry-After past the deadline', error: problem(429, 600), repeatable: true, waits: [] },
    { name: 'another error', error: new TypeError('x'), repeatable: true, waits: [] },
  ])('$name', async ({ error, repeatable, waits }) => {
    const { waited, waiting } = quickWaiting()
    let attempts = 0
    const attempt = () => {
      attempts += 1
      return attempts > 2 ? Promise.resolve('done') : Promise.reject(error)
    }
    const rules = { deadlineSeconds: 600, isRepeatable: repeatable }
    const result = await withRetry(attempt, rules, waiting).catch((thrown: unknown) => thrown)
    expect(result).toBe(waits.length === 2 ? 'done' : error)
    expect(waited).toEqual(waits)
  })

  test('pauses end at 30 seconds, and all at the deadline', async () => {
    const { waited, waiting } = quickWaiting()
    const error = new TtsUnreachable('x')
    const attempt = withRetry(
      () => Promise.reject(error),
      { deadlineSeconds: 200, isRepeatable: true },
      waiting,
    )
    await expect(attempt).rejects.toBe(error)
    expect(waited).toEqual([1500, 3000, 6000, 12_000, 24_000, 45_000, 45_000, 45_000])
  })
})

function problem(status: number, retryAfter?: number): TtsProblem {
  const text = { type: '', title: '', detail: '', request_id: '' }
  return new TtsProblem({ ...text, status, code: 'overloaded' }, retryAfter)
}

async function entriesOf<Entry>(all: AsyncIterable<Entry>): Promise<readonly Entry[]> {
  const entries: Entry[] = []
  for await (const entry of all) entries.push(entry)
  return entries
}

async function serverWith(listener: RequestListener): Promise<string> {
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

describe('errors', () => {
  const refusal = (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'no error',
      (error: unknown) => error,
    )

  test('a refusal has its code, check, request and what would help', async () => {
    const token = service().token('alice', { aud: 'https://other.example.org' })
    const error = await refusal(clientOf(token).getProxy({ keyType: 'ec-p256' }))
    expect(error).toBeInstanceOf(TtsProblem)
    expect(error).toMatchObject({
      name: 'TtsProblem',
      status: 401,
      code: 'invalid_token',
      check: 'audience',
      acceptedAudiences: [AUDIENCE],
      retryAfterSeconds: undefined,
    })
    expect(String(error)).toMatch(
      /accepted audiences: https:\/\/tts\.example\.org \(invalid_token, request \S+\)$/,
    )
    expect(JSON.stringify(error) + String(error)).not.toContain(token)
  })

  test('bad parameters, and rules that do not allow', async () => {
    const client = clientOf(tokenOf('errors'))
    expect(
      await refusal(client.getProxy({ lifetimeSeconds: 1, keyType: 'ec-p256' })),
    ).toMatchObject({
      code: 'invalid_request',
      detail: 'lifetime_seconds: must be at least 60',
    })
    expect(await refusal(client.showCredential('../proxies'))).toMatchObject({ code: 'not_found' })
    const bob = clientOf(service().token('bob'))
    expect(await refusal(bob.getProxy({ keyType: 'ec-p256' }))).toMatchObject({
      code: 'access_denied',
    })
  })

  test.for([
    { name: 'plain http', url: 'http://tts.example.org' },
    { name: 'another scheme', url: 'ftp://tts.example.org' },
    { name: 'no URL', url: 'tts.example.org' },
    { name: 'loopback in front of another host', url: 'http://127.0.0.1.example.org' },
    { name: 'a URL with a password', url: 'https://user:pw@tts.example.org' },
    { name: 'a URL with a query', url: 'https://tts.example.org/?a=b' },
    { name: 'a URL with a fragment', url: 'https://tts.example.org/#a' },
  ])('no token goes to $name', ({ url }) => {
    expect(() => createClient({ url, token: 'x' })).toThrow(TtsClientError)
  })

  test('a redirect is not followed', async () => {
    let hits = 0
    const target = await serverWith((_request, response) => {
      hits += 1
      response.end()
    })
    const url = await serverWith((_request, response) => {
      response.writeHead(307, { location: target }).end()
    })
    const client = createClient({ url, token: 'x', deadlineSeconds: 0 })
    expect(await refusal(client.getProxy({ keyType: 'ec-p256' }))).toBeInstanceOf(TtsForeignAnswer)
    expect(hits).toBe(0)
  })

  // prettier-ignore
  test.for([
    { name: 'a login page', status: 200, type: 'text/html', body: '<html>', error: TtsClientError },
    { name: 'another API', status: 404, type: 'application/json', body: '{"error":"x"}', error: TtsForeignAnswer },
    { name: 'a gateway', status: 502, type: 'text/html', body: 'bad gateway', error: TtsForeignAnswer },
    { name: 'a problem of another program', status: 400, type: 'application/problem+json', body: '{"title":"x"}', error: TtsForeignAnswer },
    { name: 'an endless answer', status: 200, type: 'application/x-pem-file', body: 'x'.repeat(5 << 20), error: TtsClientError },
  ])('$name', async ({ status, type, body, error }) => {
    const url = await serverWith((_request, response) => {
      response.writeHead(status, { 'content-type': type }).end(body)
    })
    const client = createClient({ url, token: 'x', deadlineSeconds: 0 })
    expect(await refusal(client.getProxy({ keyType: 'ec-p256' }))).toBeInstanceOf(error)
    expect(await refusal(client.listCredentials())).toBeInstanceOf(error)
  })

  test.for([
    ['token', () => createClient({ url: service().url, token: 'first\nsecond' }).getProxy()],
    ['token', () => createClient({ url: service().url, token: 'größe' }).listCredentials()],
    ['secret', () => clientOf('x').showDelegation({ id: 'x', secret: 'first\r\nX: second' })],
    ['secret', () => clientOf('x').renewProxy({ id: 'x', secret: '' })],
  ] as const)('a %s that cannot be sent is not in the error', async ([what, work]) => {
    const error = await refusal(work())
    expect(error).toBeInstanceOf(TtsClientError)
    expect(error).not.toBeInstanceOf(TtsUnreachable)
    expect(String(error)).toContain(what)
    expect(inspect(error)).not.toMatch(/first|größe/)
  })

  test.for(['', '.', '..'])('the id "%s" is no other path', async (id) => {
    const client = clientOf('x')
    for (const work of [
      () => client.showCredential(id),
      () => client.revokeDelegation({ id }),
      () => client.renewProxy({ id, secret: 'x' }),
    ])
      expect(String(await refusal(work()))).toContain('the id is empty, or has dots only')
  })

  test('a list that is none, one without pages, and one of 3 MiB', async () => {
    let body: object = {}
    const url = await serverWith((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    })
    const client = createClient({ url, token: 'x', deadlineSeconds: 0 })
    const all = async () => [
      await entriesOf(client.allCredentials()),
      await entriesOf(client.allDelegations()),
    ]
    expect(await refusal(client.listCredentials())).toBeInstanceOf(TtsForeignAnswer)
    expect(await refusal(all())).toBeInstanceOf(TtsForeignAnswer)
    body = { credentials: [1], delegations: [2] }
    expect(await all()).toEqual([[1], [2]])
    body = { credentials: ['x'.repeat(3 << 20)], next: null }
    expect((await client.listCredentials()).credentials).toHaveLength(1)
  })

  test('the status is that of HTTP; audiences that are no list are none', async () => {
    const { waited, waiting } = quickWaiting()
    let status = 400
    const url = await serverWith((_request, response) => {
      const problem = { code: 'x', detail: 'y', request_id: 'z', accepted_audiences: 5 }
      response.writeHead(status, { 'content-type': 'application/problem+json' })
      response.end(JSON.stringify({ ...problem, status: status === 400 ? 503 : undefined }))
    })
    const client = createClient({ url, token: 'x', deadlineSeconds: 10, waiting })
    const final = await refusal(client.createDelegation())
    expect(final).toMatchObject({ name: 'TtsProblem', status: 400, acceptedAudiences: [] })
    expect(waited).toEqual([])
    status = 503
    expect(await refusal(client.createDelegation())).toMatchObject({ status: 503 })
    expect(waited).toEqual([1500, 3000])
  })

  test('a certificate that is not trusted: no second attempt, and what to do', async () => {
    const server = await untrustedServer()
    const { waited, waiting } = quickWaiting()
    const error = await refusal(createClient({ url: server.url, token: 'x', waiting }).getProxy())
    expect(error).not.toBeInstanceOf(TtsUnreachable)
    expect(String(error)).toMatch(
      /is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\); NODE_EXTRA_CA_CERTS/,
    )
    expect({ waited, requests: server.requests() }).toEqual({ waited: [], requests: 0 })
  })

  test('no answer in time, and nobody there', async () => {
    const url = await serverWith(() => undefined)
    const slow = createClient({ url, token: 'x', deadlineSeconds: 0, timeoutSeconds: 0.1 })
    expect(await refusal(slow.listCredentials())).toBeInstanceOf(TtsUnreachable)
    const free = `http://127.0.0.1:${await freePort()}`
    const nobody = createClient({ url: free, token: 'x', deadlineSeconds: 0 })
    const gone = await refusal(nobody.listCredentials())
    expect(gone).toBeInstanceOf(TtsUnreachable)
    expect(String(gone)).toContain('(ECONNREFUSED)')
  })

  test('certificates for another key', async () => {
    const { pem } = await clientOf(tokenOf('mixed')).getProxy({ keyType: 'ec-p256' })
    const url = await serverWith((_request, response) => {
      response.writeHead(200, {
        'content-type': 'application/x-pem-file',
        'tts-credential-id': 'x',
      })
      response.end(pem)
    })
    const error = await refusal(createClient({ url, token: 'x' }).getProxy({ keyType: 'ec-p256' }))
    expect(String(error)).toContain('did not return a proxy for the key of the request')
  })
})

test('the packed package: its files, its types, and the example of the README', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'tts-client-'))
  onTestFinished(() => rm(directory, { recursive: true, force: true }))
  const npm = { cwd: clientDirectory('typescript'), timeout: 60_000 }
  const words = ['pack', '--json', '--pack-destination', directory]
  const { stdout } = await run('npm', words, npm)
  const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[\n'))) as [
    { filename: string; files: { path: string }[] },
  ]
  const files = packed.files.map(({ path }) => path)
  expect(files).toEqual(
    expect.arrayContaining(['README.md', 'package.json', 'dist/index.js', 'dist/index.d.ts']),
  )
  expect(files.filter((path) => !path.startsWith('dist/'))).toEqual(['README.md', 'package.json'])
  const target = join(directory, 'node_modules/@tts/client')
  await run('mkdir', ['-p', target])
  await run('tar', ['-xzf', join(directory, packed.filename), '-C', target, '--strip-components=1'])

  const example = exampleOf('typescript', 'js')
  await writeFile(join(directory, 'example.mjs'), example)
  const proxy = join(directory, 'proxy')
  const env = { TTS_URL: service().url, BEARER_TOKEN: tokenOf('example'), X509_USER_PROXY: proxy }
  const ran = await run(process.execPath, ['example.mjs'], { cwd: directory, env, timeout: 30_000 })
  expect(ran.stderr).toBe('')
  expect(ran.stdout).toMatch(/^valid until 20\S+Z\n$/)
  expect(await verifiedPerson(service(), await readFile(proxy, 'utf8'))).toBe('example')
  expect((await stat(proxy)).mode & 0o777).toBe(0o600)

  await writeFile(
    join(directory, 'use.ts'),
    `import { createClient, type Delegation, type Proxy } from '@tts/client'
const client = createClient({ url: 'https://tts.example.org' })
export const proxy: Promise<Proxy> = client.getProxy({ type: 'limited' })
export const first = async (): Promise<Delegation | undefined> =>
  (await client.listDelegations()).delegations[0]
// @ts-expect-error there is no such type
export const wrong = client.getProxy({ type: 'legacy' })
`,
  )
  const tsc = join(import.meta.dirname, '../../node_modules/.bin/tsc')
  const options = ['--strict', '--noEmit', '--module', 'nodenext', '--target', 'es2022']
  await run(tsc, [...options, '--types', '', 'use.ts'], { cwd: directory, timeout: 60_000 })
}, 120_000)
