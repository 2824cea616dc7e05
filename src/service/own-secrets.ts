/** Prefixes of our own secrets that are sent as bearer credentials. They also identify a leaked secret. */

export const RENEWAL_SECRET_PREFIX = 'tts_renew_'

/**
 * Returns whether a bearer credential is our own secret and not a token of a provider. Such a secret must never be
 * sent to a third party.
 */
export function isOwnSecret(text: string): boolean {
  return text.startsWith(RENEWAL_SECRET_PREFIX)
}
