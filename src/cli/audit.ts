/** `tts audit`: shows the audit trail, directly from the database. */
import { Command } from 'commander'
import type { NumberedAuditRecord } from '../domain/records.ts'
import { pageSize, wholeNumberOption } from './duration.ts'
import { toSnakeCase } from './json-output.ts'
import {
  addFilterOptions,
  type FilterOptions,
  noteNextPage,
  recordFilter,
} from './record-filter.ts'
import { type OperatorOptions, type Terminal, withCore } from './terminal.ts'

interface AuditOptions extends OperatorOptions, FilterOptions {
  readonly refused?: boolean
  readonly event?: string
  readonly limit?: number
  readonly after?: number
}

export function auditCommand(terminal: Terminal): Command {
  return addFilterOptions(new Command('audit'))
    .description('show the newest audit records: issued, refused, revoked')
    .option('--refused', 'only refusals')
    .option('--event <NAME>', 'only this event, for example credential.issued')
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .option('--after <N>', 'continue after the record with this number', wholeNumberOption)
    .addHelpText(
      'after',
      `
Examples:
  tts audit --refused            # who was refused, and by which check
  tts audit --sub alice --since 2026-11-20 --until 2026-11-21
  tts audit --json --limit 1000`,
    )
    .action((_options, self: Command) => audit(terminal, self.optsWithGlobals()))
}

async function audit(terminal: Terminal, options: AuditOptions): Promise<void> {
  const { refused, event, limit, after, json } = options
  await withCore(terminal, options, async ({ store, now }) => {
    const records = await store.listAudit({
      ...recordFilter(options, now()),
      ...(refused === true && { outcome: 'refused' as const }),
      ...(event !== undefined && { event }),
      ...(limit !== undefined && { limit }),
      ...(after !== undefined && { after }),
    })
    if (json) terminal.out(`${JSON.stringify(toSnakeCase(records), null, 2)}\n`)
    else for (const record of records) terminal.out(auditLine(record))
    if (records.length === 0) terminal.note('There are no audit records.')
    if (!json) noteNextPage(terminal, records, { limit, after: ({ number }) => number })
  })
}

function auditLine(record: NumberedAuditRecord): string {
  const who =
    record.sub === undefined ? '-' : `${JSON.stringify(record.sub)} of ${record.issuer ?? '?'}`
  const why = [record.code, record.check, record.detail]
    .filter((part) => part !== undefined)
    .join(', ')
  return `${record.at.toISOString()}  ${record.event}  ${record.origin.address}  ${who}${why === '' ? '' : `  ${why}`}\n`
}
