/** Pages of lists: all lists of the API have the same parameters and the same cursor. */
import { TtsError } from '../base/errors.ts'
import type { RecordPlace } from '../domain/records.ts'

/** The query parameters of every list. */
export const pageParameters = ['limit', 'after'] as const

/** The bounds of `limit`. */
export const pageLimits = { default: 100, maximum: 1000 } as const

/** A requested page. */
export interface PageRequest {
  readonly limit: number
  /** A cursor that `pageOf` made, or the id of the last entry of the page before. */
  readonly after: string | RecordPlace | undefined
}

/** @throws {TtsError} `invalid_request` */
export function readPage({
  limit,
  after,
}: Readonly<Partial<Record<(typeof pageParameters)[number], string>>>): PageRequest {
  return { limit: readLimit(limit), after: after === undefined ? undefined : readCursor(after) }
}

function readLimit(limit: string | undefined): number {
  if (limit === undefined) return pageLimits.default
  const number = /^\d{1,4}$/.test(limit) ? Number(limit) : 0
  if (number >= 1 && number <= pageLimits.maximum) return number
  throw new TtsError('invalid_request', `limit: must be a number from 1 to ${pageLimits.maximum}`)
}

const ID = '[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}'
const cursorPattern = new RegExp(`^(?:(\\d{1,15})\\.)?(${ID})$`)

function readCursor(after: string): string | RecordPlace {
  const [, at, id] = cursorPattern.exec(after) ?? []
  if (id !== undefined) return at === undefined ? id : { at: Number(at), id }
  throw new TtsError('invalid_request', 'after: must be `next` of the page before')
}

/** What the store is asked for: one entry more than the page has, which tells whether there is a next page. */
export const storeFilter = ({
  limit,
  after,
}: PageRequest): { readonly limit: number; readonly after?: string | RecordPlace } => ({
  limit: limit + 1,
  ...(after === undefined ? {} : { after }),
})

/**
 * Returns the entries of a page, and the cursor of the next one; null when this is the last one. A cursor holds the
 * place itself, because its record may move to the archive before the next request.
 */
export function pageOf<Entry extends { readonly id: string }>(
  entries: readonly Entry[],
  { limit, timeOf }: { readonly limit: number; readonly timeOf: (entry: Entry) => Date },
): { readonly page: readonly Entry[]; readonly next: string | null } {
  const page = entries.slice(0, limit)
  const last = page.at(-1)
  const isLastPage = last === undefined || entries.length <= limit
  return { page, next: isLastPage ? null : `${timeOf(last).getTime()}.${last.id}` }
}
