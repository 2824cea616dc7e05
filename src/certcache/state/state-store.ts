/**
 * The store of the state that survives a restart: a few encrypted records and two locks for each cluster. Everybody
 * reads; only the holder of a lock writes.
 */

/**
 * `proxies`: the newest proxies. `delegation`: our delegation in the service. `custody`: our own refresh token (the
 * name must stay, because existing states use it). `incoming`: a login that waits for the renewing certcache.
 * `outcome`: the results of the newest attempts. `renewal-request`: a request of `certcache refresh` to the renewing
 * certcache.
 */
export type RecordName = 'proxies' | 'delegation' | 'custody' | 'outcome' | DepositedRecord

/** Records that are left for the renewing certcache. */
export type DepositedRecord = 'incoming' | 'renewal-request'

/** `renewer`: held by the renewing certcache while it runs. `refresh-token`: held for one use of the refresh token. */
export type LockName = 'renewer' | 'refresh-token'

/** The records and locks of one cluster. */
export interface StateStore {
  /**
   * Reads a record; undefined when there is none.
   *
   * @throws {TtsError} `configuration` (other users can read it, or it cannot be decrypted), `store_unavailable`
   */
  read(record: RecordName): Promise<Buffer | undefined>
  /** Returns a value that changes with every write of the record. Cheap. @throws {TtsError} `store_unavailable` */
  version(record: RecordName): Promise<string | undefined>
  /**
   * Writes a record that needs no lock. Default `incoming`.
   *
   * @throws {TtsError} `configuration`, `store_unavailable`
   */
  deposit(content: Uint8Array, record?: DepositedRecord): Promise<void>
  /**
   * Acquires the lock; undefined while another certcache holds it.
   *
   * @throws {TtsError} `configuration`, `store_unavailable`
   */
  tryLock(name: LockName): Promise<StateLock | undefined>
  close(): Promise<void>
}

/** A held lock. It ends with the process, even when that is killed. */
export interface StateLock {
  /** Aborted when the lock is lost, but not by `release`. */
  readonly lost: AbortSignal
  /**
   * Writes a record. It is durable when the promise is fulfilled; otherwise the old content stays.
   *
   * @throws {TtsError} `configuration`, `store_unavailable`
   */
  write(record: RecordName, content: Uint8Array): Promise<void>
  remove(record: RecordName): Promise<void>
  /** Checks that the lock is still held. @throws {TtsError} `store_unavailable` when it is not */
  check(): Promise<void>
  release(): Promise<void>
}

/** The options of a store. */
export interface StateOptions {
  readonly cluster: string
  /** 32 bytes. */
  readonly key: Buffer
}
