/** The content of a backup: lines of JSON with a header, files of the data directory, rows, and an end. */
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import { TtsError } from '../base/errors.ts'
import type { BackupRow, ColumnValue } from '../store/table-backup.ts'

export interface BackupHeader {
  /** Newest schema change of the database. */
  readonly schema: string
  readonly createdAt: string
}

/** A file, with its path in the data directory. */
export interface BackupFile {
  readonly path: string
  readonly mode: number
  readonly data: Buffer
}

/** Parts of the content. The header comes first, then the files, then the rows. */
export type BackupPart =
  { readonly header: BackupHeader } | { readonly file: BackupFile } | { readonly row: BackupRow }

/** Returns the lines. */
export async function* writeParts(parts: AsyncIterable<BackupPart>): AsyncGenerator<string> {
  let count = 0
  for await (const part of parts) {
    count += 1
    yield `${JSON.stringify(part, encodeBytes)}\n`
  }
  yield `${JSON.stringify({ end: count })}\n`
}

/** Buffers have a `toJSON`, so they are encoded before they get here; other typed arrays are not. */
function encodeBytes(this: unknown, key: string, value: unknown): unknown {
  const original: unknown = (this as Record<string, unknown>)[key]
  return original instanceof Uint8Array
    ? { base64: Buffer.from(original).toString('base64') }
    : value
}

/**
 * Reads the parts.
 *
 * @throws {TtsError} `configuration`, check `backup_damaged` (a line cannot be read, or the end is missing)
 */
export async function* readParts(stream: Readable): AsyncGenerator<BackupPart> {
  let count = 0
  let isOver = false
  for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
    if (isOver) throw incomplete()
    const value = parseLine(line)
    if ('end' in value) isOver = value.end === count
    else {
      count += 1
      yield value
    }
    if ('end' in value && !isOver) throw incomplete()
  }
  if (!isOver) throw incomplete()
}

function parseLine(line: string): BackupPart | { readonly end: unknown } {
  try {
    return JSON.parse(line, decodeBytes) as BackupPart | { readonly end: unknown }
  } catch {
    throw incomplete()
  }
}

function decodeBytes(_key: string, value: unknown): unknown {
  const isBytes =
    typeof value === 'object' &&
    value !== null &&
    'base64' in value &&
    Object.keys(value).length === 1 &&
    typeof value.base64 === 'string'
  return isBytes ? (Buffer.from(value.base64 as string, 'base64') satisfies ColumnValue) : value
}

const incomplete = (): TtsError =>
  new TtsError('configuration', 'the backup is damaged or incomplete', {
    check: 'backup_damaged',
    remedy: 'Use another copy, or the backup before it.',
  })
