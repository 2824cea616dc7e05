/**
 * Reads PEM line by line as OpenSSL does, to find out why relying parties do not see a block that `readPem` reads:
 * `readPem` ignores white space around lines and blank lines.
 */

/** A block that OpenSSL reads differently from `readPem`. */
export interface PemFault {
  /** Position of the block among all blocks that `readPem` finds, from 0. */
  readonly block: number
  readonly label: string
  /** Line number, from 1. */
  readonly line: number
  readonly kind:
    | 'indented_begin'
    | 'indented_end'
    | 'blank_line'
    | 'carriage_returns'
    | 'trailing_space'
    | 'byte_order_mark'
}

/** OpenSSL skips a UTF-8 byte order mark at the beginning of a file, read here as Latin-1. */
export const BYTE_ORDER_MARK = '\u00ef\u00bb\u00bf'

const edge = /^(\s*)-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----\s*$/

interface OpenBlock {
  readonly block: number
  readonly label: string
  /** Lines of content so far. */
  readonly contentLines: number
  /** The first blank line, which OpenSSL takes for the end of headers. */
  readonly blankLine: number | undefined
  /** Whether a line shorter than 64 characters followed the blank line: only END may follow. */
  readonly isLast: boolean
  /** The blank line for which OpenSSL refuses the block. */
  readonly fault: number | undefined
}

const openBlock = (block: number, label: string): OpenBlock => ({
  block,
  label,
  contentLines: 0,
  blankLine: undefined,
  isLast: false,
  fault: undefined,
})

/**
 * Returns the faults of a text, in order. `trailing_space` and `byte_order_mark` matter to Java only. A blank line
 * right after BEGIN is mostly not a fault: OpenSSL takes it for the end of headers.
 *
 * @see RFC 7468 section 2
 */
export function pemFaults(text: string): readonly PemFault[] {
  const faults: PemFault[] = []
  if (text.startsWith(`${BYTE_ORDER_MARK}-----BEGIN`))
    faults.push({ block: 0, label: '', line: 1, kind: 'byte_order_mark' })
  if (/\r(?!\n)/.test(text) && !text.includes('\n'))
    return [{ block: 0, label: '', line: 1, kind: 'carriage_returns' }]
  let open: OpenBlock | undefined
  let count = 0
  for (const [index, raw] of withoutByteOrderMark(text).split('\n').entries()) {
    const line = index + 1
    const content = raw.replace(/\r$/, '')
    const [, space = '', kind, label = ''] = edge.exec(content) ?? []
    const add = (fault: PemFault['kind'], block: number): void => {
      faults.push({ block, label: open?.label ?? label, line, kind: fault })
    }
    if (kind === 'BEGIN') {
      open = openBlock(count, label)
      count += 1
      if (space !== '') add('indented_begin', open.block)
      else if (content.endsWith(' ')) add('trailing_space', open.block)
    } else if (kind === 'END' && open) {
      if (space !== '') add('indented_end', open.block)
      else if (open.fault !== undefined)
        faults.push({ block: open.block, label: open.label, line: open.fault, kind: 'blank_line' })
      open = undefined
    } else if (open) open = readContent(open, content, line)
  }
  return faults
}

/** Full lines of base64 have as many characters. */
const LINE_LENGTH = 64

/** Reads a line between BEGIN and END as OpenSSL's `get_header_and_data` does. */
function readContent(open: OpenBlock, content: string, line: number): OpenBlock {
  const { blankLine, contentLines, isLast } = open
  const { length } = content.trimEnd()
  if (length === 0) {
    const isHeaderEnd = contentLines === 0 && blankLine === undefined
    return isHeaderEnd ? { ...open, blankLine: line } : { ...open, fault: open.fault ?? line }
  }
  const next = { ...open, contentLines: contentLines + 1 }
  if (blankLine === undefined) return next
  return isLast || length > LINE_LENGTH
    ? { ...next, fault: open.fault ?? blankLine }
    : { ...next, isLast: length < LINE_LENGTH }
}

/** Removes a UTF-8 byte order mark at the beginning of a text that was read as Latin-1. */
export function withoutByteOrderMark(text: string): string {
  return text.startsWith(BYTE_ORDER_MARK) ? text.slice(BYTE_ORDER_MARK.length) : text
}

/**
 * Replaces the old labels of certificates, which OpenSSL and Java read too, by `CERTIFICATE`. What OpenSSL puts after a
 * TRUSTED CERTIFICATE is not read.
 *
 * @see RFC 7468 section 5.1
 */
export function withCurrentLabels(text: string): string {
  return text.replaceAll(
    /^(-----(?:BEGIN|END)) (?:X509|TRUSTED) CERTIFICATE-----/gm,
    '$1 CERTIFICATE-----',
  )
}
