/** Pooled connections to the server that accepts writes. */
import type { PostgresPool, PostgresPoolClient } from 'kysely'
import pg from 'pg'
import { type ConnectionSettings, connectionOptions } from './connection.ts'
import { isReadOnly, type Servers } from './servers.ts'

interface ServerPool {
  readonly url: string
  readonly pool: pg.Pool
}

interface PoolOptions extends Omit<ConnectionSettings, 'url'> {
  readonly poolSize: number
}

/**
 * A bounded pool for one server at a time. When another server accepts the writes, the pool of the former one is
 * closed: its idle connections at once, the others when they are given back. Nothing is connected yet.
 */
export function createWritablePool(servers: Servers, options: PoolOptions): PostgresPool {
  const pools = holdPool(servers, options)
  const clients = new WeakMap<pg.PoolClient, CheckedClient>()

  async function connectTo(url: string): Promise<CheckedClient> {
    const from = pools.get(url)
    const failed = (error: unknown): void => pools.failed(from, error)
    const client = await from.pool.connect().catch((error: unknown) => {
      failed(error)
      throw error
    })
    const known = clients.get(client)
    if (known !== undefined) return known
    const checked = new CheckedClient(client, failed)
    clients.set(client, checked)
    try {
      await servers.prepare(client)
      return checked
    } catch (error) {
      failed(error)
      client.release(true)
      throw error
    }
  }

  return {
    async connect() {
      const url = await servers.writable()
      let checked: CheckedClient
      try {
        checked = await connectTo(url)
      } catch (error) {
        // Once more if another server has taken over.
        const next = await servers.writable()
        if (next === url) throw error
        checked = await connectTo(next)
      }
      return checked as unknown as PostgresPoolClient
    },
    end: () => pools.close(),
  }
}

function holdPool(servers: Servers, { poolSize, timeoutMs }: PoolOptions) {
  let current: ServerPool | undefined
  const closing = new Set<Promise<void>>()

  function retire(): void {
    const closed = current?.pool.end()
    current = undefined
    if (closed === undefined) return
    closing.add(closed)
    void closed.finally(() => closing.delete(closed))
  }

  return {
    get(url: string): ServerPool {
      if (current?.url === url) return current
      retire()
      const pool = new pg.Pool({ ...connectionOptions({ url, timeoutMs }), max: poolSize })
      // Without listeners, connections that break would end the process: idle ones are an event of the pool.
      pool.on('error', () => undefined)
      pool.on('connect', (client) => client.on('error', () => undefined))
      current = { url, pool }
      return current
    },
    /** Called for what is not an answer to the statement. */
    failed(from: ServerPool, error: unknown): void {
      servers.lost(from.url)
      // All connections to a server that became read-only are of no use.
      if (isReadOnly(error) && current === from) retire()
    },
    async close(): Promise<void> {
      retire()
      await Promise.all(closing)
    },
  }
}

/** Statements whose effect must be durable when they are answered. */
const WRITES = /^\s*(commit|insert|update|delete|with)\b/i
/** SQLSTATE of a warning without a code of its own. */
const WARNING = '01000'

/**
 * A pooled connection that is thrown away, not pooled again, once a question on it got no answer or the server cannot
 * be used any more.
 */
class CheckedClient {
  readonly #client: pg.PoolClient
  readonly #failed: (error: unknown) => void
  #broken = false

  constructor(client: pg.PoolClient, failed: (error: unknown) => void) {
    this.#client = client
    this.#failed = failed
  }

  async query(sql: string, parameters: unknown[]): Promise<pg.QueryResult> {
    try {
      return WRITES.test(sql)
        ? await confirmed(this.#client, async () => this.#client.query(sql, parameters))
        : await this.#client.query(sql, parameters)
    } catch (error) {
      if (!isAnswer(error)) {
        this.#broken = true
        this.#failed(error)
      }
      throw error
    }
  }

  release(): void {
    this.#client.release(this.#broken)
  }
}

/**
 * Runs a write that is answered only if it is durable. A commit that waits for a synchronous standby and is cancelled
 * (`pg_cancel_backend`) is answered as success, with a warning: it is committed here, but maybe not on the standby.
 *
 * @throws an error with no SQLSTATE: the outcome is unknown
 */
async function confirmed(
  client: pg.PoolClient,
  write: () => Promise<pg.QueryResult>,
): Promise<pg.QueryResult> {
  let warned = false
  const note = ({ code }: { readonly code?: string | undefined }): void => {
    warned ||= code === WARNING
  }
  client.on('notice', note)
  try {
    const result = await write()
    if (warned) throw new Error('the server answered a write with a warning')
    return result
  } finally {
    client.removeListener('notice', note)
  }
}

/**
 * An error with a SQLSTATE is an answer, unless the server goes away (08, 57P) or does not accept writes (25006). After
 * anything else the state of the connection is unknown.
 */
function isAnswer(error: unknown): boolean {
  return (
    error instanceof pg.DatabaseError && !isReadOnly(error) && !/^(08|57P)/.test(error.code ?? '')
  )
}
