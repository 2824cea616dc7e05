/** Replicas behind nginx: one is killed under load, and nobody notices; with none left, callers get 503. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { type Load, missingRecords, nothingMissing, startLoad } from '../support/replica-load.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'

/** Longer than nginx leaves a replica out: `fail_timeout` in deploy/nginx, and up to a second for its whole seconds. */
const LEFT_OUT_MS = 10_000

describeWithTools('replicas behind nginx', ['postgresql', 'nginx'], () => {
  let cluster: PostgresCluster
  let database = ''
  let provider: IdentityProvider
  let replicas: Replicas
  beforeAll(async () => {
    cluster = await startPostgres()
    database = await cluster.createDatabase()
    provider = await startIdentityProvider()
    replicas = await startReplicas({ count: 2, database, provider, balancer: 'nginx' })
  })
  afterAll(async () => {
    await replicas.stop()
    await provider.close()
    await cluster.stop()
  })

  const startClients = async (): Promise<Load> => {
    const { url, certificate } = replicas
    return startLoad({ url, certificate, provider, clients: 4, pauseMs: 20 })
  }

  test('one is killed and comes back', async () => {
    const load = await startClients()
    const progress = async (): Promise<void> => {
      const before = load.received.length
      await expect.poll(() => load.received.length, { interval: 20 }).toBeGreaterThan(before + 40)
    }
    await progress()
    for (const replica of replicas.all) {
      await replica.kill()
      await progress()
      await replica.start()
      // Until nginx tries it again, the other one is the only one that it knows.
      await expect
        .poll(() => replica.logged(), { interval: 20, timeout: LEFT_OUT_MS })
        .toContain('/v1/proxies')
      await progress()
    }
    await load.end()
    const { received, refused, broken } = load
    process.stdout.write(
      `nginx: ${received.length} received; slowest ${Math.round(load.slowest())} ms\n`,
    )
    expect([refused, broken]).toEqual([[], []])
    expect(await missingRecords(database, received)).toEqual(nothingMissing)
  })

  test('without any, callers are told when to come again', async () => {
    await Promise.all(replicas.all.map(async (replica) => replica.kill()))
    const load = await startClients()
    await expect.poll(() => load.refused.length, { interval: 20 }).toBeGreaterThan(3)
    await load.end()
    for (const { status, retryAfter } of load.refused)
      expect([status, retryAfter]).toEqual([503, '1'])
    expect(load.received).toEqual([])
  })
})
