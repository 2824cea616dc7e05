import { setImmediate as nextTurn } from 'node:timers/promises'
import { TtsError } from '../../base/errors.ts'
import { storeError, storeUnavailable } from '../store-error.ts'

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
}

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
      throw new TtsError('overloaded', 'Too many records are waiting to be written', {
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
      // One turn of the event loop, so that all answers that just came in take part. A longer pause was measured and
      // gains nothing: what arrives during a commit makes the next batch.
      await nextTurn()
      await this.#commit(this.#queue.splice(0, this.#options.maxBatch))
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
