/** No table of the schema is forgotten in a backup. */
import { expect, test } from 'vitest'
import { BACKED_UP_TABLES, NUMBERED_TABLES } from '../../src/store/table-backup.ts'
import { describeStores } from './support.ts'

/** Tables whose rows need not outlive a loss: answers to pick up, logins, and the row that tests writing. */
const LEFT_OUT = ['pickups', 'web_sessions', 'heartbeat']

const QUERIES = {
  sqlite: {
    tables: `select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'`,
    references: `select t.name as name, f."table" as target
      from sqlite_schema t join pragma_foreign_key_list(t.name) f where t.type = 'table'`,
  },
  postgresql: {
    tables: `select table_name as name from information_schema.tables where table_schema = 'public'`,
    references: `select conrelid::regclass::text as name, confrelid::regclass::text as target
      from pg_constraint where contype = 'f'`,
  },
}
/** SQLite continues after the highest number by itself. */
const NUMBERED = `select table_name as name from information_schema.columns
  where table_schema = 'public' and (is_identity = 'YES' or column_default like 'nextval%')`

describeStores('the tables of a backup', ({ kind, newDatabase, open, query }) => {
  const { tables, references } = QUERIES[kind]

  async function ask(sql: string): Promise<readonly { name: string; target: string }[]> {
    const settings = await newDatabase()
    await open(settings)
    return (await query(settings, sql)) as { name: string; target: string }[]
  }

  test('are all of the schema, except those whose loss is harmless', async () => {
    const names = (await ask(tables)).map(({ name }) => name)
    const ours = names.filter((name) => !name.startsWith('kysely_'))
    expect(ours.toSorted()).toEqual([...BACKED_UP_TABLES, ...LEFT_OUT].toSorted())
  })

  test('come after those that they refer to', async () => {
    const order: readonly string[] = BACKED_UP_TABLES
    const found = (await ask(references)).filter(
      ({ name, target }) => name !== target && order.includes(name),
    )
    expect(found.length).toBeGreaterThan(3)
    expect(found.filter(({ name, target }) => order.indexOf(target) > order.indexOf(name))).toEqual(
      [],
    )
    expect(found.filter(({ target }) => !order.includes(target))).toEqual([])
  })

  if (kind === 'postgresql')
    test('continue their numbers', async () => {
      const names = (await ask(NUMBERED)).map(({ name }) => name)
      expect(names.toSorted()).toEqual([...NUMBERED_TABLES].toSorted())
    })
})
