/** `tts credential archived`: finds records in the archive. */
import { Command } from 'commander'
import { z } from 'zod'
import { readLineFiles } from '../files/line-files.ts'
import type { RecordFilter } from '../domain/records.ts'
import { archiveDirectory } from '../service/upkeep.ts'
import { pageSize } from './duration.ts'
import { addFilterOptions, type FilterOptions, recordFilter } from './record-filter.ts'
import { loadedConfigurationFor, type OperatorOptions, type Terminal } from './terminal.ts'

interface ArchivedOptions extends OperatorOptions, FilterOptions {
  readonly serial?: string
  readonly limit: number
}

export function archivedCommand(terminal: Terminal): Command {
  return addFilterOptions(new Command('archived'))
    .argument('[id]', 'id of a credential, or serial number of an EEC')
    .description('find credentials and EECs that have moved to the archive, oldest files first')
    .option(
      '--serial <SERIAL>',
      'only with this serial number: of a proxy or EEC in hex, or of an SSH certificate',
    )
    .option('--limit <N>', 'maximum number (1 to 1000)', pageSize, 50)
    .addHelpText(
      'after',
      `
It reads all files of \`store.archive_dir\`; the database is not needed. --json prints the whole lines. The filters are
those of \`tts credential list\`.

Examples:
  tts credential archived --serial 4a01c3d2e4f5061728 --json
  tts credential archived --sub alice --since 2024-11-01 --until 2024-12-01`,
    )
    .action((id: string | undefined, _options, self: Command) =>
      find(terminal, self.optsWithGlobals(), id),
    )
}

const text = z.string().nullable().optional()

/** What the filters read of a line. An EEC has no address, service and client. */
const archivedLine = z.object({
  record: z.enum(['credential', 'end_entity']),
  id: z.string(),
  subject: z.string(),
  issuer: z.string(),
  sub: z.string(),
  address: text,
  service: text,
  client_id: text,
  /** Of a credential. */
  issued_at: text,
  /** Of an EEC. */
  not_before: text,
  not_after: z.string(),
  revoked_at: text,
  serial: text,
  ssh_serial: text,
  end_entity_serial: text,
  certificates: z.array(z.object({ serial: z.string() })).optional(),
})

type ArchivedLine = z.output<typeof archivedLine>

async function find(
  terminal: Terminal,
  options: ArchivedOptions,
  id: string | undefined,
): Promise<void> {
  const loaded = await loadedConfigurationFor(terminal, options)
  const filter = recordFilter(options, terminal.now())
  const serial = options.serial?.toLowerCase()
  // A record that was archived twice is printed once.
  const found = new Set<string>()
  let unreadable = 0
  for await (const line of readLineFiles(archiveDirectory(loaded))) {
    const record = parseLine(line)
    if (record === undefined) unreadable += 1
    if (record === undefined || found.has(`${record.record} ${record.id}`)) continue
    if (id !== undefined && record.id !== id.toLowerCase()) continue
    if (serial !== undefined && !serialsOf(record).includes(serial)) continue
    if (!fits(record, filter)) continue
    terminal.out(options.json === true ? `${line}\n` : summary(record))
    found.add(`${record.record} ${record.id}`)
    if (found.size === options.limit) {
      terminal.note('There may be more: raise --limit, or narrow the search.')
      break
    }
  }
  if (found.size === 0) terminal.note('The archive has no such record.')
  if (unreadable > 0) terminal.note(`${unreadable} line(s) of the archive cannot be read.`)
}

function parseLine(line: string): ArchivedLine | undefined {
  try {
    return archivedLine.parse(JSON.parse(line))
  } catch {
    // What a process left that was killed while it wrote: the record stayed in the database.
    return undefined
  }
}

function serialsOf(record: ArchivedLine): readonly unknown[] {
  const { serial, ssh_serial: ssh, end_entity_serial: endEntity, certificates = [] } = record
  return [serial, ssh, endEntity, ...certificates.map((certificate) => certificate.serial)]
}

const issuedAt = (record: ArchivedLine): string => record.issued_at ?? record.not_before ?? ''

function fits(record: ArchivedLine, filter: RecordFilter): boolean {
  const { since, until } = filter
  const issuedMs = Date.parse(issuedAt(record))
  const texts = [
    [filter.subject, record.subject],
    [filter.issuer, record.issuer],
    [filter.sub, record.sub],
    [filter.address, record.address],
    [filter.serviceId, record.service],
    [filter.clientId, record.client_id],
  ]
  return (
    texts.every(([wanted, found]) => wanted === undefined || wanted === found) &&
    (since === undefined || issuedMs >= since.getTime()) &&
    (until === undefined || issuedMs < until.getTime())
  )
}

function summary(record: ArchivedLine): string {
  const when = issuedAt(record).slice(0, 19)
  const kind = record.record === 'end_entity' ? 'EEC' : (record.service ?? '')
  const end = record.revoked_at ? 'revoked' : `ended ${record.not_after.slice(0, 19)}Z`
  return `${record.id}  ${when}Z  ${kind.padEnd(8)}  ${end.padEnd(26)}  ${record.subject}\n`
}
