/** Finds the server that accepts writes, and finds it again after a failover. */
import pg from 'pg'
import { createSingleFlight } from '../../base/async.ts'
import {
  checkConnectionString,
  type ConnectionSettings,
  connectionOptions,
  sessionStatement,
} from './connection.ts'
import { listServers } from './server-list.ts'

/** The servers of one connection string. */
export interface Servers {
  /**
   * Connection string of the server that accepts writes. Asks the servers only if none is known.
   *
   * @throws the error of the driver; code 25006 if all that answer are read-only
   */
  writable(): Promise<string>
  /** Reports that a server did not work: the next question asks all servers again. */
  lost(url: string): void
  /**
   * Prepares a new connection for use.
   *
   * @throws code 25006 if only a server that accepts writes may be used and this one does not
   */
  prepare(client: pg.ClientBase): Promise<void>
  /** Opens a connection of its own to the server that accepts writes, prepared. */
  connect(): Promise<ConnectedClient>
}

export interface ConnectedClient {
  readonly client: pg.Client
  readonly url: string
}

/**
 * After all servers were asked in vain, they are left alone for this long, and callers get the same error. So a
 * replica under load adds at most ten connections a second to a standby that is being promoted.
 */
const PAUSE_MS = 100

/**
 * @throws {TtsError} `configuration` (the connection string cannot be read)
 */
export function createServers(settings: ConnectionSettings): Servers {
  checkConnectionString(settings)
  const { urls, needsWritable } = listServers(settings.url)
  const prepare = async (client: pg.ClientBase): Promise<void> => {
    const { rows } = await client.query<{ read_only: boolean }>(
      sessionStatement(settings.timeoutMs),
    )
    if (needsWritable && rows[0]?.read_only !== false) throw readOnly()
  }
  const [only, ...others] = urls
  const isAlone = only !== undefined && others.length === 0
  // Two rounds fit into the time that a caller waits, should a server vanish without an answer.
  const timeoutMs = isAlone ? settings.timeoutMs : Math.ceil(settings.timeoutMs / 2)
  const open: Open = async (url) => openPrepared({ url, timeoutMs }, prepare)
  const { writable, lost } = isAlone
    ? { writable: async () => only, lost: () => undefined }
    : searchFor(urls, open)
  return {
    writable,
    lost,
    prepare,
    async connect() {
      const url = await writable()
      try {
        return await open(url)
      } catch (error) {
        lost(url)
        throw error
      }
    },
  }
}

type Open = (url: string) => Promise<ConnectedClient>

async function openPrepared(
  settings: ConnectionSettings,
  prepare: Servers['prepare'],
): Promise<ConnectedClient> {
  const client = new pg.Client(connectionOptions(settings))
  // Without a listener, a connection that breaks would end the process.
  client.on('error', () => undefined)
  try {
    await client.connect()
    await prepare(client)
    return { client, url: settings.url }
  } catch (error) {
    client.end().catch(() => undefined)
    throw error
  }
}

function searchFor(urls: readonly string[], open: Open): Pick<Servers, 'writable' | 'lost'> {
  const search = createSingleFlight<string>()
  let current: string | undefined
  let failure: { readonly error: unknown; readonly until: number } | undefined

  /** All at once: a server that vanished, and does not even refuse, must not delay the others. */
  async function find(): Promise<string> {
    const attempts = urls.map(open)
    try {
      const { url } = await Promise.any(attempts)
      current = url
      return url
    } catch (error) {
      const { errors } = error as AggregateError
      const cause: unknown = errors.find(isReadOnly) ?? errors[0]
      failure = { error: cause, until: performance.now() + PAUSE_MS }
      throw cause
    } finally {
      for (const attempt of attempts)
        attempt.then(({ client }) => client.end()).catch(() => undefined)
    }
  }

  return {
    async writable() {
      if (current !== undefined) return current
      if (search.current === undefined && failure && performance.now() < failure.until)
        throw failure.error
      return search.run(find)
    },
    lost(url) {
      if (current === url) current = undefined
    },
  }
}

/** True for a refusal to write: a standby, or a server that became read-only while we were connected. */
export function isReadOnly(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === '25006'
}

function readOnly(): Error {
  return Object.assign(new Error('the server does not accept writes'), { code: '25006' })
}
