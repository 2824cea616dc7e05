/** The next release of the program: a copy of the sources with one more schema change, which it depends on. */
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')

export interface NextRelease {
  /** Root of its source tree. */
  readonly sources: string
  remove(): void
}

/**
 * Makes it. Its schema change adds a column, which it fills in each credential, and a table, in which it writes the
 * row that `/readyz` depends on.
 *
 * @param change name of its schema change
 */
export function makeNextRelease(change: string): NextRelease {
  const sources = mkdtempSync(join(tmpdir(), 'tts-next-release-'))
  for (const part of ['src', 'ca', 'plugins', 'package.json'])
    cpSync(join(root, part), join(sources, part), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(sources, 'node_modules'))
  const edit = (file: string, from: string, to: string): void => {
    const path = join(sources, file)
    const text = readFileSync(path, 'utf8')
    if (!text.includes(from)) throw new Error(`${file} has no ${from}`)
    writeFileSync(path, text.replace(from, to))
  }
  edit(
    'src/store/schema/migrations.ts',
    "    '0001_records': {",
    `    '${change}': {
      up: async (db: Kysely<Tables>) => {
        await db.schema.alterTable('credentials').addColumn('site', 'text').execute()
        await db.schema.createTable('heartbeat_next').addColumn('id', 'integer', (column) => column.primaryKey())
          .addColumn('at', 'bigint', (column) => column.notNull()).execute()
      },
    },
    '0001_records': {`,
  )
  edit(
    'src/store/upkeep.ts',
    "insertInto('heartbeat')",
    "insertInto('heartbeat_next' as 'heartbeat')",
  )
  edit(
    'src/store/schema/rows.ts',
    'service_id: storedText(credential.serviceId),',
    'service_id: storedText(credential.serviceId), site: "next",',
  )
  return { sources, remove: () => rmSync(sources, { recursive: true, force: true }) }
}
