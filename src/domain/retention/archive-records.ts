/** Moves records that ended long ago from the database to the archive, without holding anybody up. */
import { setTimeout as delay } from 'node:timers/promises'
import { TtsError } from '../../base/errors.ts'
import type { Store } from '../store.ts'
import type { RecordPlace } from '../records.ts'
import type { EndedCredential, EndedEndEntity, EndedPage } from './ended-records.ts'

/** Stores records outside the database. What it was given is on the disk when the promise is fulfilled. */
export interface RecordArchive {
  addCredentials(records: readonly EndedCredential[]): Promise<void>
  addEndEntities(records: readonly EndedEndEntity[]): Promise<void>
}

/** The kinds of archived records. */
export type ArchivedRecord = 'credential' | 'end_entity'

export interface RetentionDependencies {
  readonly store: Pick<Store, 'exclusively' | 'endedRecords'>
  readonly archive: RecordArchive
  /** Called when some have moved. */
  readonly onArchived: (record: ArchivedRecord, count: number) => void
}

/** Between two steps others have the database for this many times as long as the step took. */
const REST_FACTOR = 4
/** Of a page, so many are removed by one transaction. On SQLite it takes 5 to 15 ms, for which others wait. */
const REMOVED_AT_ONCE = 50

/**
 * Moves what ended before this time, until nothing is left or the signal is aborted. A record is removed only when the
 * archive has it, so a crash between both leaves it in both places, and the next run adds it to the archive again.
 *
 * @returns whether it ran: false when another replica does this now
 * @throws {TtsError} `store_unavailable`; what the archive throws. All that was not moved stays.
 */
export async function archiveRecords(
  dependencies: RetentionDependencies,
  before: Date,
  signal: AbortSignal,
): Promise<boolean> {
  const { store, archive, onArchived } = dependencies
  const { endedRecords } = store
  const work = async (): Promise<boolean> => {
    await movePages(signal, {
      page: async (from) => endedRecords.credentials(before, from),
      add: async (ended) => archive.addCredentials(ended),
      remove: async (ended) => {
        await endedRecords.removeCredentials(ended.map(({ credential }) => credential.id))
        onArchived('credential', ended.length)
      },
    })
    // After their credentials, which name them.
    await movePages(signal, {
      page: async (from) => endedRecords.endEntities(before, from),
      add: async (ended) => archive.addEndEntities(ended),
      remove: async (ended) => {
        await endedRecords.removeEndEntities(ended.map(({ certificate }) => certificate.serial))
        onArchived('end_entity', ended.length)
      },
    })
    return true
  }
  try {
    return await store.exclusively('record-archive', work, 0)
  } catch (error) {
    if (error instanceof TtsError && error.check === 'busy') return false
    throw error
  }
}

interface Moving<Ended> {
  readonly page: (from: RecordPlace | undefined) => Promise<EndedPage<Ended>>
  readonly add: (ended: readonly Ended[]) => Promise<void>
  readonly remove: (ended: readonly Ended[]) => Promise<void>
}

async function movePages<Ended>(
  signal: AbortSignal,
  { page, add, remove }: Moving<Ended>,
): Promise<void> {
  const rest = createRest(signal)
  let from: RecordPlace | undefined
  while (!signal.aborted) {
    const { ended, next } = await page(from)
    if (ended.length > 0) await add(ended)
    await rest()
    // What is in the archive is removed, also when this is to end: else it would be archived twice.
    for (let start = 0; start < ended.length; start += REMOVED_AT_ONCE) {
      await remove(ended.slice(start, start + REMOVED_AT_ONCE))
      await rest()
    }
    if (next === undefined) return
    from = next
  }
}

/** Returns a function that waits in proportion to the time since it was left; not at all once the signal is aborted. */
function createRest(signal: AbortSignal): () => Promise<void> {
  let leftMs = performance.now()
  return async () => {
    const restMs = (performance.now() - leftMs) * REST_FACTOR
    await delay(restMs, undefined, { signal }).catch(() => undefined)
    leftMs = performance.now()
  }
}
