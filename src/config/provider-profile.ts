/**
 * How OAuth requests are made at a provider: settings of `providers` and of certcache's `source`, and their defaults by
 * profile.
 */
import { z } from 'zod'

/** Identity providers with known behaviour; `generic` is any other. */
export const PROVIDER_PROFILES = ['generic', 'keycloak', 'indigo-iam', 'dex', 'hydra'] as const
export type ProviderProfile = (typeof PROVIDER_PROFILES)[number]

/** Requests to a token endpoint, or to the endpoint that starts the login. */
export const AUDIENCE_REQUESTS = ['exchange', 'refresh', 'device', 'code'] as const
export type AudienceRequest = (typeof AUDIENCE_REQUESTS)[number]

const audienceParameter = z.enum(['audience', 'resource', 'client_id', 'none']).optional()

/** The parameter that requests an audience: none, or its name; `client_id`: `audience` with the id of our client. */
export type AudienceParameter = NonNullable<z.output<typeof audienceParameter>>

/** Settings of the requests to one provider. Keys that are not set have the defaults of the profile. */
export const requestSettings = {
  profile: z
    .enum(PROVIDER_PROFILES)
    .default('generic')
    .describe(
      'Product that the provider runs. It sets the defaults of `audience_parameter` and `requested_token_type`, and the advice in messages.',
    ),
  client_authentication: z
    .enum(['basic', 'post', 'none'])
    .optional()
    .describe(
      'How our client authenticates: `basic` (HTTP Basic), `post` (secret in the body of the request), `none` (only the client id, also where a secret is set). Default: `basic` with a secret, otherwise `none`.',
    ),
  audience_parameter: z
    .strictObject({
      exchange: audienceParameter.describe('At token exchange.'),
      refresh: audienceParameter.describe('At refresh.'),
      device: audienceParameter.describe('At a login with a device code, in both requests.'),
      code: audienceParameter.describe('At a login with a browser, in both requests.'),
    })
    .prefault({})
    .describe(
      'Parameter that requests the audience: `audience` (RFC 8693), `resource` (RFC 8707), `client_id` (`audience` with the id of our client), or `none`. Default: `none` at Keycloak and Dex, where mappers or scopes set the audience; otherwise `audience`.',
    ),
}

/** `requested_token_type` of a token exchange. */
export const requestedTokenType = z
  .enum(['none', 'access_token', 'refresh_token'])
  .optional()
  .describe(
    'Parameter `requested_token_type` of the token exchange (RFC 8693). Keycloak gives a refresh token only for `refresh_token`; it lives as long as the session of the user, and the scope offline_access is then not requested, because Keycloak refuses it there. Default: `refresh_token` with the profile `keycloak`, otherwise `none`.',
  )

/** How to make the requests of grants at a provider. */
export interface RequestHabits {
  readonly profile: ProviderProfile
  readonly audienceParameter: Readonly<Record<AudienceRequest, AudienceParameter>>
  readonly requestedTokenType: 'none' | 'access_token' | 'refresh_token'
}

interface HabitSettings {
  readonly profile: ProviderProfile
  readonly audience_parameter: Readonly<
    Partial<Record<AudienceRequest, AudienceParameter | undefined>>
  >
}

/** Returns the habits: those that are set, otherwise those of the profile. */
export function requestHabits(
  { profile, audience_parameter: set }: HabitSettings,
  tokenType?: RequestHabits['requestedTokenType'],
): RequestHabits {
  const fallback = profile === 'keycloak' || profile === 'dex' ? 'none' : 'audience'
  const parameters = AUDIENCE_REQUESTS.map((request) => [request, set[request] ?? fallback])
  return {
    profile,
    audienceParameter: Object.fromEntries(parameters) as RequestHabits['audienceParameter'],
    requestedTokenType: tokenType ?? (profile === 'keycloak' ? 'refresh_token' : 'none'),
  }
}
