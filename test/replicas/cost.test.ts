/** What one proxy costs in PostgreSQL. docs/scaling.md calculates with these figures. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { ask, type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { countAnswers } from '../support/replica-load.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'

const PROXIES = 400
/** Statistics of finished transactions are visible after this time. */
const STATISTICS_MS = 1500

interface Counters {
  readonly commits: number
  readonly wal_bytes: number
  readonly full_pages: number
  readonly row_bytes: number
}

const COUNTERS = `select
  (select xact_commit from pg_stat_database where datname = current_database())::int as commits,
  (select wal_bytes from pg_stat_wal)::int as wal_bytes,
  (select wal_fpi from pg_stat_wal)::int as full_pages,
  (select sum(pg_total_relation_size(relid)) from pg_stat_user_tables)::int as row_bytes`

describeWithTools('the cost of a proxy in PostgreSQL', ['postgresql', 'haproxy'], () => {
  let cluster: PostgresCluster
  let database = ''
  let provider: IdentityProvider
  let replicas: Replicas
  beforeAll(async () => {
    cluster = await startPostgres()
    database = await cluster.createDatabase()
    provider = await startIdentityProvider()
    replicas = await startReplicas({ count: 1, database, provider })
  })
  afterAll(async () => {
    await replicas.stop()
    await provider.close()
    await cluster.stop()
  })

  const counters = async (): Promise<Counters> => {
    await sleep(STATISTICS_MS)
    return (await ask(database, COUNTERS))[0] as Counters
  }

  test.for([
    { atOnce: 1, most: { commits: 4, wal: 6000, rows: 3000 } },
    { atOnce: 24, most: { commits: 3, wal: 6000, rows: 3000 } },
  ])('$atOnce at a time', async ({ atOnce, most }) => {
    const { url, certificate } = replicas
    const send = async (requests: number) =>
      countAnswers({ url, certificate, provider }, 'alice', { requests, atOnce })
    await send(30)
    const before = await counters()
    expect(await send(PROXIES)).toEqual({ 200: PROXIES })
    const after = await counters()
    const per = (name: keyof Counters): number => (after[name] - before[name]) / PROXIES
    process.stdout.write(
      `${atOnce} at a time, for each proxy: ${per('commits').toFixed(2)} transactions, ` +
        `${per('wal_bytes').toFixed(0)} bytes of WAL (${per('full_pages').toFixed(2)} full pages), ` +
        `${per('row_bytes').toFixed(0)} bytes in tables and indexes\n`,
    )
    expect(per('commits')).toBeLessThan(most.commits)
    expect(per('wal_bytes')).toBeLessThan(most.wal)
    expect(per('row_bytes')).toBeLessThan(most.rows)
  })
})
