/** Keeps the database small: removes what nobody needs, and moves old records to the archive. */
import { resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { LoadedConfiguration } from '../config/load.ts'
import {
  type ArchivedRecord,
  archiveRecords,
  type RetentionDependencies,
} from '../domain/retention/archive-records.ts'
import type { AssembledService } from './compose.ts'
import type { Metrics } from './metrics.ts'
import { createRecordArchive } from './record-archive.ts'

const UPKEEP_INTERVAL_MS = 6 * 3600 * 1000
/** After a failure, or while another replica archives. */
const RETRY_INTERVAL_MS = 10 * 60_000
const DAY_MS = 86_400_000

/** Regularly removes the keys of expired EECs and old audit records. */
export function watchRecords(service: AssembledService): () => void {
  const days = service.loaded.configuration.store.audit_retention_days
  const prune = (): void => {
    const at = service.now()
    service.store.prune(at, new Date(at.getTime() - days * DAY_MS)).catch((error: unknown) => {
      service.log.error({ event: 'records.prune-failed', err: error }, 'cannot remove old records')
    })
  }
  prune()
  const timer = setInterval(prune, UPKEEP_INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}

/** Returns the directory of the archive, absolute. */
export function archiveDirectory({ configuration, dataDirectory }: LoadedConfiguration): string {
  return resolve(dataDirectory, configuration.store.archive_dir)
}

/**
 * Regularly moves records that ended long ago to the archive, if the configuration says so. Returns a function that
 * ends this within one page.
 */
export function watchRetention(
  service: Pick<AssembledService, 'loaded' | 'store' | 'now' | 'log'>,
  metrics: Pick<Metrics, 'recordsArchived' | 'archiveFailed'>,
): () => Promise<void> {
  const days = service.loaded.configuration.store.record_retention_days
  if (days === undefined) return async () => undefined
  const end = new AbortController()
  const archive = createRecordArchive(archiveDirectory(service.loaded), service.now)
  const watch = async (): Promise<void> => {
    while (!end.signal.aborted) {
      const isDone = await archiveOnce(service, metrics, { archive, days, signal: end.signal })
      const pauseMs = isDone ? UPKEEP_INTERVAL_MS : RETRY_INTERVAL_MS
      await delay(pauseMs, undefined, { signal: end.signal, ref: false }).catch(() => undefined)
    }
  }
  const watching = watch()
  return async () => {
    end.abort()
    await watching
  }
}

/**
 * A clock that is far ahead must not move what is still valid: its revocations would be missing on the CRL when the
 * clock is right again. But then no token is valid, so nothing is issued.
 */
const PROOF_OF_TIME_MS = 7 * DAY_MS

async function isTimeProven({
  store,
  now,
}: Pick<AssembledService, 'store' | 'now'>): Promise<boolean> {
  const until = now()
  const since = new Date(until.getTime() - PROOF_OF_TIME_MS)
  return (await store.listCredentials({ since, until, limit: 1 })).length > 0
}

/** Never throws. Returns false when it should be tried again soon. */
async function archiveOnce(
  { store, now, log }: Pick<AssembledService, 'store' | 'now' | 'log'>,
  metrics: Pick<Metrics, 'recordsArchived' | 'archiveFailed'>,
  {
    archive,
    days,
    signal,
  }: Pick<RetentionDependencies, 'archive'> & {
    readonly days: number
    readonly signal: AbortSignal
  },
): Promise<boolean> {
  const counts: Record<ArchivedRecord, number> = { credential: 0, end_entity: 0 }
  const onArchived = (record: ArchivedRecord, count: number): void => {
    counts[record] += count
    metrics.recordsArchived(record, count)
  }
  try {
    if (!(await isTimeProven({ store, now }))) {
      log.info(
        { event: 'records.archive-waits' },
        'old records stay in the database until a credential is issued: that shows that the clock is right',
      )
      return true
    }
    const before = new Date(now().getTime() - days * DAY_MS)
    return await archiveRecords({ store, archive, onArchived }, before, signal)
  } catch (error) {
    metrics.archiveFailed()
    log.error(
      { event: 'records.archive-failed', err: error },
      'cannot move old records to the archive; they stay in the database',
    )
    return false
  } finally {
    if (counts.credential + counts.end_entity > 0)
      log.info(
        {
          event: 'records.archived',
          credentials: counts.credential,
          end_entities: counts.end_entity,
        },
        'moved old records to the archive',
      )
  }
}
