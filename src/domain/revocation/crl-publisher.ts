/**
 * Publishes the CRL. It must contain every stored revocation and be renewed long before its nextUpdate: with an
 * outdated CRL, relying parties refuse every credential of the CA.
 */
import type { Authority } from '../../../ca/authority.ts'
import { verifyCrl } from '../../../ca/chain-revocation.ts'
import { createCrl, readCrlOutline, signCrlAgain } from '../../../ca/crl.ts'
import { BACKDATE_SECONDS } from '../../../ca/validity.ts'
import { wholeSeconds } from '../../../ca/certificate.ts'
import { createSingleFlight } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'
import type { CrlRecord } from '../records.ts'
import type { Store } from '../store.ts'
import { createRevocationList } from './revocation-list.ts'

export interface CrlDependencies {
  readonly store: Pick<
    Store,
    | 'latestCrl'
    | 'latestCrlNumber'
    | 'countRevocations'
    | 'countArchivedRevocations'
    | 'listRevocations'
    | 'addCrl'
  >
  readonly authority: Authority
  readonly now: () => Date
  readonly log: Log
  readonly settings: {
    /** Time from thisUpdate to nextUpdate. */
    readonly lifetimeSeconds: number
    /** Age at which a new CRL is made even without a new revocation. */
    readonly refreshSeconds: number
  }
}

export interface CrlPublisher {
  /**
   * Returns a CRL that contains every stored revocation, and makes it if necessary.
   *
   * @throws {TtsError} `store_unavailable`; `overloaded`, check `crl`; `internal`, check `crl_build`
   */
  current(): Promise<CrlRecord>
  /**
   * Returns the CRL for relying parties: the newest stored one. If a new one is due, it is made in the background;
   * the call waits for it only when the stored CRL is outside its validity. The answer of the database is cached for
   * one second.
   *
   * @throws {TtsError} as `current` (there is no CRL, and none can be made)
   */
  published(): Promise<CrlRecord>
  /** Makes a new CRL when it is due; checks every minute. Returns a function that stops this. */
  watch(): () => void
}

const WATCH_INTERVAL_MS = 60_000
const REMEMBERED_MS = 1000
/** After a failure `published` serves the old CRL for this long before it tries again to make one. */
const PAUSE_AFTER_FAILURE_MS = 5000
/** Other replicas make CRLs, too; each lost race is followed by another look at their CRL. */
const MAX_TRIES = 20

/** Creates the publisher of the authority's CRLs. */
export function createCrlPublisher(dependencies: CrlDependencies): CrlPublisher {
  const { now, log } = dependencies
  let looked: { readonly atMs: number; readonly crl: Promise<CrlRecord> } | undefined
  let failedAtMs = -Infinity
  const { look, current } = createCurrentCrl(dependencies, (crl) => {
    looked = { atMs: performance.now(), crl: Promise.resolve(crl) }
  })

  const noteFailure = (error: unknown): void => {
    failedAtMs = performance.now()
    if (error instanceof TtsError && error.code === 'shutting_down') return
    log.error(
      { event: 'crl.failed', err: error },
      'could not make a new CRL; serving the old one until its nextUpdate',
    )
  }

  async function newest(): Promise<CrlRecord> {
    const { crl, due } = await look()
    if (crl === undefined) return current()
    if (!due || performance.now() - failedAtMs < PAUSE_AFTER_FAILURE_MS) return crl
    const at = now()
    const made = current().catch((error: unknown) => {
      noteFailure(error)
      return crl
    })
    return crl.thisUpdate <= at && at < crl.nextUpdate ? crl : made
  }

  return {
    current,
    published() {
      if (looked !== undefined && performance.now() - looked.atMs < REMEMBERED_MS) return looked.crl
      const crl = newest()
      const request = { atMs: performance.now(), crl }
      looked = request
      crl.catch(() => {
        if (looked === request) looked = undefined
      })
      return crl
    },
    watch() {
      const timer = setInterval(() => void current().catch(noteFailure), WATCH_INTERVAL_MS)
      timer.unref()
      return () => clearInterval(timer)
    },
  }
}

