/** What each limit is worth with four replicas: docs/scaling.md states the error. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { wideLimits } from '../api/support.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { ask, type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { countAnswers } from '../support/replica-load.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'

const REPLICAS = 4
const BURST = 40
const QUOTA = 30
/** A rate so low that the burst alone counts. */
const rates = {
  ...wideLimits,
  burst_per_identity: BURST,
  credentials_per_second_per_identity: 0.01,
}
const authz = { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] }

describeWithTools('limits over four replicas', ['postgresql', 'haproxy'], () => {
  let cluster: PostgresCluster
  let database = ''
  let provider: IdentityProvider
  let replicas: Replicas
  beforeAll(async () => {
    cluster = await startPostgres()
    database = await cluster.createDatabase()
    provider = await startIdentityProvider()
    const configuration = { limits: rates }
    replicas = await startReplicas({ count: REPLICAS, database, provider, configuration })
  })
  afterAll(async () => {
    await replicas.stop()
    await provider.close()
    await cluster.stop()
  })

  const reload = async (changes: Readonly<Record<string, unknown>>): Promise<void> => {
    replicas.configure(changes)
    await Promise.all(replicas.all.map(async (replica) => replica.reload()))
  }
  const answers = async (sub: string, requests: number, atOnce = 4) => {
    const { url, certificate } = replicas
    const counts = await countAnswers({ url, certificate, provider }, sub, { requests, atOnce })
    process.stdout.write(`${sub}: ${JSON.stringify(counts)}\n`)
    expect(Object.keys(counts).filter((status) => !['200', '429'].includes(status))).toEqual([])
    return counts[200] ?? 0
  }

  test('a rate is that of each replica: four times as much', async () => {
    const allowed = await answers('rate-each', REPLICAS * BURST + 60)
    expect(allowed).toBeGreaterThan(BURST * 2)
    expect(allowed).toBeLessThanOrEqual(REPLICAS * BURST)
  })

  test('limits.replicas divides it: never more than the limit, nearly all of it', async () => {
    await reload({ limits: { ...rates, replicas: REPLICAS } })
    const allowed = await answers('rate-divided', REPLICAS * BURST)
    expect(allowed).toBeLessThanOrEqual(BURST)
    expect(allowed).toBeGreaterThanOrEqual(BURST * 0.8)
  })

  test('a quota of credentials is exact, also for requests at the same moment', async () => {
    const services = { proxy: { authz, credential_limit: QUOTA } }
    await reload({ limits: wideLimits, services })
    expect(await answers('quota', QUOTA * 3, 24)).toBe(QUOTA)
    const recorded = `select count(*)::int as count from credentials c join identities i on i.id = c.identity_id where i.sub = 'quota'`
    expect(await ask(database, recorded)).toEqual([{ count: QUOTA }])
  })
})
