/** PgBouncer between the service and PostgreSQL. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { storeSettings } from '../../../src/config/store-schema.ts'
import { openStore } from '../../../src/store/store.ts'
import { missingPgBouncer, startPgBouncer } from '../../support/pgbouncer.ts'
import {
  ask,
  missingPostgresPackage,
  type PostgresCluster,
  startPostgres,
} from '../../support/postgres.ts'
import { newCredential, newEndEntity, newMasterKeys, NOW } from '../support.ts'

const missing = missingPostgresPackage ?? missingPgBouncer
const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'

describe.skipIf(missing !== undefined && !required)('PgBouncer', () => {
  let cluster: PostgresCluster
  beforeAll(async () => {
    expect(missing, 'Debian package that TTS_TEST_REQUIRE_TOOLS asks for').toBeUndefined()
    cluster = await startPostgres()
  })
  afterAll(async () => cluster.stop())

  const open = async (url: string) =>
    openStore({
      settings: storeSettings.parse({ url, pool_size: 3 }),
      masterKeys: newMasterKeys(),
      now: () => NOW,
    })

  test('in session mode everything works, with our deadlines', async () => {
    const direct = await cluster.createDatabase()
    const name = new URL(direct).pathname.slice(1)
    const pooler = await startPgBouncer(cluster, 'session')
    const store = await open(pooler.url(name))
    try {
      const { identity, serial } = await newEndEntity(store)
      await newCredential(store, identity, serial)
      expect(await store.listCredentials({})).toHaveLength(1)
      await store.exclusively('a lock', async () => expect(await locksOf(direct)).toBe(1), 1000)
      const timeouts = await ask(
        direct,
        "select distinct setting from pg_settings where name = 'statement_timeout'",
      )
      expect(timeouts).toEqual([{ setting: '0' }])
      await expect(
        store.exclusively('a lock', async () => ask(pooler.url(name), 'select 1'), 1000),
      ).resolves.toHaveLength(1)
    } finally {
      await store.close()
      await pooler.stop()
    }
  })

  test.for([
    { mode: 'transaction' as const, check: 'pooler', says: /pools transactions/ },
    {
      mode: 'statement' as const,
      check: undefined,
      says: /Set pool_mode = session in PgBouncer\./,
    },
  ])('in $mode mode it is refused', async ({ mode, check, says }) => {
    const name = new URL(await cluster.createDatabase()).pathname.slice(1)
    const pooler = await startPgBouncer(cluster, mode)
    try {
      const refusal: unknown = await open(pooler.url(name)).catch((error: unknown) => error)
      expect(refusal).toMatchObject({ check })
      const { message, remedy } = refusal as { message: string; remedy: string }
      expect(`${message}. ${remedy}`).toMatch(says)
    } finally {
      await pooler.stop()
    }
  })

  test('a database that it does not have is said', async () => {
    const pooler = await startPgBouncer(cluster, 'session')
    try {
      await expect(open(pooler.url('nowhere'))).rejects.toMatchObject({
        code: 'store_unavailable',
        remedy: expect.stringMatching(/^There is no database of this name\. /) as string,
      })
    } finally {
      await pooler.stop()
    }
  })
})

async function locksOf(url: string): Promise<number> {
  const rows = await ask(url, "select 1 from pg_locks where locktype = 'advisory'")
  return rows.length
}
