/**
 * The entries of the CRL, read from the database in pages and kept encoded between CRLs, so that one more revocation costs
 * what it costs and not what all the others did. Between pages the event loop goes on.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { encodeCrlEntries } from '../../../ca/crl.ts'
import type { RevokedCertificate } from '../records.ts'
import type { Store } from '../store.ts'

export interface RevocationList {
  /**
   * The entries of all revocations that were on record when this was called, but for certificates that ended before `keepAfter`.
   *
   * @param times.keepAfter RFC 5280 section 3.3: an entry stays until it was on one CRL made after the certificate's end
   */
  read(times: { readonly keepAfter: Date; readonly now: Date }): Promise<EncodedRevocations>
}

export interface EncodedRevocations {
  /** DER of the entries, one behind the other. */
  readonly entries: readonly Buffer[]
  /** How many revocations were read, also those of certificates that have ended. Never more than `entries` stands for. */
  readonly revocations: number
}

/** A page costs some ten milliseconds at most. */
const PAGE = 1000
/** Revocations may be committed out of the order of their dates: by clocks that differ, and while others wait. */
const OVERLAP_MS = 10 * 60_000

const minuteOf = (time: number): number => Math.floor(time / 60_000)

interface Page {
  readonly der: Buffer
  /** Per entry: where it ends in `der`, and when its certificate ends. */
  readonly ends: readonly number[]
  readonly notAfter: readonly number[]
  readonly earliest: number
}

interface Known {
  pages: Page[]
  revocations: number
  /**
   * Serial numbers of what was revoked at `recentFrom` or later: they are seen again in the next overlap. By minute, so that
   * any number of them is forgotten at once.
   */
  recent: Map<number, Set<string>>
  recentFrom: number
  latest: number
  keepAfter: number
}

export function createRevocationList(
  store: Pick<Store, 'countRevocations' | 'listRevocations'>,
): RevocationList {
  let known = nothingKnown(0)

  async function readInto(state: Known, now: Date): Promise<void> {
    let after: RevokedCertificate | undefined
    for (;;) {
      const rows = await store.listRevocations({
        from: new Date(state.recentFrom),
        after,
        limit: PAGE,
      })
      add(state, rows)
      // A date in the future, by a clock that was ahead, must not hide what comes before it.
      forgetBefore(state, Math.min(state.latest, now.getTime()) - OVERLAP_MS)
      after = rows.at(-1)
      if (rows.length < PAGE) break
      await nextTurn()
    }
  }

  async function readAll(keepAfter: number, now: Date): Promise<void> {
    const state = nothingKnown(keepAfter)
    await readInto(state, now)
    known = state
  }

  return {
    async read({ keepAfter, now }) {
      const at = keepAfter.getTime()
      // Counted before listed: what is committed in between may be listed, and is not asked for.
      const count = await store.countRevocations()
      // After a clock that was ahead, entries that were dropped are wanted again.
      if (known.revocations === 0 || at < known.keepAfter) await readAll(at, now)
      else {
        known.keepAfter = at
        try {
          await readInto(known, now)
        } catch (error) {
          known = nothingKnown(at)
          throw error
        }
      }
      // Committed with a date from before the overlap: everything is read again.
      if (known.revocations < count) await readAll(at, now)
      known.pages = known.pages
        .map((page) => withoutEnded(page, at))
        .filter(({ ends }) => ends.length > 0)
      const { pages, revocations } = known
      return { entries: pages.map(({ der }) => der), revocations }
    },
  }
}

const nothingKnown = (keepAfter: number): Known => ({
  pages: [],
  revocations: 0,
  recent: new Map(),
  recentFrom: 0,
  latest: 0,
  keepAfter,
})

/** Takes up what is new among the rows. */
function add(known: Known, rows: readonly RevokedCertificate[]): void {
  const fresh = rows.filter(
    ({ serial, revokedAt }) =>
      known.recent.get(minuteOf(revokedAt.getTime()))?.has(serial) !== true,
  )
  for (const { serial, revokedAt } of fresh) {
    const minute = minuteOf(revokedAt.getTime())
    const serials = known.recent.get(minute) ?? new Set()
    known.recent.set(minute, serials.add(serial))
    known.latest = Math.max(known.latest, revokedAt.getTime())
  }
  known.revocations += fresh.length
  const listed = fresh.filter(({ notAfter }) => notAfter.getTime() > known.keepAfter)
  if (listed.length > 0) known.pages.push(pageOf(encodeCrlEntries(listed), listed.map(endOf)))
  // Small pages of single revocations are put together, so that their number stays small.
  const [before, last] = known.pages.slice(-2)
  if (before && last && before.ends.length + last.ends.length <= PAGE)
    known.pages.splice(
      -2,
      2,
      pageOf([...partsOf(before), ...partsOf(last)], [...before.notAfter, ...last.notAfter]),
    )
}

const endOf = ({ notAfter }: RevokedCertificate): number => notAfter.getTime()

function pageOf(parts: readonly Buffer[], notAfter: readonly number[]): Page {
  let end = 0
  const ends = parts.map(({ length }) => (end += length))
  const earliest = notAfter.reduce((least, at) => Math.min(least, at), Infinity)
  return { der: Buffer.concat(parts), ends, notAfter, earliest }
}

const partsOf = ({ der, ends }: Page): Buffer[] =>
  ends.map((end, index) => der.subarray(ends[index - 1] ?? 0, end))

function withoutEnded(page: Page, keepAfter: number): Page {
  if (page.earliest > keepAfter) return page
  const stays = (_: unknown, index: number): boolean => (page.notAfter[index] ?? 0) > keepAfter
  return pageOf(partsOf(page).filter(stays), page.notAfter.filter(stays))
}

/** Never earlier than before: a revocation that was forgotten would be counted twice. */
function forgetBefore(known: Known, time: number): void {
  known.recentFrom = Math.max(known.recentFrom, time)
  for (const minute of known.recent.keys())
    if (minute < minuteOf(known.recentFrom)) known.recent.delete(minute)
}
