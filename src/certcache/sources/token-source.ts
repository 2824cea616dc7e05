/** Only a token, which somebody else renews: read each time, shown to the service. Renewal ends with it. */
import { TtsError } from '../../base/errors.ts'
import { expiryOf } from './own-refresh-token.ts'
import type { ProxySource, SourceParts } from './source.ts'

/** @param noDelegation why nothing better was made of the token, for the status */
export function createTokenSource(
  { service, startTokens, now }: SourceParts,
  noDelegation: () => string | undefined,
): ProxySource {
  let seen: { readonly source: string; readonly expiry: Date | undefined } | undefined
  let missing: string | undefined

  /** @throws {TtsError} `missing_token`, `invalid_token` when it has expired by its own words: nobody need be asked then */
  const read = async (): Promise<string> => {
    try {
      const { token, source } = await startTokens.read()
      seen = { source, expiry: expiryOf(token) }
      missing = undefined
      if (seen.expiry === undefined || seen.expiry > now()) return token
      throw new TtsError(
        'invalid_token',
        `the token of ${source} ended at ${seen.expiry.toISOString()}`,
        { check: 'expiry', remedy: `Put a new access token there: ${source} is read every time.` },
      )
    } catch (error) {
      if (error instanceof TtsError && error.code === 'missing_token') {
        missing = error.message
        seen = undefined
      }
      throw error
    }
  }

  const advice = (at: Date): string => {
    const why = noDelegation()
    const because = why === undefined ? '' : ` (${why})`
    if (seen === undefined) return missing ?? 'No token was looked for yet.'
    const { source, expiry } = seen
    if (expiry === undefined)
      return `Renewal lasts as long as somebody renews the token of ${source}${because}.`
    const verb = expiry > at ? 'lasts until' : 'ended with'
    return `Renewal ${verb} the token of ${source}, ${expiry.toISOString()}, unless somebody puts a new one there${because}.`
  }

  return {
    kind: 'token',
    load: async () => undefined,
    isAlive: () => seen !== undefined && (seen.expiry === undefined || seen.expiry > now()),
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
      const over = seen?.expiry !== undefined && seen.expiry <= at
      return {
        kind: seen === undefined ? 'none' : 'token',
        delegationId: undefined,
        renewsUntil: seen?.expiry,
        advice: advice(at),
        ended: over ? 'the token has ended' : missing,
      }
    },
  }
}
