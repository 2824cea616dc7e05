/**
 * How text from outside is kept in text columns. PostgreSQL refuses U+0000 and SQLite's binding cuts a string at it
 * in silence, by which two identities could become one; neither keeps a lone surrogate. So these, and the backslash
 * that marks them, are written as escapes. The encoding is injective: equal rows mean equal strings.
 */

const SPECIAL = /[\0\\]|\p{Cs}/gu
const ESCAPE = /\\(\\|0|u[0-9a-f]{4})/g

/** Any string in the form that both databases keep without loss. */
export function storedText(text: string): string {
  return text.replace(SPECIAL, (character) => {
    if (character === '\\') return '\\\\'
    if (character === '\0') return '\\0'
    return `\\u${character.charCodeAt(0).toString(16)}`
  })
}

/** The string that `storedText` was given. */
export function originalText(stored: string): string {
  if (!stored.includes('\\')) return stored
  return stored.replace(ESCAPE, (_, escape: string) => {
    if (escape === '\\') return '\\'
    if (escape === '0') return '\0'
    return String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  })
}

/** As `storedText`, with the column's NULL for undefined. */
export function storedOptional(text: string | undefined): string | null {
  return text === undefined ? null : storedText(text)
}

/** As `originalText`, with undefined for the column's NULL. */
export function originalOptional(stored: string | null): string | undefined {
  return stored === null ? undefined : originalText(stored)
}
