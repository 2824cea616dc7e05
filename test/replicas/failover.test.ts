/**
 * Three replicas behind HAProxy, on a primary with a synchronous standby. The primary is killed under load, and the
 * standby promoted.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { ask } from '../support/postgres.ts'
import { type PostgresPair, startPostgresPair } from '../support/postgres-pair.ts'
import {
  type Load,
  missingRecords,
  nothingMissing,
  type Received,
  startLoad,
} from '../support/replica-load.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'

const REPLICAS = 3
/** Time without a primary. */
const OUTAGE_MS = 2000
const AFTER_MS = 1000

describeWithTools('failover of PostgreSQL under load', ['postgresql', 'haproxy'], () => {
  let pair: PostgresPair
  let provider: IdentityProvider
  let replicas: Replicas
  beforeAll(async () => {
    pair = await startPostgresPair()
    await pair.createDatabase('tts')
    provider = await startIdentityProvider()
    replicas = await startReplicas({ count: REPLICAS, database: pair.url('tts'), provider })
  })
  afterAll(async () => {
    await replicas.stop()
    await provider.close()
    await pair.stop()
  })

  const untilReceived = async (load: Load, more: number): Promise<void> => {
    const wanted = load.received.length + more
    await expect
      .poll(() => load.received.length, { interval: 20, timeout: 15_000 })
      .toBeGreaterThan(wanted)
      .catch((error: unknown) => {
        throw new Error(JSON.stringify([load.refused.at(-1), load.broken.at(-1)]), { cause: error })
      })
  }

  test('503 with Retry-After meanwhile, then again; nothing handed out is lost', async () => {
    const { url, certificate } = replicas
    const load = await startLoad({ url, certificate, provider, clients: 6, pauseMs: 15 })
    await untilReceived(load, 100)

    await pair.first.kill()
    const killed = performance.now()
    await sleep(OUTAGE_MS)
    const promotion = performance.now()
    await pair.promote()
    const promoted = performance.now()
    await untilReceived(load, 100)
    await sleep(AFTER_MS)
    await load.end()

    const { received, refused, broken } = load
    const during = received.filter(({ at }) => at > killed + 500 && at < promotion)
    const first = Math.min(...received.filter(({ at }) => at > promotion).map(({ at }) => at))
    process.stdout.write(
      `failover: ${received.length} received, ${refused.length} refused; the promotion took ` +
        `${ms(promoted - promotion)}, the first proxy came ${ms(first - promotion)} after it was asked for ` +
        `and ${ms(first - promoted)} after it was done; slowest answer ${ms(load.slowest())}\n`,
    )
    expect(broken).toEqual([])
    expect(during).toEqual([])
    expect(refused.length).toBeGreaterThan(10)
    for (const { status, retryAfter, body, at } of refused) {
      expect([status, at < first + 5000], body).toEqual([503, true])
      expect(Number(retryAfter)).toBeGreaterThan(0)
    }
    expect(first - promotion).toBeLessThan(5000)
    expect(await missingRecords(pair.second.url('tts'), received)).toEqual(nothingMissing)
  })

  test('the former primary, back as a standby, is not written to', async () => {
    await pair.first.start({ standby: true })
    const before = await countOf(pair.first.url('tts'))
    const { url, certificate } = replicas
    const load = await startLoad({ url, certificate, provider, clients: 4, pauseMs: 15 })
    await untilReceived(load, 100)
    await load.end()
    expect([load.refused, load.broken]).toEqual([[], []])
    const after: readonly Received[] = load.received
    expect(await missingRecords(pair.second.url('tts'), after)).toEqual(nothingMissing)
    expect(await countOf(pair.first.url('tts'))).toBe(before)
  })
})

const ms = (time: number): string => `${Math.round(time)} ms`

async function countOf(url: string): Promise<unknown> {
  const [row] = await ask(url, 'select count(*)::int as count from certificates')
  return (row as { readonly count: number }).count
}
