import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CompiledQuery, sql } from 'kysely'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createRecordBatch } from '../../../src/store/group-commit.ts'
import { migrate } from '../../../src/store/schema/migrations.ts'
import { auditRow } from '../../../src/store/schema/rows.ts'
import { openSqlite } from '../../../src/store/sqlite/sqlite.ts'
import type { Database } from '../../../src/store/schema/tables.ts'
import { auditLine } from '../support.ts'

let directory = ''
let database: Database
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-transact-'))
  database = await openSqlite(join(directory, 'tts.db'), 5000)
  await sql`create table notes (id integer primary key, text text not null)`.execute(
    database.writes,
  )
})
afterEach(async () => {
  await database.destroy()
  rmSync(directory, { recursive: true, force: true })
})

const insert = (id: number, text: string | null): CompiledQuery =>
  CompiledQuery.raw('insert into notes (id, text) values (?, ?)', [id, text])
const transact = (...args: Parameters<Database['transact']>) => database.transact(...args)

async function notes(): Promise<unknown[]> {
  const { rows } = await sql<{ id: number }>`select id from notes order by id`.execute(
    database.reads,
  )
  return rows.map(({ id }) => id)
}

test('every statement is carried out', async () => {
  expect(await transact([insert(1, 'a'), insert(2, 'b')])).toEqual([])
  expect(await notes()).toEqual([1, 2])
})

test('when the check selects rows, they are the answer and nothing was written', async () => {
  await transact([insert(1, 'a')])
  const check = (id: number) => CompiledQuery.raw('select id from notes where id = ?', [id])
  expect(await transact([insert(2, 'b')], check(1))).toEqual([{ id: 1 }])
  expect(await notes()).toEqual([1])
  expect(await transact([insert(2, 'b')], check(7))).toEqual([])
  expect(await notes()).toEqual([1, 2])
})

test('a statement that fails undoes those before it, and the connection goes on', async () => {
  await expect(transact([insert(1, 'a'), insert(2, null)])).rejects.toMatchObject({
    errcode: expect.any(Number) as number,
  })
  expect(await notes()).toEqual([])
  expect(await transact([insert(3, 'c')])).toEqual([])
  expect(await notes()).toEqual([3])
})

test('waits for its turn when another transaction is open', async () => {
  const order: string[] = []
  let asked: Promise<unknown> = Promise.resolve()
  await database.writes.transaction().execute(async (transaction) => {
    asked = transact([insert(2, 'b')]).then(() => order.push('second'))
    await sql`insert into notes (id, text) values (1, 'a')`.execute(transaction)
    await new Promise((resolve) => setImmediate(resolve))
    order.push('first')
  })
  await asked
  expect(order).toEqual(['first', 'second'])
  expect(await notes()).toEqual([1, 2])
})

test('a row that names its columns in another order is stored as it says', async () => {
  await migrate(database)
  const row = auditRow(auditLine({ detail: 'first' }))
  const other = { ...auditRow(auditLine({ detail: 'second', issuer: 'https://other.example/' })) }
  const reordered = Object.fromEntries(Object.entries(other).reverse()) as typeof row
  const entry = (audit: typeof row) => ({
    certificates: [],
    endEntityKeys: [],
    credentials: [],
    audit: [audit],
  })
  const commit = createRecordBatch(database)
  expect(await commit([entry(row), entry(reordered)])).toEqual([undefined, undefined])
  const stored = await database.reads.selectFrom('audit').selectAll().orderBy('id').execute()
  expect(stored).toMatchObject([row, other])
})
