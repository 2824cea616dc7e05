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
  /** The first blank line after content. */
  readonly blankLine: number | undefined
}

/**
 * Returns the faults of a text, in order. `trailing_space` and `byte_order_mark` matter to Java only. A blank line
 * right after BEGIN is not a fault: OpenSSL takes it for the end of headers.
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
      open = { block: count, label, contentLines: 0, blankLine: undefined }
      count += 1
      if (space !== '') add('indented_begin', open.block)
      else if (content.endsWith(' ')) add('trailing_space', open.block)
    } else if (kind === 'END' && open) {
      if (space !== '') add('indented_end', open.block)
      else if (open.blankLine !== undefined)
        faults.push({
          block: open.block,
          label: open.label,
          line: open.blankLine,
          kind: 'blank_line',
        })
      open = undefined
    } else if (open) open = readContent(open, content, line)
  }
  return faults
}

function readContent(open: OpenBlock, content: string, line: number): OpenBlock {
  if (content.trim() !== '') return { ...open, contentLines: open.contentLines + 1 }
  return open.contentLines > 0 && open.blankLine === undefined ? { ...open, blankLine: line } : open
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
