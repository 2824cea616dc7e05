/** A cluster that starts all at once: every worker asks before there is a proxy. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { load } from '../support/load.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { openEngine, type RunningEngine } from '../../src/certcache/compose.ts'
import { loadSettings } from '../../src/certcache/settings/load-settings.ts'
import { startServer, type CertcacheServer } from '../../src/certcache/server/server.ts'
import { createLog } from '../../src/base/log.ts'
import { type OutsideWorld, startOutsideWorld } from './outside-world.ts'

const REQUESTS = 10_000
const CONNECTIONS = 500

let world: OutsideWorld
let engine: RunningEngine
let server: CertcacheServer
let logged = ''
beforeAll(async () => {
  world = await startOutsideWorld({ delegation: {} })
  const { settings } = await loadSettings(undefined, {
    environment: {
      CERTCACHE_SERVICE__URL: world.serviceUrl,
      CERTCACHE_SOURCE__TOKEN: await world.logIn(),
      CERTCACHE_STATE__DIRECTORY: join(world.directory, 'cold'),
      CERTCACHE_LISTEN__PORT: '0',
    },
    uid: process.getuid?.() ?? 0,
  })
  const log = createLog({
    level: 'info',
    name: 'certcache',
    destination: { write: (line) => void (logged += line) },
  })
  const now = (): Date => new Date()
  world.forgetCounts()
  // The provider takes its time: all connections are there before the first proxy.
  world.provider.faults.set('/token', { kind: 'slow', delayMs: 1500 })
  engine = await openEngine(settings, {
    log,
    // Nothing is due again before the test is over.
    clock: { now, sleep: untilAborted },
    random: () => 0,
    environment: {},
    uid: process.getuid?.() ?? 0,
    background: true,
  })
  server = await startServer({ engine, settings, log, now, version: '0.0.0-test' })
})
afterAll(async () => {
  await server.close(1000)
  await engine.close()
  await world.end()
})

async function untilAborted(_milliseconds: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
}

const metric = async (name: string): Promise<string | undefined> => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return text
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length + 1)
}

test(`${REQUESTS} requests by ${CONNECTIONS} connections: one exchange, one translation, no error`, async () => {
  const port = Number(new URL(server.url).port)
  const request = Buffer.from(`GET /get_proxy HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  expect(engine.current()).toBeUndefined()
  const bodies = new Set<string>()
  const asking = load({
    host: '127.0.0.1',
    port,
    requests: [request],
    connections: CONNECTIONS,
    count: REQUESTS,
    durationMs: 60_000,
    onAnswer: (answer) => void bodies.add(answer.slice(answer.indexOf('\r\n\r\n') + 4)),
  })
  // All of them wait for the same proxy, while nothing was issued.
  await expect.poll(() => metric('certcache_waiting_requests')).toBe(String(CONNECTIONS))
  expect(await world.issued()).toBe(0)

  const { succeeded, failed, firstFailure } = await asking
  expect({ succeeded, failed, firstFailure }).toEqual({
    succeeded: REQUESTS,
    failed: 0,
    firstFailure: undefined,
  })
  // One and the same whole proxy for everybody.
  expect(bodies.size).toBe(1)
  const [body = ''] = bodies
  expect(body).toBe(engine.current()?.pem.toString('latin1'))
  expect(parseProxyFile(body).privateKey).toBeDefined()

  // The exchange, and the refresh that comes before every translation of a delegation.
  expect(world.asked().token).toBe(2)
  expect(await world.issued()).toBe(1)
  expect(engine.status().proxies[0]?.attempts).toEqual({ succeeded: 1, failed: 0 })
  const counted = 'certcache_http_requests_total{path="/get_proxy",status="200"}'
  expect(await metric(counted)).toBe(String(REQUESTS))
  expect(logged).not.toMatch(/"level":"(warn|error)"/)
})
