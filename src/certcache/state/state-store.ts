/**
 * Where certcache keeps what must outlive it: a few records for each cluster, encrypted, and two locks. Who holds a lock
 * alone writes; everybody reads.
 */

/**
 * `proxies`: the newest ones. `delegation`: one in the service. `custody`: our own refresh token (a name that lies on disks). `incoming`: a login that
 * waits for whoever renews to take it over. `outcome`: how the newest attempts went. `renewal-request`: what a `certcache refresh` asks
 * of whoever renews.
 */
export type RecordName = 'proxies' | 'delegation' | 'custody' | 'outcome' | Deposited

/** Records that are left for whoever renews. */
export type Deposited = 'incoming' | 'renewal-request'

/** `renewer`: who obtains proxies, held as long as it runs. `refresh-token`: who uses it, held for one use. */
export type LockName = 'renewer' | 'refresh-token'

/** The records and locks of one cluster. */
export interface StateStore {
  /**
   * The content of a record; undefined when there is none.
   *
   * @throws {TtsError} `configuration` (others can read it, it cannot be decrypted), `store_unavailable`
   */
  read(record: RecordName): Promise<Buffer | undefined>
  /** Something that changes with every write of the record, cheap to ask for. @throws {TtsError} `store_unavailable` */
  version(record: RecordName): Promise<string | undefined>
  /**
   * Writes a record for which no lock is needed, `incoming` when none is named.
   *
   * @throws {TtsError} `configuration`, `store_unavailable`
   */
  deposit(content: Uint8Array, record?: Deposited): Promise<void>
  /** The lock, or undefined when another certcache holds it. @throws {TtsError} `configuration`, `store_unavailable` */
  tryLock(name: LockName): Promise<StateLock | undefined>
  close(): Promise<void>
}

/** A lock that is held. It ends with the process, however that ends. */
export interface StateLock {
  /** Aborted once the lock is lost, other than by `release`. */
  readonly lost: AbortSignal
  /** Durable when fulfilled; the old content stays when not. @throws {TtsError} `configuration`, `store_unavailable` */
  write(record: RecordName, content: Uint8Array): Promise<void>
  remove(record: RecordName): Promise<void>
  /** Finds out whether the lock is still held. @throws {TtsError} `store_unavailable` when it is not */
  check(): Promise<void>
  release(): Promise<void>
}

/** What a store is opened with. */
export interface StateOptions {
  readonly cluster: string
  /** 32 bytes. */
  readonly key: Buffer
}
