import { createHash } from 'node:crypto'
import pg, { type Client } from 'pg'
import { retryFor } from '../../base/async.ts'
import { type ConnectionSettings, connectionOptions, sessionStatement } from './connection.ts'
import { createLocalLocks, LOCK_PAUSES, lockBusy, type NamedLocks } from '../named-locks.ts'

/**
 * Locks over all replicas: session advisory locks, all on one connection of their own, so that a refresh of 45 seconds
 * takes no connection from those who record. A process that dies loses its connection, and so its locks, at once.
 *
 * When only the connection breaks, a lock is lost while its work goes on. What the work saves is kept all the same, and
 * nothing is ended over a newer token (`DelegationEnd.onlyIfCurrent`).
 *
 */
export function createPostgresLocks(settings: ConnectionSettings): NamedLocks {
  const local = createLocalLocks()
  const session = createSession(settings)
  return {
    // First within the process: to the database, all that this one session asks for is its own already.
    run: (name, work, waitMs) =>
      local.run(name, () => withAdvisoryLock(session, { name, waitMs }, work), waitMs),
    close: () => session.close(),
  }
}

async function withAdvisoryLock<Answer>(
  session: Session,
  { name, waitMs }: { readonly name: string; readonly waitMs: number },
  work: () => Promise<Answer>,
): Promise<Answer> {
  const key = keyOf(name)
  const client = await retryFor(() => session.tryLock(key), {
    ...LOCK_PAUSES,
    milliseconds: waitMs,
  })
  if (client === undefined) throw lockBusy()
  try {
    return await work()
  } finally {
    await session.unlock(client, key)
  }
}

/** 64 bits, as PostgreSQL wants; keys of one bigint never meet the pairs of integers by which CRLs are locked. */
function keyOf(name: string): string {
  return createHash('sha256').update(`tts lock\0${name}`).digest().readBigInt64BE(0).toString()
}

interface Session {
  /** The client that holds the lock now, or undefined when another session does. */
  tryLock(key: string): Promise<Client | undefined>
  unlock(client: Client, key: string): Promise<void>
  close(): Promise<void>
}

function createSession(settings: ConnectionSettings): Session {
  let current: Promise<Client> | undefined

  /** Ends the connection: whatever state its locks are in, the database drops them. */
  function drop(client: Client): void {
    current = undefined
    client.end().catch(() => undefined)
  }

  async function connect(): Promise<Client> {
    const client = new pg.Client(connectionOptions(settings))
    client.on('error', () => drop(client))
    client.on('end', () => {
      current = undefined
    })
    await client.connect()
    // Else a machine that vanished would hold its locks for the two hours of the system's default.
    await client.query(sessionStatement(settings.timeoutMs))
    await client.query(
      'set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3',
    )
    return client
  }

  async function connected(): Promise<Client> {
    if (current === undefined) {
      const attempt = connect()
      current = attempt
      attempt.catch(() => {
        if (current === attempt) current = undefined
      })
    }
    return current
  }

  return {
    async tryLock(key) {
      const client = await connected()
      try {
        const { rows } = await client.query<{ got: boolean }>(
          'select pg_try_advisory_lock($1::bigint) as got',
          [key],
        )
        return rows[0]?.got === true ? client : undefined
      } catch (error) {
        drop(client)
        throw error
      }
    },
    async unlock(client, key) {
      try {
        await client.query('select pg_advisory_unlock($1::bigint)', [key])
      } catch {
        drop(client)
      }
    },
    async close() {
      const client = await current?.catch(() => undefined)
      current = undefined
      await client?.end().catch(() => undefined)
    },
  }
}
