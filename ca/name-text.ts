/**
 * Names as text: the slash form of grid middleware (`/C=EU/O=X/CN=a b`) and RFC 4514 (`CN=a b,O=X,C=EU`).
 *
 * Both directions are lossless for any values, up to 4096 characters of text. The slash form is that of OpenSSL 3
 * (`/` and `+` inside a value as `\/` and `\+`, bytes outside printable ASCII as `\xC3\xA9`), with two changes that
 * make it unambiguous: a backslash is doubled, and a value that looks like hex (`#0500`) begins with a backslash.
 */
import { CaError, type CaErrorDetails } from './errors.ts'
import { attributeTypes, type DistinguishedName, type NameAttribute, type Rdn } from './name.ts'
import { oidBytes } from './oid.ts'

const shortNames = new Map(Object.entries(attributeTypes).map(([name, type]) => [type, name]))
/** Other spellings of the same types: Globus and VOMS write Email and USERID. Compared without letter case. */
const typesByName = new Map(
  [
    ...Object.entries(attributeTypes),
    ['Email', '1.2.840.113549.1.9.1'],
    ['E', '1.2.840.113549.1.9.1'],
    ['USERID', '0.9.2342.19200300.100.1.1'],
    ['S', '2.5.4.8'],
  ].map(([name = '', type = '']) => [name.toLowerCase(), type]),
)

const MAX_TEXT_LENGTH = 4096

/**
 * Slash-DN of a name, general to specific, as OpenSSL 3 prints it. `parseSlashDn` reads it back without loss.
 *
 * @see RFC 5280 section 4.1.2.4
 * @example
 * formatSlashDn([[{ type: '2.5.4.6', value: 'EU' }], [{ type: '2.5.4.3', value: 'a/b' }]]) // => '/C=EU/CN=a\\/b'
 */
export function formatSlashDn(name: DistinguishedName): string {
  return name
    .map((rdn) => `/${rdn.map((attribute) => formatAttribute(attribute, escapeSlash)).join('+')}`)
    .join('')
}

/**
 * RFC 4514 text of a name, specific to general. `parseRfc4514` reads it back without loss.
 *
 * @see RFC 4514 section 2
 * @example
 * formatRfc4514(parseSlashDn('/C=EU/O=Example/CN=Alice')) // => 'CN=Alice,O=Example,C=EU'
 */
export function formatRfc4514(name: DistinguishedName): string {
  return [...name]
    .reverse()
    .map((rdn) => rdn.map((attribute) => formatAttribute(attribute, escapeRfc4514)).join('+'))
    .join(',')
}

function formatAttribute({ type, value }: NameAttribute, escape: (text: string) => string): string {
  const name = shortNames.get(type) ?? type
  return `${name}=${typeof value === 'string' ? escape(value) : `#${value.toString('hex')}`}`
}

/** The DER of a value that is not text, in hex. */
const hexValue = /^#([0-9A-Fa-f]{2})+$/

function escapeSlash(value: string): string {
  const looksLikeHex = hexValue.test(value)
  return [...Buffer.from(value, 'utf8')]
    .map((byte, index) => {
      const character = String.fromCharCode(byte)
      if (byte < 0x20 || byte > 0x7e)
        return `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`
      return '/+\\'.includes(character) || (index === 0 && looksLikeHex)
        ? `\\${character}`
        : character
    })
    .join('')
}

function escapeRfc4514(value: string): string {
  const characters = [...value]
  return characters
    .map((character, index) => {
      // RFC 4514 section 2.4: these anywhere; `#` and blank at the start, blank at the end; NUL and, as we choose,
      // controls in hex.
      if ('"+,;<>\\'.includes(character)) return `\\${character}`
      if (index === 0 && (character === '#' || character === ' ')) return `\\${character}`
      if (index === characters.length - 1 && character === ' ') return '\\ '
      const code = character.charCodeAt(0)
      return code < 0x20 || code === 0x7f ? `\\${code.toString(16).padStart(2, '0')}` : character
    })
    .join('')
}

/**
 * Reads a slash-DN of at most 4096 characters.
 *
 * @throws {CaError} `bad_name`
 * @see RFC 5280 section 4.1.2.4
 * @example
 * parseSlashDn('/C=EU/CN=Alice') // => [[{ type: '2.5.4.6', value: 'EU' }], [{ type: '2.5.4.3', value: 'Alice' }]]
 */
export function parseSlashDn(text: string): DistinguishedName {
  checkText(text)
  if (!text.startsWith('/'))
    throw badName('a slash-DN must begin with "/", as in /C=EU/O=Example/CN=name')
  return splitUnescaped(text.slice(1), '/', slashEscape).map((part) => parseRdn(part, slashEscape))
}

