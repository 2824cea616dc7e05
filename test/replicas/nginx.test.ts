/**
 * Replicas behind nginx, which has four servers and two of them always down: one is killed under load, and nobody
 * notices; with none left, callers get 503.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
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
/** Without a request for as long, nginx tries each replica again that did not answer. */
const TRIED_AGAIN_MS = 3100

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

  const startClients = async (clients = 4): Promise<Load> => {
    const { url, certificate } = replicas
    const load = await startLoad({ url, certificate, provider, clients, pauseMs: 20 })
    onTestFinished(() => load.end())
    return load
  }
  const progress = async (load: Load): Promise<void> => {
    const before = load.received.length
    await expect.poll(() => load.received.length, { interval: 20 }).toBeGreaterThan(before + 40)
  }

  const refusedConnections = (): number =>
    replicas.balancer.said().split('Connection refused').length - 1

  /** Nobody was refused. If somebody was: what nginx reported, and what the replicas answered that is not 200. */
  const expectNoneRefused = ({ refused, broken }: Load): void => {
    const answers = replicas.all.flatMap((replica) =>
      replica
        .logged()
        .split('\n')
        .filter((line) => /"status":(?!200)/.test(line)),
    )
    const said = [replicas.balancer.said(), ...answers].join('\n')
    expect([refused, broken], said).toEqual([[], []])
  }

  test('one is killed and comes back', async () => {
    const load = await startClients()
    await progress(load)
    for (const replica of replicas.all) {
      await replica.kill()
      await progress(load)
      await replica.start()
      // Until nginx tries it again, the other one is the only one that it knows.
      await expect
        .poll(() => replica.logged(), { interval: 20, timeout: LEFT_OUT_MS })
        .toContain('/v1/proxies')
      await progress(load)
    }
    await load.end()
    const { received } = load
    process.stdout.write(
      `nginx: ${received.length} received; slowest ${Math.round(load.slowest())} ms\n`,
    )
    expectNoneRefused(load)
    expect(await missingRecords(database, received)).toEqual(nothingMissing)
  })

  test('one of four is left, and a request that is sent to the others first gets there', async () => {
    const [gone, left] = replicas.all
    const process = left?.running()?.child
    await gone?.kill()
    // The one that is left has a request that it does not answer yet: `least_conn` prefers the others.
    process?.kill('SIGSTOP')
    const first = await startClients(1)
    await sleep(TRIED_AGAIN_MS)
    const before = refusedConnections()
    const second = await startClients(1)
    onTestFinished(() => void process?.kill('SIGCONT'))
    await expect.poll(refusedConnections, { interval: 20 }).toBe(before + 3)
    process?.kill('SIGCONT')
    for (const load of [first, second]) {
      await load.end()
      expectNoneRefused(load)
      expect(load.received.length).toBeGreaterThan(0)
    }
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