/** @param onKnown called with each CRL that is found or made and contains every revocation */
function createCurrentCrl(dependencies: CrlDependencies, onKnown: (crl: CrlRecord) => void) {
  const { store, authority, now, log, settings } = dependencies
  const next = createCrlMaker(dependencies)
  let latest: CrlRecord | undefined
  /** One run at a time, shared by all callers. */
  const making = createSingleFlight<CrlRecord | undefined>()

  const isDue = (crl: CrlRecord, revocations: number): boolean =>
    crl.revocations < revocations ||
    // Made while the clock was ahead: relying parties refuse a CRL whose thisUpdate is in the future.
    crl.thisUpdate > now() ||
    now().getTime() - crl.thisUpdate.getTime() >=
      (settings.refreshSeconds + BACKDATE_SECONDS) * 1000

  /** After a roll-over of the key, the newest CRL may be one of the other CA: the list is the same for both. */
  async function underOurKey(crl: CrlRecord): Promise<CrlRecord> {
    if (verifyCrl(readCrlOutline(crl.der), authority.certificate)) return crl
    return { ...crl, der: await signCrlAgain(authority, crl.der) }
  }

  /**
   * Returns the newest stored CRL and whether a new one is due. The CRL itself, of many megabytes, is read only once.
   */
  async function look(): Promise<{ readonly crl: CrlRecord | undefined; readonly due: boolean }> {
    const number = await store.latestCrlNumber()
    if (number !== (latest?.number ?? 0)) {
      const stored = await store.latestCrl()
      if (stored === undefined)
        log.error({ event: 'crl.incomplete', number }, 'the CRL in the database is incomplete')
      // Only now: another caller must not get it under the key of another CA meanwhile.
      latest = stored && (await underOurKey(stored))
    }
    const crl = latest
    return { crl, due: crl === undefined || isDue(crl, await store.countRevocations()) }
  }

  async function make(): Promise<CrlRecord | undefined> {
    const crl = await next()
    if (crl === undefined) return undefined
    latest = crl
    onKnown(crl)
    log.info({ event: 'crl.issued', number: crl.number, next_update: crl.nextUpdate }, 'CRL issued')
    return crl
  }

  async function current(): Promise<CrlRecord> {
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const { crl, due } = await look()
      if (crl !== undefined && !due) {
        onKnown(crl)
        return crl
      }
      // A run that started before our look may miss the newest revocation: look again after it.
      const isOurs = making.current === undefined
      const made = await making.run(make)
      if (isOurs && made !== undefined) return made
    }
    throw new TtsError('overloaded', 'other processes keep making CRLs; try again', {
      check: 'crl',
      retryAfterSeconds: 5,
    })
  }

  return { look, current }
}

/** Returns a function that makes and stores the next CRL; it returns undefined when another process was first. */
function createCrlMaker({ store, authority, now, settings }: CrlDependencies) {
  const list = createRevocationList(store)
  return async (): Promise<CrlRecord | undefined> => {
    const at = now()
    // Read the number before the entries: a CRL with a higher number must contain all earlier revocations (RFC 5280
    // section 5.2.3).
    const number = (await store.latestCrlNumber()) + 1
    const keepAfter = new Date(at.getTime() - settings.refreshSeconds * 1000)
    const { entries, revocations } = await list.read({ keepAfter, now: at })
    const thisUpdate = wholeSeconds(new Date(at.getTime() - BACKDATE_SECONDS * 1000))
    const nextUpdate = wholeSeconds(new Date(at.getTime() + settings.lifetimeSeconds * 1000))
    const times = { thisUpdate, nextUpdate }
    const request = { number, ...times, entries: [], encodedEntries: entries }
    const der = await createCrl(authority, request).catch((cause: unknown) => {
      throw new TtsError('internal', 'the CRL cannot be made', { check: 'crl_build', cause })
    })
    const crl = { number, ...times, der, revocations }
    return (await store.addCrl(crl)) ? crl : undefined
  }
}
