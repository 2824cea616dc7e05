import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fillPostgres, fillSqlite } from '../../bench/rows.ts'
import { listAudit } from '../../src/store/audit.ts'
import { listCredentials } from '../../src/store/credentials.ts'
import { openPostgres } from '../../src/store/postgres/postgres.ts'
import { migrate } from '../../src/store/schema/migrations.ts'
import type { Database, Tables } from '../../src/store/schema/tables.ts'
import { openSqlite } from '../../src/store/sqlite/sqlite.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { type PostgresCluster, startPostgres } from '../support/postgres.ts'

const COUNT = 250
const NOW = Date.parse('2026-11-01T12:00:00Z')
const options = { count: COUNT, issuer: 'http://127.0.0.1:1', now: NOW }
const TIMEOUT_MS = 30_000

async function count(database: Database, table: keyof Tables): Promise<number> {
  const { fn } = database.reads
  const row = await database.reads
    .selectFrom(table)
    .select(fn.countAll().as('rows'))
    .executeTakeFirstOrThrow()
  return Number(row.rows)
}

/** What must hold in both databases. */
async function checkRows(database: Database): Promise<void> {
  expect(await count(database, 'credentials')).toBe(COUNT)
  expect(await count(database, 'audit')).toBe(COUNT)
  // 20 credentials for each EEC, 5 EECs for each identity.
  expect(await count(database, 'certificates')).toBe(COUNT + 13)
  expect(await count(database, 'identities')).toBe(3)
  const views = await listCredentials(database, { limit: 1000 })
  expect(views).toHaveLength(COUNT)
  for (const { id, identity, certificates, issuedAt, notAfter } of views) {
    expect(id).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
    expect(certificates).toHaveLength(1)
    expect(certificates[0]?.subject.startsWith(`${identity.subject}/CN=`)).toBe(true)
    expect(certificates[0]?.serial).toMatch(/^[0-9a-f]{18}$/)
    expect(issuedAt.getTime()).toBeLessThan(NOW)
    expect(notAfter?.getTime()).toBeLessThan(NOW)
  }
  const lines = await listAudit(database, { limit: 1000 })
  expect(new Set(lines.map(({ credentialId }) => credentialId))).toEqual(
    new Set(views.map(({ id }) => id)),
  )
}

describe('rows in SQLite', () => {
  const directory = mkdtempSync(join(tmpdir(), 'tts-bench-rows-'))
  const path = join(directory, 'tts.db')
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  test('are what the store reads, and refer to each other', async () => {
    const made = await openSqlite(path, TIMEOUT_MS)
    await migrate(made)
    await made.destroy()
    await fillSqlite(path, options)
    const raw = new DatabaseSync(path)
    expect(raw.prepare('pragma foreign_key_check').all()).toEqual([])
    expect(raw.prepare('pragma integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
    raw.close()
    const database = await openSqlite(path, TIMEOUT_MS)
    try {
      await checkRows(database)
    } finally {
      await database.destroy()
    }
  })
})

describeWithTools('rows in PostgreSQL', ['postgresql'], () => {
  let cluster: PostgresCluster
  beforeAll(async () => {
    cluster = await startPostgres()
  })
  afterAll(() => cluster.stop())

  test('are what the store reads', async () => {
    const url = await cluster.createDatabase()
    const database = openPostgres({ url, poolSize: 2, timeoutMs: TIMEOUT_MS })
    try {
      await migrate(database)
      await fillPostgres(url, options)
      await checkRows(database)
    } finally {
      await database.destroy()
    }
  })
})
