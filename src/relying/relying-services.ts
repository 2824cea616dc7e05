/** The relying services of the configuration: sites that send their users here with a signed request. */
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
   * Verifies a signed request, and that the browser comes from the site.
   *
   * @param around.referer header of the browser
   * @param around.audience public URL of this service
   * @throws {TtsError} as `verifySignedRequest`
   */
  verify(
    text: string,
    around: { readonly referer: string | undefined; readonly audience: string },
  ): Promise<VerifiedRequest>
  /**
   * Uses a request up, over all replicas and restarts.
   *
   * @throws {TtsError} `overloaded`, check `rate`; `conflict`, check `replay`
   */
  claim(request: VerifiedRequest): Promise<void>
  close(): void
}

/** A request that passed every check, with the places to return to. */
export interface VerifiedRequest extends Omit<SignedRequest, 'successUrl' | 'failedUrl'> {
  readonly successUrl: string
  readonly failedUrl: string
}

export function createRelyingServices(
  settings: Readonly<Record<string, RelyingServiceSettings>>,
  around: {
    readonly store: Pick<Store, 'claimProof'>
    readonly now: () => Date
    readonly fetch?: Fetch
  },
): RelyingServices {
  const { store, now, fetch = globalThis.fetch } = around
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
          'the signed request was used already, and is good for once: go back to the site and begin again',
          { code: 'conflict' },
        )
      }
      // Only a request that is new counts: else whoever has seen one could use up the rate of its site by repeating it.
      limiter?.take('')
    },
    close: () => {
      for (const { keys } of sites.values()) keys.close()
    },
  }
}

function tooMany(id: string, retryAfterSeconds: number): TtsError {
  return new TtsError('overloaded', 'too many users of the site come at once: try again soon', {
    check: 'rate',
    retryAfterSeconds,
    remedy: `Raise relying_services.${id}.requests_per_second and burst if the site may send more users.`,
  })
}

/** A page of another site can lead here with a request that was made for somebody else; it cannot say that it is the site. */
function requireReferer({ id, settings }: RelyingSite, referer: string | undefined): void {
  const { base_url: base, require_referer: isRequired } = settings
  if (referer === undefined) {
    if (!isRequired) return
    throw siteRefusal(
      'referer',
      'your browser does not tell that it comes from the site (header Referer): follow the link on the site',
      {
        remedy: `Set relying_services.${id}.require_referer to false if browsers may come without a Referer.`,
      },
    )
  }
  if (isRefererOf(referer, base)) return
  throw siteRefusal(
    'referer',
    'you were sent here by another site than the one that signed the request (header Referer)',
    { remedy: `Check relying_services.${id}.base_url.` },
  )
}

/** As in WaTTS: without `failed_url` the other one, without both where the browser came from. */
function withReturnUrls(request: SignedRequest, referer: string | undefined): VerifiedRequest {
  const home = referer ?? request.site.settings.base_url
  const successUrl = request.successUrl ?? home
  return { ...request, successUrl, failedUrl: request.failedUrl ?? successUrl }
}

/** A user of a relying service as rules, plugins and records know them. The word of the site is all there is: `sub` and nothing more. */
export function relyingUserOf(
  { siteId, sub }: Pick<RelyingRequest, 'siteId' | 'sub'>,
  expiresAt: Date,
): VerifiedToken {
  const providerId = relyingProviderId(siteId)
  return {
    providerId,
    issuer: providerId,
    sub,
    claims: { iss: providerId, sub },
    scopes: [],
    clientId: undefined,
    clientOnly: false,
    expiresAt,
  }
}
