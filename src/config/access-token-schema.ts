/** Settings of access tokens for the holders of proxies. */
import { z } from 'zod'

const audience = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, 'must be 1 to 255 characters of ASCII without spaces')
const scope = z
  .string()
  .regex(/^[\x21\x23-\x5b\x5d-\x7e]{1,255}$/, 'must be a scope without spaces')

/** Longest life of an access token that can be configured. */
export const MAX_TOKEN_LIFETIME_SECONDS = 21_600

/** Configuration section `access_tokens`. */
export const accessTokensSettings = z
  .strictObject({
    enabled: z
      .boolean()
      .default(false)
      .describe(
        'True: the holder of a valid proxy of this service gets a short-lived access token of the WLCG profile at POST /oauth2/token, for services that accept tokens only. Needs `audiences`, and `listen.public_url` with https, which is the issuer of the tokens.',
      ),
    audiences: z
      .array(audience)
      .max(100)
      .default([])
      .describe(
        'Audiences that a token may be requested for, each the name of a service that trusts this one, such as https://storage.example.org. The audience https://wlcg.cern.ch/jwt/v1/any works at all of them: list it only if you must.',
      ),
    scopes: z
      .array(scope)
      .max(100)
      .default([])
      .describe(
        'Scopes that a token may be requested with, besides `wlcg.groups`, such as storage.read:/cms. Every user with a proxy can get all of them.',
      ),
    maximum_lifetime_seconds: z
      .int()
      .min(60)
      .max(MAX_TOKEN_LIFETIME_SECONDS)
      .default(1200)
      .describe(
        'Maximum and default lifetime of a token, in seconds; 20 minutes by default. Nobody can revoke a token. It always ends before the proxy.',
      ),
    groups_provider: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Id of the provider whose groups are in the tokens. Must be set if there are several providers: the group `cms` of one is not that of another, and a storage cannot tell them apart. Users of the others get tokens without groups. If its tokens have no groups and UserInfo has them, set `userinfo: always` for it.',
      ),
    groups_maximum_age_seconds: z
      .int()
      .min(60)
      .max(2_592_000)
      .default(604_800)
      .describe(
        'How long the groups of the newest access token of a user count, in seconds; 7 days by default. After that, tokens have no groups until the user gets a proxy with an access token again.',
      ),
  })
  .superRefine(({ enabled, audiences }, context) => {
    if (!enabled || audiences.length > 0) return
    const message = 'must have at least one audience, because access_tokens.enabled is true'
    context.addIssue({ code: 'custom', path: ['audiences'], message })
  })

interface RelatedSettings {
  readonly publicUrl: string | undefined
  /** Issuers of the trusted providers by id. */
  readonly issuers: ReadonlyMap<string, string>
}

/** A setting that does not fit the others. */
interface Problem {
  readonly path: readonly string[]
  readonly message: string
}

/**
 * Returns the problems between this section and the rest. A provider with our own issuer would make us accept the
 * tokens that we sign: a proxy could then be renewed for ever without any provider.
 */
export function accessTokenProblems(
  { enabled, groups_provider: groupsProvider }: z.output<typeof accessTokensSettings>,
  { publicUrl, issuers }: RelatedSettings,
): readonly Problem[] {
  if (!enabled) return []
  const path = ['access_tokens', 'enabled']
  const ofGroups = ['access_tokens', 'groups_provider']
  if (groupsProvider !== undefined && !issuers.has(groupsProvider))
    return [{ path: ofGroups, message: 'must be the id of a configured provider' }]
  if (groupsProvider === undefined && issuers.size > 1)
    return [{ path: ofGroups, message: 'must be set, because there are several providers' }]
  if (publicUrl?.startsWith('https://') !== true)
    return [
      {
        path,
        message: 'needs listen.public_url with https, because it is the issuer of the tokens',
      },
    ]
  const isOurs = (issuer: string): boolean => sameUrl(issuer) === sameUrl(publicUrl)
  return [...issuers.values()].some(isOurs)
    ? [{ path, message: 'must not be true while a provider has the issuer listen.public_url' }]
    : []
}

/** The same form for all ways to write a URL. */
const sameUrl = (url: string): string =>
  URL.canParse(url) ? new URL(url).href.replace(/\/+$/, '') : url
