/** The options by which records are found: who, where from, when, by which service and client. */
import type { Command } from 'commander'
import { TtsError } from '../base/errors.ts'
import type { RecordFilter } from '../domain/records.ts'
import { duration } from './duration.ts'
import type { Terminal } from './terminal.ts'

export interface FilterOptions {
  readonly subject?: string
  readonly issuer?: string
  readonly sub?: string
  readonly address?: string
  readonly service?: string
  readonly client?: string
  readonly since?: string
  readonly until?: string
}

/** Adds the options to a command. */
export function addFilterOptions(command: Command): Command {
  return command
    .option('--subject <DN>', 'only of this subject name, for example /DC=org/DC=example/CN=alice')
    .option('--sub <SUB>', 'only of users with this `sub`')
    .option('--issuer <URL>', 'only of users of this provider')
    .option('--address <ADDRESS>', 'only from this client address')
    .option('--service <ID>', 'only of this service')
    .option('--client <ID>', 'only of this OAuth client')
    .option(
      '--since <TIME>',
      'from this time on: 2026-11-27, 2026-11-27T10:00Z, or 2h, 3d for so long ago',
    )
    .option('--until <TIME>', 'before this time')
}

/** @throws {TtsError} `invalid_request` (a time that cannot be read) */
export function recordFilter(options: FilterOptions, now: Date): RecordFilter {
  const { subject, issuer, sub, address, service, client, since, until } = options
  return {
    ...(subject !== undefined && { subject }),
    // The records hold issuers without a slash at the end.
    ...(issuer !== undefined && { issuer: issuer.replace(/\/$/, '') }),
    ...(sub !== undefined && { sub }),
    ...(address !== undefined && { address }),
    ...(service !== undefined && { serviceId: service }),
    ...(client !== undefined && { clientId: client }),
    ...(since !== undefined && { since: readTime('--since', since, now) }),
    ...(until !== undefined && { until: readTime('--until', until, now) }),
  }
}

/** Whether an option narrows the records down. */
export function isFiltered(filter: RecordFilter): boolean {
  return Object.keys(filter).length > 0
}

const TIME = /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)?)?$/

function readTime(option: string, text: string, now: Date): Date {
  if (TIME.test(text)) {
    const isLocal = /\d\d:\d\d(:\d\d(\.\d+)?)?$/.test(text) && !/[+-]\d\d:\d\d$/.test(text)
    const time = new Date(`${text.replace(' ', 'T')}${isLocal ? 'Z' : ''}`)
    if (!Number.isNaN(time.getTime())) return time
  } else if (/^\d/.test(text) && /[smhd]$/.test(text)) {
    return new Date(now.getTime() - duration(text) * 1000)
  }
  throw new TtsError(
    'invalid_request',
    `${option}: found "${text}"; must be a time such as 2026-11-27, 2026-11-27T10:00Z (UTC), or so long ago: 90m, 2h, 3d`,
  )
}

/** Tells people how to get the next page, if this one is full. */
export function noteNextPage<Item>(
  terminal: Terminal,
  page: readonly Item[],
  options: { readonly limit: number | undefined; readonly after: (item: Item) => string | number },
): void {
  const last = page.at(-1)
  if (last === undefined || options.limit === undefined || page.length < options.limit) return
  terminal.note(`There may be more: continue with --after ${options.after(last)}`)
}
