/**
 * A cluster that starts all at once, each worker on a connection and from an address of its own: all of them get the
 * proxy of one exchange and one translation. TTS_TEST_FULL=1: 10,000.
 */
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { openFilesLimit } from '../../src/base/open-files.ts'
import { connectionLimit } from '../../src/certcache/server/listening.ts'
import { usageOf } from '../../bench/process-cpu.ts'
import { isFull } from '../support/full.ts'
import { programPath, type Started, startProgram } from '../support/programs.ts'
import { type OutsideWorld, startOutsideWorld } from './outside-world.ts'

/** Both ends are open here: those of certcache count in its own process. */
const WORKERS = Math.min(isFull ? 10_000 : 5000, (openFilesLimit() ?? 1024) - 500)
/** The provider takes so long for each of its two answers that all workers have asked before there is a proxy. */
const ANSWER_MS = isFull ? 9000 : 5000

let world: OutsideWorld
let certcache: Started
let url = ''
beforeAll(async () => {
  world = await startOutsideWorld({ delegation: {} })
  const token = await world.logIn()
  world.forgetCounts()
  world.provider.faults.set('/token', { kind: 'slow', delayMs: ANSWER_MS })
  certcache = startProgram(programPath('src/certcache/main.ts'), ['serve'], {
    env: {
      CERTCACHE_SERVICE__URL: world.serviceUrl,
      CERTCACHE_SOURCE__TOKEN: token,
      CERTCACHE_STATE__DIRECTORY: join(world.directory, 'herd'),
      CERTCACHE_LISTEN__PORT: '0',
    },
  })
  ;[, url = ''] = await certcache.says(/"certcache\.started","url":"([^"]+)"/)
})
afterAll(async () => {
  certcache.child.kill('SIGTERM')
  expect(await certcache.ended).toBe(0)
  await world.end()
})

async function metric(name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1])
}

/** Returns the whole answer, or what went wrong. */
function askAsWorker(number: number): Promise<string> {
  const { port } = new URL(url)
  const localAddress = `127.1.${Math.floor(number / 250)}.${(number % 250) + 1}`
  return new Promise((resolve) => {
    let answer = ''
    const socket: Socket = connect({ host: '127.0.0.1', port: Number(port), localAddress })
    socket.setEncoding('latin1').on('data', (text: string) => (answer += text))
    socket.once('connect', () =>
      socket.write(
        `GET /get_proxy HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`,
      ),
    )
    socket.once('error', (error) => resolve(String(error)))
    socket.once('close', () => resolve(answer))
  })
}

test(
  `${WORKERS} workers: one exchange, one translation, no error`,
  { timeout: 120_000 },
  async () => {
    const begun = performance.now()
    const asking = Array.from({ length: WORKERS }, (_, number) => askAsWorker(number))
    await expect
      .poll(() => metric('certcache_waiting_requests'), { timeout: 60_000, interval: 200 })
      .toBe(WORKERS)
    const waitingMs = performance.now() - begun
    const { rssBytes } = usageOf(certcache.child.pid ?? 0)
    const answers = await Promise.all(asking)
    const seconds = ((performance.now() - begun) / 1000).toFixed(1)
    process.stdout.write(
      `${WORKERS} workers wait after ${(waitingMs / 1000).toFixed(1)} s, with ${(rssBytes / 1e6).toFixed(0)} MB; all have their proxy after ${seconds} s\n`,
    )

    const kinds = new Map<string, number>()
    for (const answer of answers) {
      const kind = answer.slice(0, answer.indexOf('\r\n'))
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    }
    expect(Object.fromEntries(kinds)).toEqual({ 'HTTP/1.1 200 OK': WORKERS })
    const bodies = new Set(answers.map((answer) => answer.slice(answer.indexOf('\r\n\r\n') + 4)))
    expect(bodies.size).toBe(1)
    expect(parseProxyFile([...bodies][0] ?? '').privateKey).toBeDefined()
    // The exchange, and the refresh that comes before every translation of a delegation.
    expect(world.asked().token).toBe(2)
    expect(await world.issued()).toBe(1)
  },
)

test.for([
  [{ openFiles: undefined, memoryBytes: 0, isTls: false }, 12_000],
  [{ openFiles: 1_048_576, memoryBytes: 2 ** 64, isTls: true }, 12_000],
  [{ openFiles: 4096, memoryBytes: 0, isTls: false }, 3896],
  [{ openFiles: 256, memoryBytes: 0, isTls: false }, 100],
  [{ openFiles: 1_048_576, memoryBytes: 256 * 2 ** 20, isTls: true }, 1480],
  [{ openFiles: 1_048_576, memoryBytes: 256 * 2 ** 20, isTls: false }, 5921],
  [{ openFiles: 1_048_576, memoryBytes: 2 ** 30, isTls: true }, 11_546],
  [{ openFiles: 1_048_576, memoryBytes: 64 * 2 ** 20, isTls: true }, 100],
] as const)('%j allows %i connections', ([room, connections]) => {
  expect(connectionLimit(room)).toBe(connections)
})
