import { createHash } from 'node:crypto'
import type { Client } from 'pg'
import { retryFor } from '../../base/async.ts'
import { createLocalLocks, LOCK_PAUSES, lockBusy, type NamedLocks } from '../named-locks.ts'
import type { ConnectedClient, Servers } from './servers.ts'

/**
 * Locks over all replicas: session advisory locks, all on one connection of their own, so that a refresh of 45 seconds
 * takes no connection from those who record. A process that dies loses its connection, and so its locks, at once.
 *
 * When only the connection breaks, a lock is lost while its work goes on. What the work saves is kept all the same, and
 * nothing is ended over a newer token (`DelegationEnd.onlyIfCurrent`). The same holds after a failover: locks are not
 * replicated.
 */
export function createPostgresLocks(servers: Servers): NamedLocks {
  const local = createLocalLocks()
  const session = createSession(servers)
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

interface HeldConnection {
  get(): Promise<ConnectedClient>
  /** Ends the connection: whatever state its locks are in, the database drops them. */
  drop(client: Client): void
  close(): Promise<void>
}

/** One connection at a time, to the server that accepts writes; opened when it is asked for. */
function holdConnection(servers: Servers): HeldConnection {
  let current: Promise<ConnectedClient> | undefined
  /** The connection of `current`, once it is open. */
  let live: ConnectedClient | undefined

  function forget(client: Client): void {
    // Not if another connection has taken its place.
    if (live?.client !== client) return
    live = undefined
    current = undefined
  }

  function drop(client: Client): void {
    forget(client)
    client.end().catch(() => undefined)
  }

  async function connect(): Promise<ConnectedClient> {
    const connection = await servers.connect()
    const { client } = connection
    client.on('error', () => drop(client))
    client.on('end', () => forget(client))
    // Else a machine that vanished would hold its locks for the two hours of the system's default.
    await client.query(
      'set tcp_keepalives_idle = 30; set tcp_keepalives_interval = 10; set tcp_keepalives_count = 3',
    )
    live = connection
    return connection
  }

  return {
    drop,
    async get() {
      // A lock on a server that no longer accepts the writes would exclude nobody.
      const url = await servers.writable()
      if (live !== undefined && live.url !== url) drop(live.client)
      if (current === undefined) {
        const attempt = connect()
        current = attempt
        attempt.catch(() => {
          if (current === attempt) current = undefined
        })
      }
      return current
    },
    async close() {
      const known = await current?.catch(() => undefined)
      current = undefined
      live = undefined
      await known?.client.end().catch(() => undefined)
    },
  }
}

function createSession(servers: Servers): Session {
  const connection = holdConnection(servers)
  return {
    async tryLock(key) {
      const { client, url } = await connection.get()
      try {
        const { rows } = await client.query<{ got: boolean }>(
          'select pg_try_advisory_lock($1::bigint) as got',
          [key],
        )
        return rows[0]?.got === true ? client : undefined
      } catch (error) {
        connection.drop(client)
        servers.lost(url)
        throw error
      }
    },
    async unlock(client, key) {
      try {
        await client.query('select pg_advisory_unlock($1::bigint)', [key])
      } catch {
        connection.drop(client)
      }
    },
    close: () => connection.close(),
  }
}
