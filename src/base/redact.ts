/** Removes text that looks like a secret before it is logged or shown. */

const MAX_TEXT = 2000

/** JWTs, PEM keys, passwords in URLs and other secrets, anywhere in a text. */
const secrets: readonly (readonly [RegExp, string])[] = [
  [/eyJ[\w-]{5,}(\.[\w-]*)+/g, '[token]'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----[^]*?(-----END [A-Z ]*PRIVATE KEY-----|$)/g, '[private key]'],
  // Up to the last @ of the word, because unencoded passwords may contain @ and /.
  [/(\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s:@/]*):[^\s]*@/gi, '$1:[password]@'],
  [/\btts_renew_[\w-]+/g, '[renewal secret]'],
  [/\bBearer\s+[^\s"']+/gi, 'Bearer [token]'],
  [
    /\b((?:access|refresh|id|subject|actor)_token|client_secret|client_assertion|password|passphrase)=[^\s&"']+/gi,
    '$1=[secret]',
  ],
]

/** Returns the first 2000 characters of a text with everything that looks like a secret replaced. */
export function redactText(text: string): string {
  return secrets.reduce(
    (clean, [pattern, mark]) => clean.replace(pattern, mark),
    text.slice(0, MAX_TEXT),
  )
}
