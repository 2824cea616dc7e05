/**
 * Reads the CRL's entries from the database in pages and keeps them encoded between CRLs, so that the cost of a new
 * CRL depends on the new revocations only. Between pages the event loop can run.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { encodeCrlEntries } from '../../../ca/crl.ts'
import type { RevokedCertificate } from '../records.ts'
import type { Store } from '../store.ts'

export interface RevocationList {
  /**
   * Returns the entries of all revocations stored before the call, except those of certificates that expired before
   * `keepAfter`.
   *
   * @param times.keepAfter an entry must stay until one CRL after the certificate's expiry contained it (RFC 5280
   * section 3.3)
   * @throws {TtsError} `store_unavailable`
   */
  read(times: { readonly keepAfter: Date; readonly now: Date }): Promise<EncodedRevocations>
}

export interface EncodedRevocations {
  /** Concatenated DER of the entries. */
  readonly entries: readonly Buffer[]
  /**
   * Number of revocations read, including those of expired certificates and those in the archive. Never more than
   * `entries` takes into account.
   */
  readonly revocations: number
}

/** A page takes a few milliseconds, also right after a start, when no code is compiled yet. */
const PAGE = 250
/** Revocations may be committed out of order: clocks differ, and transactions wait for each other. */
const OVERLAP_MS = 10 * 60_000

const minuteOf = (time: number): number => Math.floor(time / 60_000)

interface Page {
  readonly der: Buffer
  /** For each entry: its end in `der`; `notAfter` holds its certificate's expiry. */
  readonly ends: readonly number[]
  readonly notAfter: readonly number[]
  readonly earliest: number
}

interface Known {
  pages: Page[]
  revocations: number
  /**
   * Serial numbers revoked at `recentFrom` or later, which the next overlap returns again. Grouped by minute, so that
   * old ones are dropped in few steps.
   */
  recent: Map<number, Set<string>>
  recentFrom: number
  latest: number
  keepAfter: number
}

export function createRevocationList(
  store: Pick<Store, 'countRevocations' | 'countArchivedRevocations' | 'listRevocations'>,
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
      // A date in the future, from a clock that was ahead, must not hide later revocations with earlier dates.
      forgetBefore(state, Math.min(state.latest, now.getTime()) - OVERLAP_MS)
      after = rows.at(-1)
      if (rows.length < PAGE) break
      await nextTurn()
    }
  }

  async function readAll(keepAfter: number, now: Date): Promise<void> {
    const state = nothingKnown(keepAfter)
    // What is in the archive left the CRL long ago. Counted before listing: a row that moves meanwhile is missed here,
    // and the CRL is then made once more, but none is counted twice.
    state.revocations = await store.countArchivedRevocations()
    await readInto(state, now)
    known = state
  }

  return {
    async read({ keepAfter, now }) {
      const at = keepAfter.getTime()
      // Count before listing: a revocation committed in between may be listed but is not required.
      const count = await store.countRevocations()
      // If the clock was ahead and was set back, dropped entries are needed again.
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
      // A revocation was committed with a date before the overlap: read everything again.
      if (known.revocations < count) await readAll(at, now)
      known.pages = known.pages
        .map((page) => withoutExpired(page, at))
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

/** Adds the rows that are not known yet. */
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
  // Merge small pages, so that their number stays small.
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

function withoutExpired(page: Page, keepAfter: number): Page {
  if (page.earliest > keepAfter) return page
  const stays = (_: unknown, index: number): boolean => (page.notAfter[index] ?? 0) > keepAfter
  return pageOf(partsOf(page).filter(stays), page.notAfter.filter(stays))
}

/** Never moves back: a revocation that was dropped here would be counted twice. */
function forgetBefore(known: Known, time: number): void {
  known.recentFrom = Math.max(known.recentFrom, time)
  for (const minute of known.recent.keys())
    if (minute < minuteOf(known.recentFrom)) known.recent.delete(minute)
}
