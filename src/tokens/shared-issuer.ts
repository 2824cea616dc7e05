/** Several configured providers may have one issuer, for several logins at it. Each of them checks the token. */
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import type { Provider } from './providers.ts'
import type { Remembered } from './token-cache.ts'

/** Returns the providers in groups of the same issuer, in the order of the configuration. */
export function groupByIssuer(providers: readonly Provider[]): readonly (readonly Provider[])[] {
  return [...Map.groupBy(providers, issuerOf).values()]
}

/** Returns all providers with the issuer of this one, in the order of the configuration. */
export function providersOfIssuer(one: Provider, all: readonly Provider[]): readonly Provider[] {
  return all.filter((provider) => issuerOf(provider) === issuerOf(one))
}

const issuerOf = ({ settings }: Provider): string => withoutTrailingSlash(settings.issuer)

/**
 * Combines what the providers of one issuer say of a token: the first one that accepts it, with the ids of the others.
 *
 * @throws {TtsError} an outage if there was one, also when another id accepts the token, because the rules may forbid
 *   the id that cannot be asked; otherwise the refusal of the first, if none accepts it
 */
export function combineVerified(results: readonly PromiseSettledResult<Remembered>[]): Remembered {
  const reasons = results.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []))
  const outage = reasons.find(isOutage)
  if (outage !== undefined) throw outage
  const accepted = results.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const [first, ...others] = accepted
  if (first === undefined) throw reasons[0]
  if (others.length === 0) return first
  const otherProviderIds = others.map(({ token }) => token.providerId)
  return {
    token: Object.freeze({ ...first.token, otherProviderIds }),
    untilMs: Math.min(...accepted.map(({ untilMs }) => untilMs)),
  }
}

function isOutage(reason: unknown): boolean {
  return reason instanceof TtsError && reason.code === 'provider_unavailable'
}
