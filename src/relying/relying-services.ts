/** The configured relying services: sites that send their users here with a signed request. */
import { relyingProviderId, type RelyingServiceSettings } from '../config/relying-schema.ts'
import { createRateLimiter } from '../limits/rate-limiter.ts'
import type { Store } from '../domain/store.ts'
import type { RelyingRequest } from '../domain/session-records.ts'
import { TtsError } from '../base/errors.ts'
import type { Fetch } from '../tokens/limited-fetch.ts'
import type { VerifiedToken } from '../tokens/verified-token.ts'
import { siteRefusal } from './refusals.ts'
import { type RelyingSite, type SignedRequest, verifySignedRequest } from './signed-request.ts'
import { createSiteKeys } from './site-keys.ts'
import { isRefererOf } from './site-urls.ts'

export interface RelyingServices {
  readonly sites: ReadonlyMap<string, RelyingSite>
  /**
   * Verifies a signed request, and checks that the browser comes from the site.
   *
   * @param context.referer Referer header of the browser
   * @param context.audience public URL of this service
   * @throws {TtsError} as `verifySignedRequest`
   */
  verify(
    text: string,
    context: { readonly referer: string | undefined; readonly audience: string },
  ): Promise<VerifiedRequest>
  /**
   * Marks a request as used, for all replicas and across restarts.
   *
   * @throws {TtsError} `overloaded`, check `rate`; `conflict`, check `replay`
   */
  claim(request: VerifiedRequest): Promise<void>
  close(): void
}

/** A request that passed every check, with the URLs to return to. */
export interface VerifiedRequest extends Omit<SignedRequest, 'successUrl' | 'failedUrl'> {
  readonly successUrl: string
  readonly failedUrl: string
}

export function createRelyingServices(
  settings: Readonly<Record<string, RelyingServiceSettings>>,
  dependencies: {
    readonly store: Pick<Store, 'claimProof'>
    readonly now: () => Date
    readonly fetch?: Fetch
  },
): RelyingServices {
  const { store, now, fetch = globalThis.fetch } = dependencies
  const sites = new Map(
    Object.entries(settings).map(([id, own]) => {
      const keys = createSiteKeys({ id, settings: own, now, fetch })
      return [id, { id, settings: own, keys }] as const
    }),
  )
  const limiters = new Map(
    Object.entries(settings).map(([id, { requests_per_second: perSecond, burst }]) => {
      const nowMs = (): number => performance.now()
      return [id, createRateLimiter({ perSecond, burst, nowMs })] as const
    }),
  )
  return {
    sites,
    verify: async (text, { referer, audience }) => {
      const request = await verifySignedRequest(text, sites, { now: now(), audience })
      requireReferer(request.site, referer)
      return withReturnUrls(request, referer)
    },
    claim: async ({ site, digest, endsAt }) => {
      const limiter = limiters.get(site.id)
      const retryAfterSeconds = limiter?.look('') ?? 0
      if (retryAfterSeconds > 0) throw tooMany(site.id, retryAfterSeconds)
      if (!(await store.claimProof(digest, endsAt))) {
        throw siteRefusal(
          'replay',
          'the signed request was already used: go back to the site and start again',
          { code: 'conflict' },
        )
      }
      // Only a new request counts. Otherwise an attacker could exhaust the rate of a site by repeating a request.
      limiter?.take('')
    },
    close: () => {
      for (const { keys } of sites.values()) keys.close()
    },
  }
}

function tooMany(id: string, retryAfterSeconds: number): TtsError {
  return new TtsError(
    'overloaded',
    'too many users of the site arrived at the same time: try again soon',
    {
      check: 'rate',
      retryAfterSeconds,
      remedy: `Raise relying_services.${id}.requests_per_second or burst.`,
    },
  )
}

/**
 * Checks the Referer: the page of another site could link here with a request made for another user, but it cannot
 * forge the Referer.
 */
function requireReferer({ id, settings }: RelyingSite, referer: string | undefined): void {
  const { base_url: base, require_referer: isRequired } = settings
  if (referer === undefined) {
    if (!isRequired) return
    throw siteRefusal(
      'referer',
      'your browser did not report the site that you come from (header Referer): follow the link on the site',
      {
        remedy: `If the site forbids the header, set relying_services.${id}.require_referer to false.`,
      },
    )
  }
  if (isRefererOf(referer, base)) return
  throw siteRefusal(
    'referer',
    'you come from another site than the one that signed the request (header Referer)',
    { remedy: `Check relying_services.${id}.base_url.` },
  )
}

/** Adds the URLs to return to, as WaTTS did: `failed_url` defaults to `success_url`, which defaults to the Referer. */
function withReturnUrls(request: SignedRequest, referer: string | undefined): VerifiedRequest {
  const fallback = referer ?? request.site.settings.base_url
  const successUrl = request.successUrl ?? fallback
  return { ...request, successUrl, failedUrl: request.failedUrl ?? successUrl }
}

/**
 * Returns a user of a relying service for rules, plugins and records. The only claim is `sub`, because the site
 * states nothing else.
 */
export function relyingUserOf(
  { siteId, sub }: Pick<RelyingRequest, 'siteId' | 'sub'>,
  expiresAt: Date,
): VerifiedToken {
  const providerId = relyingProviderId(siteId)
  return {
    providerId,
    issuer: providerId,
    publishedIssuer: providerId,
    sub,
    claims: { iss: providerId, sub },
    scopes: [],
    clientId: undefined,
    profile: 'generic',
    clientOnly: false,
    expiresAt,
  }
}
