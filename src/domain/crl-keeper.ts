/**
 * The CRL: always one that carries every revocation on record and is far from its nextUpdate, since an outdated CRL
 * makes relying parties refuse every credential of the CA.
 */
import type { Authority } from '../../ca/authority.ts'
import { createCrl } from '../../ca/crl.ts'
import { BACKDATE_SECONDS } from '../../ca/validity.ts'
import { wholeSeconds } from '../../ca/certificate.ts'
import type { Log } from '../log.ts'
import type { CrlRecord, Store } from './records.ts'

export interface CrlDependencies {
  readonly store: Store
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

export interface CrlKeeper {
  /** The newest CRL; made first when there is none, when a revocation is missing from it, or when it is due. */
  current(): Promise<CrlRecord>
  /** Looks every minute whether a new one is due. Answers a function that ends this. */
  watch(): () => void
}

const WATCH_INTERVAL_MS = 60_000

export function createCrlKeeper({
  store,
  authority,
  now,
  log,
  settings,
}: CrlDependencies): CrlKeeper {
  let underWay: Promise<CrlRecord> | undefined

  async function make(): Promise<CrlRecord> {
    const at = now()
    // RFC 5280 section 3.3: an entry stays until it was on one CRL made after the certificate's end.
    const keepAfter = new Date(at.getTime() - settings.refreshSeconds * 1000)
    const crl = await store.createCrl(keepAfter, async (number, revoked) => {
      const thisUpdate = wholeSeconds(new Date(at.getTime() - BACKDATE_SECONDS * 1000))
      const nextUpdate = wholeSeconds(new Date(at.getTime() + settings.lifetimeSeconds * 1000))
      const der = await createCrl(authority, { number, thisUpdate, nextUpdate, entries: revoked })
      return { thisUpdate, nextUpdate, der }
    })
    log.info({ event: 'crl.issued', number: crl.number, nextUpdate: crl.nextUpdate }, 'CRL issued')
    return crl
  }

  const isDue = (crl: CrlRecord, revocations: number): boolean =>
    crl.revocations < revocations ||
    // Made while the clock was ahead: relying parties refuse a CRL that has not begun.
    crl.thisUpdate > now() ||
    now().getTime() - crl.thisUpdate.getTime() >=
      (settings.refreshSeconds + BACKDATE_SECONDS) * 1000

  async function current(): Promise<CrlRecord> {
    for (;;) {
      const [latest, revocations] = await Promise.all([store.latestCrl(), store.countRevocations()])
      if (latest && !isDue(latest, revocations)) return latest
      if (underWay === undefined) {
        underWay = make().finally(() => {
          underWay = undefined
        })
        return underWay
      }
      // Begun before we looked, so that the newest revocation may be missing from it: look again when it is there.
      await underWay
    }
  }

  return {
    current,
    watch() {
      const look = (): void => {
        current().catch((error: unknown) => {
          log.error(
            { event: 'crl.failed', err: error },
            'no new CRL could be made; the old one is served until its end',
          )
        })
      }
      const timer = setInterval(look, WATCH_INTERVAL_MS)
      timer.unref()
      return () => clearInterval(timer)
    },
  }
}
