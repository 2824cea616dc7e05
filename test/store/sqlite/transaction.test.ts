import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sql } from 'kysely'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openSqlite } from '../../../src/store/sqlite/sqlite.ts'
import type { Database } from '../../../src/store/schema/tables.ts'

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

const insert = 'insert into notes (id, text) values (?, ?)'
const transact = async (...args: Parameters<NonNullable<Database['transact']>>) =>
  await database.transact?.(...args)

async function notes(): Promise<unknown[]> {
  const { rows } = await sql<{ id: number }>`select id from notes order by id`.execute(
    database.reads,
  )
  return rows.map(({ id }) => id)
}

test('every step is carried out for every row', async () => {
  const rows = [
    [1, 'a'],
    [2, 'b'],
  ]
  expect(await transact([{ sql: insert, rows }])).toEqual([])
  expect(await notes()).toEqual([1, 2])
})

test('what a refusing step finds is the answer, and nothing was written', async () => {
  await transact([{ sql: insert, rows: [[1, 'a']] }])
  const steps = [
    { sql: insert, rows: [[2, 'b']] },
    { sql: 'select id from notes where id = ?', rows: [[1], [7]], refuses: true },
  ]
  expect(await transact(steps)).toEqual([{ id: 1 }])
  expect(await notes()).toEqual([1])
})

test('a statement that fails undoes those before it, and the connection goes on', async () => {
  const rows = [
    [1, 'a'],
    [2, null],
  ]
  await expect(transact([{ sql: insert, rows }])).rejects.toMatchObject({
    errcode: expect.any(Number) as number,
  })
  expect(await notes()).toEqual([])
  expect(await transact([{ sql: insert, rows: [[3, 'c']] }])).toEqual([])
  expect(await notes()).toEqual([3])
})

test('waits for its turn when another transaction is open', async () => {
  const order: string[] = []
  let asked: Promise<unknown> = Promise.resolve()
  await database.writes.transaction().execute(async (transaction) => {
    asked = transact([{ sql: insert, rows: [[2, 'b']] }]).then(() => order.push('second'))
    await sql`insert into notes (id, text) values (1, 'a')`.execute(transaction)
    await new Promise((resolve) => setImmediate(resolve))
    order.push('first')
  })
  await asked
  expect(order).toEqual(['first', 'second'])
  expect(await notes()).toEqual([1, 2])
})
