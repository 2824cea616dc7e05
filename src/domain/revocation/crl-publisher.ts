/**
 * The CRL: always one that carries every revocation on record and is far from its nextUpdate, since an outdated CRL
 * makes relying parties refuse every credential of the CA.
 */
import type { Authority } from '../../../ca/authority.ts'
import { createCrl } from '../../../ca/crl.ts'
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
    'latestCrl' | 'latestCrlNumber' | 'countRevocations' | 'listRevocations' | 'addCrl'
  >
  readonly authority: Authority
  readonly now: () => Date
  readonly log: Log
  readonly settings: {
    /** From thisUpdate to nextUpdate. */
    readonly lifetimeSeconds: number
    /** Age at which a new CRL is made though nothing was revoked. */
    readonly refreshSeconds: number
  }
}

export interface CrlPublisher {
  /** The newest CRL; made first when there is none, when a revocation is missing from it, or when it is due. */
  current(): Promise<CrlRecord>
  /**
   * The CRL for relying parties: the newest one there is. When another one is due it is made meanwhile, and waited for only when
   * the newest one is of no use any more. What the database says is remembered for a second.
   *
   * @throws {TtsError} when there is none, and none can be made
   */
  published(): Promise<CrlRecord>
  /** Looks every minute whether a new one is due. Answers a function that ends this. */
  watch(): () => void
}

const WATCH_INTERVAL_MS = 60_000
const REMEMBERED_MS = 1000
/** After a failure relying parties get the old CRL for so long, before another one is tried for them. */
const PAUSE_AFTER_FAILURE_MS = 5000
/** Other replicas make CRLs too; each try that is lost to one of them is another look at what they made. */
const MAX_TRIES = 20

/** The CRLs of one authority. */
export function createCrlPublisher(dependencies: CrlDependencies): CrlPublisher {
  const { now, log } = dependencies
  let looked: { readonly atMs: number; readonly crl: Promise<CrlRecord> } | undefined
  let failedAtMs = -Infinity
  const { look, current } = createCurrentCrl(dependencies, (crl) => {
    looked = { atMs: performance.now(), crl: Promise.resolve(crl) }
  })

  const failed = (error: unknown): void => {
    failedAtMs = performance.now()
    if (error instanceof TtsError && error.code === 'shutting_down') return
    log.error(
      { event: 'crl.failed', err: error },
      'no new CRL could be made; the old one is served until its end',
    )
  }

  async function newest(): Promise<CrlRecord> {
    const { crl, due } = await look()
    if (crl === undefined) return current()
    if (!due || performance.now() - failedAtMs < PAUSE_AFTER_FAILURE_MS) return crl
    const at = now()
    const made = current().catch((error: unknown) => {
      failed(error)
      return crl
    })
    return crl.thisUpdate <= at && at < crl.nextUpdate ? crl : made
  }

  return {
    current,
    published() {
      if (looked !== undefined && performance.now() - looked.atMs < REMEMBERED_MS) return looked.crl
      const crl = newest()
      const asked = { atMs: performance.now(), crl }
      looked = asked
      crl.catch(() => {
        if (looked === asked) looked = undefined
      })
      return crl
    },
    watch() {
      const timer = setInterval(() => void current().catch(failed), WATCH_INTERVAL_MS)
      timer.unref()
      return () => clearInterval(timer)
    },
  }
}

/** @param onKnown gets each CRL that was found or made complete */
function createCurrentCrl(dependencies: CrlDependencies, onKnown: (crl: CrlRecord) => void) {
  const { store, now, log, settings } = dependencies
  const next = createCrlMaker(dependencies)
  let latest: CrlRecord | undefined
  /** One run at a time, shared by all who ask meanwhile. */
  const making = createSingleFlight<CrlRecord | undefined>()

  const isDue = (crl: CrlRecord, revocations: number): boolean =>
    crl.revocations < revocations ||
    // Made while the clock was ahead: relying parties refuse a CRL that has not begun.
    crl.thisUpdate > now() ||
    now().getTime() - crl.thisUpdate.getTime() >=
      (settings.refreshSeconds + BACKDATE_SECONDS) * 1000

  /** The newest CRL in the database and whether another one is due. The CRL itself, many megabytes, is read once. */
  async function look(): Promise<{ readonly crl: CrlRecord | undefined; readonly due: boolean }> {
    const number = await store.latestCrlNumber()
    if (number !== (latest?.number ?? 0)) {
      latest = await store.latestCrl()
      if (latest === undefined)
        log.error({ event: 'crl.incomplete', number }, 'a CRL in the database is not whole')
    }
    const crl = latest
    return { crl, due: crl === undefined || isDue(crl, await store.countRevocations()) }
  }

  async function make(): Promise<CrlRecord | undefined> {
    const crl = await next()
    if (crl === undefined) return undefined
    latest = crl
    onKnown(crl)
    log.info({ event: 'crl.issued', number: crl.number, nextUpdate: crl.nextUpdate }, 'CRL issued')
    return crl
  }

  async function current(): Promise<CrlRecord> {
    for (let tries = 0; tries < MAX_TRIES; tries += 1) {
      const { crl, due } = await look()
      if (crl !== undefined && !due) {
        onKnown(crl)
        return crl
      }
      // A run that began before we looked may miss the newest revocation: look again after it.
      const isOurs = making.current === undefined
      const made = await making.run(make)
      if (isOurs && made !== undefined) return made
    }
    throw new TtsError('overloaded', 'other processes made CRLs all the time; try again', {
      check: 'crl',
      retryAfterSeconds: 5,
    })
  }

  return { look, current }
}

/** Answers a function that makes and stores the next CRL; undefined when another process stored one meanwhile. */
function createCrlMaker({ store, authority, now, settings }: CrlDependencies) {
  const list = createRevocationList(store)
  return async (): Promise<CrlRecord | undefined> => {
    const at = now()
    // Before the entries are read: RFC 5280 section 5.2.3, a CRL of a higher number carries what was revoked before.
    const number = (await store.latestCrlNumber()) + 1
    const keepAfter = new Date(at.getTime() - settings.refreshSeconds * 1000)
    const { entries, revocations } = await list.read({ keepAfter, now: at })
    const thisUpdate = wholeSeconds(new Date(at.getTime() - BACKDATE_SECONDS * 1000))
    const nextUpdate = wholeSeconds(new Date(at.getTime() + settings.lifetimeSeconds * 1000))
    const times = { thisUpdate, nextUpdate }
    const request = { number, ...times, entries: [], encodedEntries: entries }
    const der = await createCrl(authority, request).catch((cause: unknown) => {
      throw new TtsError('internal', 'the CRL could not be made', { check: 'crl_build', cause })
    })
    const crl = { number, ...times, der, revocations }
    return (await store.addCrl(crl)) ? crl : undefined
  }
}
