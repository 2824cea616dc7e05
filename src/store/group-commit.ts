/**
 * Records that arrive together are committed together: entries wait in a bounded queue (`GroupCommit`), and what
 * waits becomes one transaction, with one fsync for all of it (`createRecordBatch`).
 */
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises'
import { CompiledQuery, type Insertable } from 'kysely'
import { TtsError } from '../base/errors.ts'
import { banned } from '../domain/bans/ban-list.ts'
import { isDataError, storeError, storeUnavailable } from './store-error.ts'
import type {
  AuditRow,
  CertificateRow,
  CredentialRow,
  Database,
  EndEntityKeyRow,
} from './schema/tables.ts'

/** How entries are committed together. */
export interface GroupCommitOptions<Entry> {
  /** Commits a batch; answers for each entry its error, or undefined when it is durable. */
  readonly commit: (entries: readonly Entry[]) => Promise<readonly (TtsError | undefined)[]>
  /** Most entries of one transaction. */
  readonly maxBatch: number
  /** Most entries that wait; one more is refused. */
  readonly maxQueued: number
  /** An entry that waited longer is given up, in milliseconds. */
  readonly timeoutMs: number
  /** Whether more entries will come within milliseconds. Default: never known. */
  readonly isCrowded?: (() => boolean) | undefined
}

/**
 * Pause before a commit while many requests are under way. On SQLite an entry in a commit of four takes 0.2 ms, one in
 * a commit of sixteen 0.12, and one alone 0.5; and the requests wait longer than this for signatures.
 */
const CROWDED_PAUSE_MS = 5

interface Waiting<Entry> {
  readonly entry: Entry
  readonly expiresAt: number
  readonly resolve: () => void
  readonly reject: (error: TtsError) => void
}

/** Puts entries that arrive while a commit is under way into the next transaction together: one fsync for all. */
export class GroupCommit<Entry> {
  readonly #options: GroupCommitOptions<Entry>
  #queue: Waiting<Entry>[] = []
  #running: Promise<void> | undefined

  constructor(options: GroupCommitOptions<Entry>) {
    this.#options = options
  }

  /**
   * Fulfilled once the entry is durable.
   *
   * @throws TtsError `overloaded` when the queue is full, else what `commit` says of this entry.
   */
  async submit(entry: Entry): Promise<void> {
    const { maxQueued, timeoutMs } = this.#options
    if (this.#queue.length >= maxQueued) {
      throw new TtsError('overloaded', 'too many records are waiting to be written', {
        retryAfterSeconds: 1,
      })
    }
    const expiresAt = performance.now() + timeoutMs
    const durable = new Promise<void>((resolve, reject) => {
      this.#queue.push({ entry, expiresAt, resolve, reject })
    })
    this.#running ??= this.#run()
    await durable
  }

  /** Settles once everything that was submitted is. */
  async drain(): Promise<void> {
    while (this.#running !== undefined) await this.#running
  }

  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      // One turn of the event loop, so that all answers that just came in take part.
      await nextTurn()
      const { maxBatch, isCrowded } = this.#options
      if (this.#queue.length < maxBatch && isCrowded?.() === true) await delay(CROWDED_PAUSE_MS)
      await this.#commit(this.#queue.splice(0, maxBatch))
    }
    this.#running = undefined
  }

  async #commit(batch: readonly Waiting<Entry>[]): Promise<void> {
    const now = performance.now()
    const live = batch.filter(({ expiresAt }) => expiresAt > now)
    for (const waiting of batch) {
      if (waiting.expiresAt <= now)
        waiting.reject(storeUnavailable(new Error('waited too long for its commit')))
    }
    if (live.length === 0) return
    try {
      const errors = await this.#options.commit(live.map(({ entry }) => entry))
      for (const [index, { resolve, reject }] of live.entries()) {
        const error = errors[index]
        if (error === undefined) resolve()
        else reject(error)
      }
    } catch (error) {
      for (const { reject } of live) reject(storeError(error))
    }
  }
}

/** The rows of one entry; all of them become durable or none. */
export interface RecordEntry {
  readonly certificates: readonly CertificateRow[]
  readonly endEntityKeys: readonly EndEntityKeyRow[]
  readonly credentials: readonly CredentialRow[]
  readonly audit: readonly Insertable<AuditRow>[]
}

type CommitEntries = (entries: readonly RecordEntry[]) => Promise<readonly (TtsError | undefined)[]>

/**
 * Returns the function that writes entries in one transaction. An error of one entry is reported for that entry alone.
 *
 * The function returns for each entry its error, or undefined when it is durable; it throws what the database throws
 * when it fails as a whole.
 */
