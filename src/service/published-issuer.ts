/** Finds out how a provider writes its issuer, for commands that run without the service. */
import { withoutTrailingSlash } from '../config/provider-schema.ts'
import { createTokenVerifier } from '../tokens/verify-token.ts'
import type { Core } from './compose.ts'

/**
 * Returns an issuer exactly as its provider publishes it: plugins know people by it.
 *
 * @param issuer without a trailing slash, as in the records
 * @throws {TtsError} `provider_unavailable` (the provider cannot be reached)
 */
export async function publishedIssuerOf(
  { loaded, log, now }: Pick<Core, 'loaded' | 'log' | 'now'>,
  issuer: string,
): Promise<string> {
  const { providers } = loaded.configuration
  const own = Object.entries(providers).filter(
    ([, settings]) => withoutTrailingSlash(settings.issuer) === issuer,
  )
  const verifier = createTokenVerifier({ providers: Object.fromEntries(own), log, now })
  try {
    return await verifier.publishedIssuer(issuer)
  } finally {
    await verifier.close()
  }
}
