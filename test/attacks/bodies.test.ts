/** Bodies as weapons: tiny chunks that are held open, and requests that are never finished. */
import { describe, expect, test } from 'vitest'
import { isFull } from '../support/full.ts'
import { hold, pause, report, type Target, useTarget, watch } from './support.ts'

const MIB = 1024 * 1024
const target = useTarget({
  limits: {
    requests_in_flight: isFull ? 1000 : 200,
    key_pool_size: 0,
    // The bystander asks faster than people do.
    burst_per_identity: 10_000,
  },
})

const head = (path: string, lines: readonly string[]): string =>
  [`POST ${path} HTTP/1.1`, 'Host: tts.test', ...lines, '', ''].join('\r\n')

/** 65,000 chunks of one byte: 390 kB on the wire. */
const tinyChunks = '1\r\na\r\n'.repeat(65_000)
const withToken = (): string =>
  `Authorization: Bearer ${target().token('alice', { sub: 'attacker' })}`

async function attacked(
  name: string,
  count: number,
  send: (target: Target, index: number) => string,
  reads = true,
): Promise<void> {
  // The first request of all makes a key and fetches the JWKS.
  await watch(target(), () => pause(200))
  const quiet = await watch(target(), () => pause(isFull ? 5000 : 700))
  const before = await target().memory()
  let held: Awaited<ReturnType<typeof hold>> | undefined
  let during = 0
  const seen = await watch(target(), async () => {
    held = await hold(target(), count, (index) => send(target(), index), reads)
    await pause(isFull ? 8000 : 1200)
    during = await target().memory()
  })
  held?.end()
  report(name, quiet, seen)
  expect(target().isAlive()).toBe(true)
  expect(Object.keys(seen.statuses)).toEqual(['200'])
  expect((during - before) / MIB).toBeLessThan(40)
}

describe('tiny chunks that are held open', () => {
  test.for([
    '/v1/proxies',
    '/v1/certificates',
    '/api/v2/iam/credential',
    '/download',
    '/v1/delegations',
    '/oauth2/token',
  ])('%s, no token', async (path) => {
    const type = 'Content-Type: application/x-www-form-urlencoded'
    const text = head(path, ['Transfer-Encoding: chunked', type]) + tinyChunks
    await attacked(`tiny chunks, ${path}`, isFull ? 300 : 60, () => text)
  })

  test('/v1/proxies, a token that takes long to verify', async () => {
    const { faults } = target().provider
    // An unknown key makes the service look for it, at a provider that hangs.
    faults.set('*', { kind: 'hang' })
    try {
      const lines = ['Transfer-Encoding: chunked', `Authorization: Bearer ${foreignToken()}`]
      const text = head('/v1/proxies', lines) + tinyChunks
      await attacked('tiny chunks, slow verification', isFull ? 300 : 60, () => text)
    } finally {
      faults.clear()
    }
  })

  test('/v1/proxies, a good token', async () => {
    const text = head('/v1/proxies', ['Transfer-Encoding: chunked', withToken()]) + tinyChunks
    await attacked('tiny chunks, good token', isFull ? 300 : 60, () => text)
  })
})

/** Header and payload of a sound token, with a key id that nobody knows. */
function foreignToken(): string {
  const [, payload, signature] = target().token().split('.')
  const header = { alg: 'RS256', kid: 'unknown', typ: 'at+jwt' }
  return [Buffer.from(JSON.stringify(header)).toString('base64url'), payload, signature].join('.')
}

describe('half-sent requests of one address', () => {
  test.for([
    { name: 'no token', lines: () => [] as string[] },
    { name: 'a good token', lines: () => [withToken()] },
  ])('half a body, $name', async ({ name, lines }) => {
    const text = `${head('/v1/proxies', ['Content-Length: 100', ...lines()])}half`
    await attacked(`half-sent, ${name}`, isFull ? 1000 : 300, () => text)
  })

  test('half a head', async () => {
    await attacked(
      'half a head',
      isFull ? 3000 : 400,
      () => 'POST /v1/proxies HTTP/1.1\r\nHost: tts',
    )
  })

  test('answers that nobody reads', async () => {
    const text = 'GET /openapi.json HTTP/1.1\r\nHost: tts.test\r\n\r\n'.repeat(15)
    await attacked('unread answers', isFull ? 300 : 60, () => text, false)
  })

  test('requests by the thousand on each connection', async () => {
    const text = 'GET /ca/ HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(20_000)
    await attacked('pipelined', isFull ? 300 : 60, () => text, false)
  })
})
