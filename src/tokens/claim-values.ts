/** How values of claims are read, for tokens and for authorisation rules alike. */

/** Claims, from whichever source. */
export type Claims = Readonly<Record<string, unknown>>

/** The words of a space-separated text such as `scope` (RFC 6749 section 3.3). */
export function wordsOf(text: string): readonly string[] {
  return text.split(' ').filter(Boolean)
}

/** Whether a value is a list with this element, or a text that has it as a whole word; never a part of a word. */
export function hasWord(value: unknown, word: string): boolean {
  if (Array.isArray(value)) return value.includes(word)
  return typeof value === 'string' && (value === word || wordsOf(value).includes(word))
}

/** `aud` as a list. A string is one audience, blanks or not (RFC 7519 section 4.1.3). */
export function audiencesOf({ aud }: Claims): readonly string[] {
  if (typeof aud === 'string') return aud === '' ? [] : [aud]
  return Array.isArray(aud) ? aud.filter((entry) => typeof entry === 'string') : []
}

/** The scopes of a token: `scope` (RFC 9068), or `scp` as Hydra, Okta and Entra call it; a text or a list. */
export function scopesOf(claims: Claims): readonly string[] {
  const scope = claims['scope'] ?? claims['scp']
  if (typeof scope === 'string') return wordsOf(scope)
  return Array.isArray(scope) ? scope.filter((entry) => typeof entry === 'string') : []
}

/** The OAuth client that a token was issued to: RFC 9068, OpenID Connect, Okta, Entra. */
export function clientIdOf(claims: Claims): string | undefined {
  return clientIdsOf(claims)[0]
}

/** Every client that a token names as the one that it was issued to. */
export function clientIdsOf(claims: Claims): readonly string[] {
  return ['client_id', 'azp', 'cid', 'appid']
    .map((name) => claims[name])
    .filter((value): value is string => typeof value === 'string' && value !== '')
}
