/** `ca/database-id`: the id of the database with which the CA issues. It is not secret. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { authorityPaths } from './authority-files.ts'
import { writePrivateFile } from './private-file.ts'

const markPath = (dataDirectory: string): string =>
  join(authorityPaths(dataDirectory).directory, 'database-id')

/** Returns the id; undefined if the CA has not issued yet. */
export async function readDatabaseMark(dataDirectory: string): Promise<string | undefined> {
  const text = await readFile(markPath(dataDirectory), 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  })
  return text?.trim()
}

/** Writes the id unless it is there already. @throws as `writePrivateFile` */
export async function writeDatabaseMark(dataDirectory: string, id: string): Promise<void> {
  if ((await readDatabaseMark(dataDirectory)) === id) return
  await writePrivateFile(markPath(dataDirectory), `${id}\n`, { mode: 0o644 })
}
