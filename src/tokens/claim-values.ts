/** Reads values of claims, for token checks and for authorisation rules. */

/** Claims of a token, an introspection answer or UserInfo. */
export type Claims = Readonly<Record<string, unknown>>

/** Splits a space-separated text such as `scope` (RFC 6749 section 3.3). */
export function wordsOf(text: string): readonly string[] {
  return text.split(' ').filter(Boolean)
}

/** Whether a value is a list with this element or a text with this whole word. Parts of a word do not count. */
export function hasWord(value: unknown, word: string): boolean {
  if (Array.isArray(value)) return value.includes(word)
  return typeof value === 'string' && (value === word || wordsOf(value).includes(word))
}

/** Returns `aud` as a list. A string is one audience, even with spaces (RFC 7519 section 4.1.3). */
export function audiencesOf({ aud }: Claims): readonly string[] {
  if (typeof aud === 'string') return aud === '' ? [] : [aud]
  return Array.isArray(aud) ? aud.filter((entry) => typeof entry === 'string') : []
}

/** Returns the scopes of a token: `scope` (RFC 9068), or `scp` of Hydra, Okta and Entra; a text or a list. */
export function scopesOf(claims: Claims): readonly string[] {
  const scope = claims['scope'] ?? claims['scp']
  if (typeof scope === 'string') return wordsOf(scope)
  return Array.isArray(scope) ? scope.filter((entry) => typeof entry === 'string') : []
}

/** Returns the OAuth client that a token was issued to: claims of RFC 9068, OpenID Connect, Okta and Entra. */
export function clientIdOf(claims: Claims): string | undefined {
  return clientIdsOf(claims)[0]
}

/** Returns every client that a token names as its recipient. */
export function clientIdsOf(claims: Claims): readonly string[] {
  return ['client_id', 'azp', 'cid', 'appid']
    .map((name) => claims[name])
    .filter((value): value is string => typeof value === 'string' && value !== '')
}

/**
 * Returns a claim by its name (`wlcg.groups`) or, failing that, by its path (`realm_access.roles`); own properties
 * only.
 */
export function findClaim(claims: Claims, name: string): unknown {
  if (Object.hasOwn(claims, name)) return claims[name] ?? undefined
  let value: unknown = claims
  for (const step of name.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    if (!Object.hasOwn(value, step)) return undefined
    value = (value as Record<string, unknown>)[step]
  }
  return value ?? undefined
}

/** Longest text of untrusted values in a message for the operator, in characters. */
const MAX_SHOWN = 300

/** Shows values from a token, or settings, in a message for the operator: printable ASCII of limited length. */
export function shownValues(values: readonly unknown[]): string {
  const text = values.map((value) => (typeof value === 'string' ? value : typeof value)).join(', ')
  return (text === '' ? '(none)' : text).slice(0, MAX_SHOWN).replace(/[^\x20-\x7e]/g, '?')
}
