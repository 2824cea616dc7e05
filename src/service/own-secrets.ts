/** Secrets of our own that are sent as bearer credentials, known by how they begin. Whoever finds a leaked one knows it by this too. */

export const RENEWAL_SECRET_PREFIX = 'tts_renew_'

/** Whether a bearer credential is a secret of ours, and so no token of a provider: it must be shown to nobody else. */
export function isOwnSecret(text: string): boolean {
  return text.startsWith(RENEWAL_SECRET_PREFIX)
}