/**
 * Reads a name in RFC 4514 form, of at most 4096 characters.
 *
 * @throws {CaError} `bad_name`
 * @see RFC 4514 section 3
 * @example
 * formatSlashDn(parseRfc4514('CN=Alice,O=Example,C=EU')) // => '/C=EU/O=Example/CN=Alice'
 */
export function parseRfc4514(text: string): DistinguishedName {
  checkText(text)
  if (text === '') return []
  return splitUnescaped(text, ',', rfc4514Escape)
    .map((part) => parseRdn(part, rfc4514Escape))
    .reverse()
}

function checkText(text: string): void {
  if (text.length > MAX_TEXT_LENGTH) {
    throw badName(`the name has ${text.length} characters; the limit is ${MAX_TEXT_LENGTH}`, {
      reason: 'too_large',
      limit: MAX_TEXT_LENGTH,
      actual: text.length,
    })
  }
  if (!text.isWellFormed()) throw badName('the name is not well-formed Unicode')
}

function badName(
  message: string,
  details: Partial<CaErrorDetails> & { readonly cause?: unknown } = {},
): CaError {
  return new CaError('bad_name', message, { field: 'name', reason: 'bad_encoding', ...details })
}

const slashEscape = /\\x[0-9A-Fa-f]{2}|\\[^x]/uy
const rfc4514Escape = /\\[0-9A-Fa-f]{2}|\\[^0-9A-Fa-f]/uy

/** Splits at separators without a backslash before them. Escapes stay for the reader of the value. */
function splitUnescaped(text: string, separator: string, escape: RegExp): string[] {
  const parts = ['']
  for (let index = 0; index < text.length;) {
    const token = nextToken(text, index, escape)
    if (token === separator) parts.push('')
    else parts[parts.length - 1] += token
    index += token.length
  }
  return parts
}

function nextToken(text: string, index: number, escape: RegExp): string {
  const character = text[index] ?? ''
  // RFC 4514 section 2.4. RFC 2253 read `"a"` and `a;O=b` otherwise, so they are not guessed at.
  if (escape === rfc4514Escape && '";<>\0'.includes(character))
    throw badName('a character in the name must have a backslash before it')
  if (character !== '\\') return character
  escape.lastIndex = index
  const match = escape.exec(text)
  if (!match)
    throw badName('a backslash in the name must be followed by a character that it can escape')
  return match[0]
}

function parseRdn(text: string, escape: RegExp): Rdn {
  return splitUnescaped(text, '+', escape).map((part) => parseAttribute(part, escape))
}

function parseAttribute(text: string, escape: RegExp): NameAttribute {
  const equals = text.indexOf('=')
  const typeText = text.slice(0, Math.max(equals, 0)).trim()
  const type = isOid(typeText) ? typeText : typesByName.get(typeText.toLowerCase())
  if (equals < 1 || type === undefined) {
    throw badName(
      `"${text.slice(0, 40)}" is not TYPE=value with a known type; inside a value write "/" as "\\/" and "+" as "\\+"`,
    )
  }
  const value = text.slice(equals + 1)
  if (hexValue.test(value)) return { type, value: Buffer.from(value.slice(1), 'hex') }
  if (escape === rfc4514Escape && /^[ #]|(?<!\\)(?:\\\\)* $/.test(value)) {
    throw badName('a value in the name must not begin or end with an unescaped space or "#"')
  }
  return { type, value: unescape(value, escape) }
}

function isOid(text: string): boolean {
  try {
    return oidBytes(text).length > 0
  } catch {
    return false
  }
}

function unescape(value: string, escape: RegExp): string {
  const bytes: Buffer[] = []
  for (let index = 0; index < value.length;) {
    const token = nextToken(value, index, escape)
    bytes.push(tokenBytes(token, value, index))
    // A character outside of the BMP is two UTF-16 units and must reach Buffer.from whole.
    index +=
      token.length === 1 ? String.fromCodePoint(value.codePointAt(index) ?? 0).length : token.length
  }
  return decodeUtf8(Buffer.concat(bytes))
}

function tokenBytes(token: string, value: string, index: number): Buffer {
  const hex = /^\\x?([0-9A-Fa-f]{2})$/.exec(token)?.[1]
  if (hex !== undefined) return Buffer.from(hex, 'hex')
  if (token.startsWith('\\')) return Buffer.from(token.slice(1), 'utf8')
  return Buffer.from(String.fromCodePoint(value.codePointAt(index) ?? 0), 'utf8')
}

function decodeUtf8(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (cause) {
    throw badName('the escaped bytes in the name must be UTF-8', { cause })
  }
}
