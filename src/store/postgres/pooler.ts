/**
 * Detects a pooler that pools transactions. Our locks belong to sessions: with such a pooler, two replicas could hold
 * the same lock, and a lock could stay with a session that nobody owns.
 */
import type { Client } from 'pg'
import { TtsError } from '../../base/errors.ts'
import type { ConnectionSettings } from './connection.ts'
import { createServers } from './servers.ts'

const ROUNDS = 3

/**
 * Refuses a pooler in transaction mode: there, a second client gets the server process that the first one has used.
 *
 * @throws {TtsError} `configuration`, check `pooler`
 * @throws the error of the driver
 */
export async function refuseTransactionPooler(settings: ConnectionSettings): Promise<void> {
  const servers = createServers(settings)
  const { client: holder } = await servers.connect()
  const { client: other } = await servers.connect().catch(async (error: unknown) => {
    await holder.end()
    throw error
  })
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      const held = await backendOf(holder)
      await other.query('begin')
      const used = await backendOf(other)
      await other.query('rollback')
      if (held === used) throw transactionPooler()
    }
  } finally {
    await Promise.all([holder.end(), other.end()]).catch(() => undefined)
  }
}

async function backendOf(client: Client): Promise<number | undefined> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid
}

function transactionPooler(): TtsError {
  return new TtsError(
    'configuration',
    'store.url leads to a pooler that pools transactions, where the locks of the service do not work',
    {
      check: 'pooler',
      remedy:
        'Let it pool sessions (PgBouncer: pool_mode = session), or connect to PostgreSQL without it.',
    },
  )
}
