/** PEM blocks (RFC 7468) with a size limit. */
import { malformed, tooLarge } from './errors.ts'

/** One block: its label and its DER bytes. */
export interface PemBlock {
  readonly label: string
  readonly der: Buffer
}

const DEFAULT_MAX_LENGTH = 256 * 1024
const LINE_LENGTH = 64
const EDGE = /^-----(BEGIN|END) ([A-Z0-9 ]{1,40})-----$/

/**
 * One PEM block with lines of 64 characters and a newline at the end.
 *
 * @see RFC 7468 section 2
 * @example
 * toPem('X509 CRL', Buffer.of(1, 2, 3)) // => '-----BEGIN X509 CRL-----\nAQID\n-----END X509 CRL-----\n'
 */
export function toPem(label: string, der: Buffer): string {
  const base64 = der.toString('base64')
  let lines = ''
  for (let start = 0; start < base64.length; start += LINE_LENGTH)
    lines += `${base64.slice(start, start + LINE_LENGTH)}\n`
  return `-----BEGIN ${label}-----\n${lines}-----END ${label}-----\n`
}

/**
 * All blocks of a text in their order. Text around them is skipped, CRLF and missing last newlines are accepted; a
 * block without its END line, or with content that is not base64, is an error. Headers inside blocks (RFC 1421) are
 * refused: they mark keys in the old encrypted format.
 *
 * @param what names the text in errors
 * @param maxLength characters; default 262,144
 * @throws {CaError} `too_large`, `malformed`
 * @see RFC 7468 section 2
 * @example
 * const [block] = readPem(toPem('X509 CRL', Buffer.of(1, 2, 3)), 'CRL file')
 * block // => { label: 'X509 CRL', der: Buffer.of(1, 2, 3) }
 */
export function readPem(
  text: string,
  what: string,
  maxLength = DEFAULT_MAX_LENGTH,
): readonly PemBlock[] {
  if (text.length > maxLength) {
    throw tooLarge(what, 'characters', { actual: text.length, limit: maxLength })
  }
  const blocks: PemBlock[] = []
  let open: { label: string; lines: string[] } | undefined
  for (const part of text.split(text.includes('\r') ? /\r\n|\n|\r/ : '\n')) {
    const line = part.trim()
    const [, edge, label = ''] = (line.startsWith('-----') && EDGE.exec(line)) || []
    if (edge === 'BEGIN') {
      if (open) throw malformed(what, `PEM block "${open.label}" is not ended`)
      open = { label, lines: [] }
    } else if (edge === 'END') {
      if (open?.label !== label) throw malformed(what, `PEM block "${label}" has no BEGIN line`)
      blocks.push({ label, der: fromBase64(open.lines.join(''), what) })
      open = undefined
    } else open?.lines.push(line)
  }
  if (open) throw malformed(what, `PEM block "${open.label}" is not ended`)
  return blocks
}

function fromBase64(text: string, what: string): Buffer {
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0) {
    throw malformed(what, 'the content of a PEM block is not base64')
  }
  return Buffer.from(text, 'base64')
}

/**
 * Whether a text contains a private key, complete or not: PEM of any kind of key (PKCS#8, RSA, EC, OpenSSH, SSH2,
 * PGP), also form-encoded (a plus sign in place of a space); or a PuTTY file.
 */
export function containsPrivateKey(text: string): boolean {
  return (
    /-{4,5}[ +]?BEGIN[ +][A-Z0-9 +]{0,40}PRIVATE[ +]KEY/i.test(text) ||
    /PuTTY-User-Key-File-\d/i.test(text)
  )
}
