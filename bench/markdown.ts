/** Tables that read well in Markdown and in a terminal. */

export interface Column<Row> {
  readonly head: string
  readonly cell: (row: Row) => string
  /** Default: right, for numbers. */
  readonly align?: 'left'
}

/** Formats as Prettier does: cells padded to the width of their column. */
export function markdownTable<Row>(columns: readonly Column<Row>[], rows: readonly Row[]): string {
  const cells = rows.map((row) => columns.map(({ cell }) => cell(row)))
  const widths = columns.map(({ head }, index) =>
    Math.max(3, head.length, ...cells.map((line) => (line[index] ?? '').length)),
  )
  const pad = (text: string, index: number): string => {
    const width = widths[index] ?? 0
    return columns[index]?.align === 'left' ? text.padEnd(width) : text.padStart(width)
  }
  const line = (texts: readonly string[]): string => `| ${texts.map(pad).join(' | ')} |`
  const rule = columns.map(({ align }, index) => {
    const width = widths[index] ?? 0
    return align === 'left' ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`
  })
  const heads = columns.map(({ head }) => head)
  return [line(heads), `| ${rule.join(' | ')} |`, ...cells.map(line)].join('\n')
}

const BEGIN = '<!-- bench: begin -->'
const END = '<!-- bench: end -->'

/**
 * Replaces what is between the markers of a document.
 *
 * @throws Error when a marker is missing
 */
export function replaceBetweenMarkers(document: string, report: string): string {
  const begin = document.indexOf(BEGIN)
  const end = document.indexOf(END, begin)
  if (begin < 0 || end < 0) throw new Error(`the file has no lines ${BEGIN} and ${END}`)
  return `${document.slice(0, begin + BEGIN.length)}\n\n${report.trim()}\n\n${document.slice(end)}`
}

export const withMarkers = (report: string): string => `${BEGIN}\n\n${report.trim()}\n\n${END}\n`
