/**
 * Four replicas behind HAProxy under load: the next release and back, and another configuration, one replica after the
 * other. HAProxy sends a request that was refused with 503, or not answered, to another replica (deploy/haproxy); its
 * clients see no failure.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { isFull } from '../support/full.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { makeNextRelease, type NextRelease } from '../support/next-release.ts'
import { ask, type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { type Load, missingRecords, nothingMissing, startLoad } from '../support/replica-load.ts'
import { type Replica, type Replicas, startReplicas } from '../support/replicas.ts'
import { wideLimits } from '../api/support.ts'

const REPLICAS = 4
const CHANGE = '9999_expand_site'

describeWithTools('four replicas, one after the other', ['postgresql', 'haproxy'], () => {
  let cluster: PostgresCluster
  let database = ''
  let provider: IdentityProvider
  let replicas: Replicas
  let next: NextRelease
  beforeAll(async () => {
    cluster = await startPostgres()
    database = await cluster.createDatabase()
    provider = await startIdentityProvider()
    replicas = await startReplicas({ count: REPLICAS, database, provider })
    next = makeNextRelease(CHANGE)
  })
  afterAll(async () => {
    next.remove()
    await replicas.stop()
    await provider.close()
    await cluster.stop()
  })

  /** Does something to each replica under load; nobody may notice. */
  async function underLoad(
    name: string,
    each: (replica: Replica) => Promise<void>,
    count = REPLICAS,
  ): Promise<void> {
    const { url, certificate, all } = replicas
    const load = await startLoad({ url, certificate, provider, clients: 4, pauseMs: 25 })
    for (const replica of all.slice(0, count)) {
      await each(replica)
      await progress(load)
    }
    await load.end()
    const { received, refused, broken } = load
    process.stdout.write(
      `${name}: ${received.length} received, ${refused.length} refused, ${broken.length} broken; slowest answer ${Math.round(load.slowest())} ms\n`,
    )
    expect([refused, broken]).toEqual([[], []])
    expect(await missingRecords(database, received)).toEqual(nothingMissing)
  }

  async function progress(load: Load): Promise<void> {
    const before = load.received.length
    await expect.poll(() => load.received.length, { interval: 20 }).toBeGreaterThan(before + 20)
  }

  const columns = async (sql: string): Promise<unknown> =>
    (await ask(database, sql)).map((row) => Object.values(row as object)[0])
  const sites = async (): Promise<unknown> =>
    columns('select distinct site from credentials order by site')

  test('the next release with its schema change, and back', async () => {
    const restart = (sources?: string) => async (replica: Replica) => {
      expect(await replica.end()).toBe(0)
      await replica.start(sources)
    }
    await underLoad('upgrade', restart(next.sources))
    expect(await columns('select name from kysely_migration order by name desc limit 1')).toEqual([
      CHANGE,
    ])
    // Both releases wrote at the same time.
    expect(await sites()).toEqual(['next', null])
    const upgraded = await columns(`select count(*)::int from credentials where site is null`)
    // Two, because HAProxy uses a replica again only a second after it is ready.
    await underLoad('way back', restart(), isFull ? REPLICAS : 2)
    const back = await columns(`select count(*)::int from credentials where site is null`)
    expect(Number(String(back))).toBeGreaterThan(Number(String(upgraded)))
    expect(await columns('select count(*)::int from heartbeat_next')).toEqual([1])
  })

  test('another configuration', async () => {
    replicas.configure({ limits: { ...wideLimits, requests_in_flight: 500 } })
    await underLoad('reload', async (replica) => replica.reload())
  })
})