export function createRecordBatch(database: Database): CommitEntries {
  const { insertsOf, selectRefused } = createStatementCache(database)

  /** Returns revoked EECs and banned identities among those of the credentials; nothing is written then. */
  async function write(entries: readonly RecordEntry[]): Promise<ReadonlySet<string>> {
    const credentials = entries.flatMap((entry) => entry.credentials)
    const inserts = [
      ...insertsOf(
        'certificates',
        entries.flatMap((entry) => entry.certificates),
      ),
      ...insertsOf(
        'end_entity_keys',
        entries.flatMap((entry) => entry.endEntityKeys),
      ),
      ...insertsOf('credentials', credentials),
      ...insertsOf(
        'audit',
        entries.flatMap((entry) => entry.audit),
      ),
    ]
    if (credentials.length === 0) {
      await database.transact(inserts)
      return new Set()
    }
    // After the inserts: on PostgreSQL their foreign key holds the EEC's row against a revocation under way (which
    // locks that row), so either this finds the revocation or the revocation finds the credentials.
    const rows = await database.transact(inserts, selectRefused(credentials))
    return new Set(rows.map((row) => (row as { readonly key: string }).key))
  }

  const commit: CommitEntries = async (entries) => {
    if (entries.length === 0) return []
    try {
      const refused = await write(entries)
      return refused.size === 0 ? entries.map(() => undefined) : await without(entries, refused)
    } catch (error) {
      if (!isDataError(error)) throw error
      if (entries.length === 1) return [storeError(error)]
    }
    // Halving finds one bad entry among 256 in 16 transactions instead of 256.
    const middle = Math.ceil(entries.length / 2)
    const first = await commit(entries.slice(0, middle))
    return [...first, ...(await commit(entries.slice(middle)))]
  }

  async function without(
    entries: readonly RecordEntry[],
    refused: ReadonlySet<string>,
  ): Promise<readonly (TtsError | undefined)[]> {
    const live = entries.filter((entry) => refusalOf(entry, refused) === undefined)
    const outcomes = await commit(live)
    const outcomeOf = new Map(live.map((entry, index) => [entry, outcomes[index]]))
    return entries.map((entry) => refusalOf(entry, refused) ?? outcomeOf.get(entry))
  }

  return commit
}

function refusalOf(entry: RecordEntry, refused: ReadonlySet<string>): TtsError | undefined {
  if (entry.credentials.some((row) => refused.has(row.identity_id))) return banned()
  return entry.credentials.some((row) => refused.has(row.end_entity_serial ?? ''))
    ? revokedEndEntity()
    : undefined
}

const revokedEndEntity = (): TtsError =>
  new TtsError('conflict', 'the EEC of this credential has been revoked', {
    check: 'end_entity_revoked',
  })

type RecordTable = 'certificates' | 'end_entity_keys' | 'credentials' | 'audit'

/**
 * Most rows of one insert. PostgreSQL wants few round trips. SQLite runs statements of one row with less CPU than
 * longer ones, by a fifth for a credential, and has no round trips: a transaction is one message.
 */
const ROWS_A_STATEMENT = { sqlite: 1, postgresql: 256 }
/** Texts for this many rows or fewer are kept for each length; longer ones only for powers of two. */
const EXACT_ROWS = 16

/**
 * Makes the statements of a batch. Building a text costs more than running it, so texts are kept, for few enough
 * lengths that both databases find them prepared.
 */
function createStatementCache({ kind, writes }: Pick<Database, 'kind' | 'writes'>) {
  const texts = new Map<string, string>()
  const textOf = (key: string, build: () => { compile(): CompiledQuery }): string => {
    const text = texts.get(key) ?? build().compile().sql
    texts.set(key, text)
    return text
  }
  /** The columns belong to the key: a value never lands in another row's column, in whatever order a row names them. */
  const insertOf = (table: RecordTable, rows: readonly object[]): CompiledQuery => {
    const columns = Object.keys(rows[0] ?? {})
    const key = `${table} ${rows.length} ${columns.join(' ')}`
    return CompiledQuery.raw(
      textOf(key, () => writes.insertInto(table).values(rows)),
      rows.flatMap((row) => columns.map((column) => (row as Record<string, unknown>)[column])),
    )
  }
  const statementLength = (rows: number): number =>
    Math.min(rows <= EXACT_ROWS ? rows : 2 ** Math.floor(Math.log2(rows)), ROWS_A_STATEMENT[kind])
  return {
    insertsOf: (table: RecordTable, rows: readonly object[]): readonly CompiledQuery[] => {
      const inserts: CompiledQuery[] = []
      for (let start = 0; start < rows.length;) {
        const end = start + statementLength(rows.length - start)
        inserts.push(insertOf(table, rows.slice(start, end)))
        start = end
      }
      return inserts
    },
    selectRefused: (credentials: readonly CredentialRow[]): CompiledQuery => {
      const serials = credentials.map((row) => row.end_entity_serial ?? '')
      const identities = credentials.map((row) => row.identity_id)
      return CompiledQuery.raw(
        textOf(`refused ${credentials.length}`, () =>
          writes
            .selectFrom('revocations')
            .select('serial as key')
            .where('serial', 'in', serials)
            .unionAll(
              writes
                .selectFrom('banned_identities')
                .select('identity_id as key')
                .where('identity_id', 'in', identities),
            ),
        ),
        [...serials, ...identities],
      )
    },
  }
}
