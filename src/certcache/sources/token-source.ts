/**
 * The bare token source: sends the start token to the service each time. Renewal ends when nobody replaces the token.
 */
import { TtsError } from '../../base/errors.ts'
import type { ProxySource, SourceParts } from './source.ts'
import { unverifiedExpiry } from './start-token.ts'

/** @param fallbackReason why no better source can be used, for the status */
export function createTokenSource(
  { service, startTokens, now }: SourceParts,
  fallbackReason: () => string | undefined,
): ProxySource {
  let newest: { readonly source: string; readonly expiry: Date | undefined } | undefined
  let missing: string | undefined

  /** @throws {TtsError} `missing_token`, `invalid_token` (expired by its `exp`; the service need not be asked) */
  const read = async (): Promise<string> => {
    try {
      const { token, source } = await startTokens.read()
      newest = { source, expiry: unverifiedExpiry(token) }
      missing = undefined
      if (newest.expiry === undefined || newest.expiry > now()) return token
      const message = `the token from ${source} expired at ${newest.expiry.toISOString()}`
      const remedy = `Put a new access token into ${source}. It is read again at each attempt.`
      throw new TtsError('invalid_token', message, { check: 'expiry', remedy })
    } catch (error) {
      if (error instanceof TtsError && error.code === 'missing_token') {
        missing = error.message
        newest = undefined
      }
      throw error
    }
  }

  const isExpired = (at: Date): boolean => newest?.expiry !== undefined && newest.expiry <= at

  const advice = (at: Date): string => {
    const fallback = fallbackReason()
    const reason = fallback === undefined ? '' : ` (${fallback})`
    if (newest === undefined) return missing ?? 'The token has not been read yet.'
    const { source, expiry } = newest
    if (expiry === undefined)
      return `Renewal works as long as the token in ${source} is replaced in time${reason}.`
    const end = expiry > at ? 'ends' : 'ended'
    return `Renewal ${end} with the token in ${source} at ${expiry.toISOString()}; replace it by a new one${reason}.`
  }

  return {
    kind: 'token',
    load: async () => undefined,
    isAlive: () => newest !== undefined && !isExpired(now()),
    canStart: async () =>
      read().then(
        () => true,
        () => false,
      ),
    obtain: async (request, signal) => {
      const bearer = await read()
      return service.requestProxy(request, { bearer }, signal)
    },
    status: (at) => {
      return {
        kind: newest === undefined ? 'none' : 'token',
        delegationId: undefined,
        renewsUntil: newest?.expiry,
        advice: advice(at),
        ended: isExpired(at) ? 'the token has expired' : missing,
      }
    },
  }
}
