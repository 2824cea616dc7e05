/**
 * Thirty days in seconds (a quarter of that in `npm test`): the real engine and HTTP server of certcache, the real
 * service, a real OpenID provider that rotates refresh tokens and forgets the old ones at once. Only the time is
 * made.
 */
import { X509Certificate } from 'node:crypto'
import { afterEach, expect, test } from 'vitest'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import type { RunningEngine } from '../../src/certcache/compose.ts'
import { createResponseCache } from '../../src/certcache/server/served-proxy.ts'
import { createLog } from '../../src/base/log.ts'
import { settingsIn, startEngine } from './engine-support.ts'
import { serverSettings, testServer, type TestServer } from './server-support.ts'
import { type OutsideWorld, startOutsideWorld } from './outside-world.ts'
import { isFull } from '../support/full.ts'
import { SlowMotion } from './slow-motion.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const STEP = 10 * MINUTE
const PROXY_LIFE = 12 * HOUR
/** In the short form the same happens, at a quarter of the distances. */
const DAYS = isFull ? 30 : 7.5
/** What certcache was not told: it is the default of the settings. */
const RENEW_BELOW = 0.667
const JITTER = 0.1

const cleanups: (() => void | Promise<void>)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

/** The same numbers in each run. */
function seeded(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

type Kind = 'delegation' | 'refresh'

/** A certcache with its HTTP server; started again it knows only what it kept. */
class Certcache {
  readonly #world: OutsideWorld
  readonly #time: SlowMotion
  readonly #kind: Kind
  readonly #random = seeded(7)
  #engine: RunningEngine | undefined
  #server: TestServer | undefined
  #responses: ReturnType<typeof createResponseCache> | undefined
  /** Of all runs. */
  readonly attempts = { succeeded: 0, failed: 0 }

  constructor(world: OutsideWorld, time: SlowMotion, kind: Kind) {
    this.#world = world
    this.#time = time
    this.#kind = kind
  }

  get engine(): RunningEngine {
    if (this.#engine === undefined) throw new Error('certcache does not run')
    return this.#engine
  }

  async start(token?: string): Promise<void> {
    const { clock } = this.#time
    const settings = await settingsIn(this.#world.directory, {
      service: { url: this.#world.serviceUrl },
      source: {
        kind: this.#kind,
        ...(token === undefined ? {} : { token }),
        ...(this.#kind === 'refresh' ? this.#world.ownClient : {}),
      },
      proxies: { gwms_proxy: { key_type: 'ec-p256', lifetime_seconds: PROXY_LIFE / 1000 } },
      // The defaults.
      renewal: { retry_first_seconds: 5, retry_longest_seconds: 900 },
    })
    const parts = { clock, random: this.#random, pollMs: HOUR }
    this.#engine = (await startEngine(settings, parts)).engine
    const now = (): Date => clock.now()
    this.#server = await testServer(this.#engine, { now, settings: serverSettings() })
    const log = createLog({ level: 'silent', name: 'responses' })
    const warnBelowSeconds = (): number => 43_200
    this.#responses = createResponseCache({ engine: this.#engine, now, log, warnBelowSeconds })
    await this.#time.settled(this.#engine)
  }

  async stop(): Promise<void> {
    const [status] = this.engine.status().proxies
    this.attempts.succeeded += status?.attempts.succeeded ?? 0
    this.attempts.failed += status?.attempts.failed ?? 0
    await this.#server?.close(100)
    await this.engine.close()
    this.#engine = undefined
  }

  /**
   * What a request for /get_proxy would be answered with at this moment; the request itself costs too much for each
   * step.
   */
  get served(): Buffer | undefined {
    return this.#responses?.current('gwms_proxy', this.#time.clock.now().getTime())?.held.pem
  }

  async ask(path: string) {
    if (this.#server === undefined) throw new Error('certcache does not run')
    return this.#server.ask(path)
  }
}

interface Life {
  readonly beginMs: number
  readonly endMs: number
}
const lives = new WeakMap<Buffer, Life>()

/** From the latest begin to the earliest end of all certificates in the file, read by OpenSSL. */
function lifeOf(pem: Buffer): Life {
  const known = lives.get(pem)
  if (known !== undefined) return known
  const found = parseProxyFile(pem.toString()).certificates.map(
    ({ der }) => new X509Certificate(der),
  )
  const life = {
    beginMs: Math.max(...found.map(({ validFrom }) => Date.parse(validFrom))),
    endMs: Math.min(...found.map(({ validTo }) => Date.parse(validTo))),
  }
  lives.set(pem, life)
  return life
}

const untilNextAttempt = ({ engine }: Certcache, time: SlowMotion): number =>
  (engine.status().proxies[0]?.nextAttemptAt?.getTime() ?? Infinity) - time.clock.now().getTime()

test.for(['delegation', 'refresh'] as const)(
  'thirty days by %s: never an expired proxy, and the provider is asked as little as can be',
  { timeout: 120_000 },
  async (kind) => {
    const time = new SlowMotion(new Date('2026-03-02T08:00:00Z'))
    cleanups.push(() => time.release())
    const world = await startOutsideWorld({ delegation: {}, refreshIn: 'here' })
    cleanups.push(async () => world.end())
    const cache = new Certcache(world, time, kind)
    const token = await world.logIn()
    world.forgetCounts()
    await cache.start(token)
    await cache.engine.obtain(undefined, AbortSignal.timeout(10_000))

    let steps = 0
    let shortestLeftMs = Infinity
    const look = (): void => {
      steps += 1
      const pem = cache.served
      if (pem === undefined)
        throw new Error(
          `no proxy on ${new Date().toISOString()}: ${JSON.stringify(cache.engine.status())}`,
        )
      const { beginMs, endMs } = lifeOf(pem)
      const leftMs = endMs - Date.now()
      shortestLeftMs = Math.min(shortestLeftMs, leftMs)
      if (leftMs <= 0 || beginMs > Date.now())
        throw new Error(`a proxy that is not valid was served on ${new Date().toISOString()}`)
    }
    const live = async (milliseconds: number): Promise<void> =>
      time.live(milliseconds, () => cache.engine, look)
    /** Goes on in steps until the next renewal is less than ten minutes away: then it hurts most. */
    const untilRenewalIsNear = async (): Promise<void> => {
      while (untilNextAttempt(cache, time) > 10 * MINUTE) await live(STEP)
    }
    const failedBefore = (): number => cache.engine.status().proxies[0]?.attempts.failed ?? 0
    const start = Date.now()
    /** @param day of thirty */
    const untilDay = async (day: number): Promise<void> => {
      while (Date.now() < start + (day / 30) * DAYS * DAY) {
        await live(STEP)
        if (steps % 100 === 0)
          expect((await cache.ask('/get_proxy')).body.equals(cache.served ?? Buffer.of())).toBe(
            true,
          )
      }
    }
    const story: string[] = []

    await untilDay(3)
    await untilRenewalIsNear()
    await world.provider.goDown()
    let failed = failedBefore()
    await live(90 * MINUTE)
    expect(cache.engine.status().proxies[0]?.lastError?.message).toMatch(
      /the identity provider \S+ cannot be reached/,
    )
    // A restart in the middle: what was kept is served at once, with the provider away and no token.
    story.push(`IAM away for 3 h: ${failedBefore() - failed} attempts in the first half`)
    await cache.stop()
    await cache.start()
    look()
    await live(90 * MINUTE)
    story.push(`${failedBefore()} in the second, after a restart`)
    // 3 h of waits that double from 5 s to 15 min, each between half of that and all of it.
    expect(failedBefore()).toBeLessThan(30)
    await world.provider.comeUp()
    const attempted = cache.engine.status().proxies[0]?.attempts.succeeded ?? 0
    // It is back: the next attempt is not far.
    await live(16 * MINUTE)
    expect(cache.engine.status().proxies[0]).toMatchObject({
      lastError: undefined,
      attempts: { succeeded: attempted + 1 },
    })

    await untilDay(8)
    await untilRenewalIsNear()
    failed = failedBefore()
    const before = world.asked().token
    await world.stopService()
    await live(2 * HOUR)
    const inVain = world.asked().token - before
    story.push(
      `service away for 2 h: ${failedBefore() - failed} attempts, ${inVain} access tokens got in vain`,
    )
    expect(failedBefore()).toBeGreaterThan(failed)
    await world.startService()
    await live(16 * MINUTE)
    expect(cache.engine.status().proxies[0]?.lastError).toBeUndefined()

    // Clocks: certcache's own is 10 minutes ahead, right, 10 minutes behind, right again; each across renewals.
    for (const [day, minutes] of [
      [11, 10],
      [12, 0],
      [13, -10],
      [14, 0],
    ] as const) {
      await untilDay(day)
      if (day % 2 === 1) await untilRenewalIsNear()
      time.wrongByMs = minutes * MINUTE
      look()
    }
    // Everybody's: forward and back.
    for (const [day, minutes] of [
      [17, 10],
      [18, -10],
      [20, -10],
      [21, 10],
    ] as const) {
      await untilDay(day)
      // Half an hour into the life of a proxy: no clock makes one that begins in the future valid.
      await untilRenewalIsNear()
      await live(45 * MINUTE)
      time.step(minutes * MINUTE)
      look()
    }
    await untilDay(30)

    const { attempts: last } = cache.engine.status().proxies[0] ?? {}
    const renewals = cache.attempts.succeeded + (last?.succeeded ?? 0)
    const asked = world.asked()
    // A proxy of 12 hours is renewed after a third of its life, up to a tenth of that wait earlier; outages only delay.
    const longestWait = PROXY_LIFE * (1 - RENEW_BELOW)
    expect(renewals).toBeGreaterThanOrEqual(Math.floor((DAYS * DAY - 5 * HOUR) / longestWait))
    expect(renewals).toBeLessThanOrEqual(Math.ceil((DAYS * DAY) / (longestWait * (1 - JITTER))) + 1)
    // One exchange, then one refresh for each proxy; an own client has the first access token by the exchange already.
    const least = kind === 'delegation' ? 1 + renewals : renewals
    process.stdout.write(
      `${kind}: ${DAYS} days in ${steps} steps, ${renewals} proxies, shortest life left ${(shortestLeftMs / HOUR).toFixed(1)} h\n` +
        `  asked of IAM: ${asked.token} at /token (least possible ${least}), ${asked.discovery} discovery, ${asked.keys} keys\n` +
        `  ${story.join('; ')}\n`,
    )
    // While the service is away no access token is got for it.
    expect(inVain).toBe(0)
    expect(asked.token).toBe(least)
    // Discovery: at the service's two starts; by an own client once a day and at each of its starts.
    expect(asked.discovery).toBeLessThanOrEqual(kind === 'delegation' ? 2 : 2 + 32)
    expect(asked.keys).toBeLessThanOrEqual(renewals + 3)
    // At the worst IAM was away for 3 h from the moment a renewal was due: that was with two thirds of the life left.
    expect(shortestLeftMs).toBeGreaterThan(PROXY_LIFE * RENEW_BELOW - 3 * HOUR - 16 * MINUTE)

    await suspended({ world, cache, time, kind })
  },
)

/**
 * The account is suspended: no further proxy, the old one to its last minute, then the reason. When it is restored,
 * renewal continues without a new token.
 */
async function suspended(parts: {
  readonly world: OutsideWorld
  readonly cache: Certcache
  readonly time: SlowMotion
  readonly kind: Kind
}): Promise<void> {
  const { world, cache, time, kind } = parts
  world.provider.user('alice').suspended = true
  const issued = await world.issued()
  const asked = world.asked().token
  const pem = cache.served
  if (pem === undefined) throw new Error('there is no proxy')
  const { endMs } = lifeOf(pem)
  const look = (): void => {
    if (cache.served !== pem) throw new Error('another proxy, or none, is served')
  }
  const live = async (milliseconds: number): Promise<void> =>
    time.live(milliseconds, () => cache.engine, look)
  while (endMs - Date.now() > STEP + MINUTE) await live(STEP)
  await live(endMs - Date.now() - MINUTE)
  const late = await cache.ask('/get_proxy')
  expect(late.status).toBe(200)
  expect(late.body.equals(pem)).toBe(true)
  expect(late.headers['tts-warning']).toBe('renewal is late: this proxy expires soon')
  await live(MINUTE - 1000)
  expect((await cache.ask('/get_proxy')).status).toBe(200)

  time.pass(1000)
  await time.settled(cache.engine)
  const over = await cache.ask('/get_proxy')
  expect(over.status).toBe(503)
  expect(over.text).toMatch(/^No valid proxy is available: .*(suspended|disabled|not active)/i)
  expect(Number(over.headers['retry-after'])).toBeGreaterThan(0)
  expect(over.text).not.toContain('PRIVATE KEY')
  expect((await cache.ask('/health')).status).toBe(503)
  expect(cache.engine.status().source.ended).toBeUndefined()
  expect(await world.issued()).toBe(issued)
  // Slow attempts: the waits double up to a quarter of an hour, and the jitter halves them at most.
  const attempts = world.asked().token - asked
  expect(attempts).toBeGreaterThan(1)
  expect(attempts).toBeLessThan(8 + PROXY_LIFE / (7.5 * MINUTE))

  // The account is restored: the next attempt succeeds.
  world.provider.user('alice').suspended = false
  for (let step = 0; step < 10 && cache.served === undefined; step += 1) {
    time.pass(2 * MINUTE)
    await time.settled(cache.engine)
  }
  const proxy = await cache.engine.obtain(undefined, AbortSignal.timeout(10_000))
  expect(lifeOf(proxy.pem).endMs).toBeGreaterThan(Date.now() + 11 * HOUR)
  expect(cache.engine.status().source).toMatchObject({ kind, ended: undefined })
}
