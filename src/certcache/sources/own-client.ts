/** Our own client at the identity provider, for renewal and for `certcache login`. */
import { requestHabits } from '../../config/provider-profile.ts'
import { rememberedConfiguration } from '../../grants/discovery.ts'
import type { GrantClientOptions } from '../../grants/grant-client.ts'
import type { SourceSettings } from '../settings/settings.ts'

/** The settings of the source when issuer and client are set. */
export type OwnClientSettings = SourceSettings & {
  readonly issuer: string
  readonly client_id: string
}

/**
 * Returns the options of the grant client.
 *
 * @param maxAgeMs age at which the discovery document is fetched again; default six hours
 */
export function ownClientOptions(
  settings: OwnClientSettings,
  now: () => Date,
  maxAgeMs?: number,
): GrantClientOptions {
  const { issuer, endpoints } = settings
  const timeoutMs = settings.timeout_seconds * 1000
  const providerId = URL.canParse(issuer) ? new URL(issuer).host : issuer
  const provider = {
    issuer,
    endpoints,
    clientId: settings.client_id,
    clientSecret: settings.client_secret,
    authentication: settings.client_authentication,
    providerId,
    timeoutMs,
  }
  return {
    configuration: rememberedConfiguration(provider, now, maxAgeMs),
    providerId,
    timeoutMs,
    now,
    habits: requestHabits(settings, settings.requested_token_type),
  }
}
