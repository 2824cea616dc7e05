/** Verifies the signed request with which a relying service sends a user: a JWT as in WaTTS. */
import { createHash } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, type JWTPayload } from 'jose'
import type { RelyingServiceSettings } from '../config/relying-schema.ts'
import { audiencesOf } from '../tokens/claim-values.ts'
import {
  badClaim,
  siteRefusalFromJose,
  malformedSiteRequest,
  noRequest,
  siteRefusal,
  wrongAlgorithm,
} from './refusals.ts'
import type { SiteKeys } from './site-keys.ts'
import { urlUnder } from './site-urls.ts'

const ALGORITHM = 'RS256'
const TYPE = 'watts-rsp'
/** Maximum length of the JWT; Node accepts 16 KiB for all headers and the request target together. */
const MAX_REQUEST_LENGTH = 8 * 1024
const MAX_SUB_LENGTH = 1024
/** A configured relying service, with its keys. */
export interface RelyingSite {
  readonly id: string
  readonly settings: RelyingServiceSettings
  readonly keys: SiteKeys
}

/** The request of a site, after the check of signature and claims. */
export interface SignedRequest {
  readonly site: RelyingSite
  /** The site's identifier of the user. */
  readonly sub: string
  readonly serviceId: string
  readonly parameters: Readonly<Record<string, unknown>>
  /** Id of the provider where the user must log in first. */
  readonly provider: string | undefined
  readonly successUrl: string | undefined
  readonly failedUrl: string | undefined
  /** Identifies the request, to detect replays. It is the same for every encoding of the same request. */
  readonly digest: string
  /** Time after which the request is too old. */
  readonly endsAt: Date
}

/**
 * Verifies a signed request.
 *
 * @param context.audience public URL of this service
 * @throws {TtsError} `access_denied`, `invalid_request`, with a `RelyingCheck`; `provider_unavailable` (the keys
 * cannot be loaded)
 */
export async function verifySignedRequest(
  text: string,
  sites: ReadonlyMap<string, RelyingSite>,
  context: { readonly now: Date; readonly audience: string },
): Promise<SignedRequest> {
  const site = siteOf(text, sites)
  const claims = await verifyClaims(text, site, context.now)
  checkAudience(claims, site.settings, context.audience)
  const { sub, exp, iat, watts_service: serviceId, watts_params: parameters = {} } = claims
  if (typeof sub !== 'string' || sub === '' || sub.length > MAX_SUB_LENGTH) throw badClaim('sub')
  if (typeof exp !== 'number' || typeof iat !== 'number') throw badClaim('exp')
  if (typeof serviceId !== 'string') throw badClaim('watts_service')
  if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters))
    throw badClaim('watts_params')
  const { maximum_token_age_seconds: age, clock_leeway_seconds: leeway } = site.settings
  return {
    site,
    sub,
    serviceId,
    parameters: parameters as Record<string, unknown>,
    provider: textClaim(claims, 'watts_provider'),
    successUrl: returnUrl(claims, 'success_url', site),
    failedUrl: returnUrl(claims, 'failed_url', site),
    digest: digestOf(text),
    endsAt: new Date((Math.min(exp, iat + age) + leeway + 1) * 1000),
  }
}

/** Returns the site named in the decodeUnverified claim `iss`. Use it only to find the keys. */
function siteOf(text: string, sites: ReadonlyMap<string, RelyingSite>): RelyingSite {
  if (text.length > MAX_REQUEST_LENGTH)
    throw malformedSiteRequest(
      'size',
      `the signed request is longer than ${MAX_REQUEST_LENGTH} characters`,
    )
  const { alg, typ, iss } = decodeUnverified(text)
  if (alg !== ALGORITHM) throw wrongAlgorithm()
  if (typ !== TYPE)
    throw siteRefusal('type', `the signed request has the wrong type (header typ must be ${TYPE})`)
  const site = typeof iss === 'string' ? sites.get(iss) : undefined
  if (site !== undefined) return site
  throw siteRefusal('issuer', 'the site is not configured here (claim iss)', {
    remedy: 'Check that `iss` is the id of one of the relying_services.',
  })
}

function decodeUnverified(text: string): { alg?: unknown; typ?: unknown; iss?: unknown } {
  try {
    const { alg, typ } = decodeProtectedHeader(text)
    return { alg, typ, iss: decodeJwt(text).iss }
  } catch {
    throw noRequest()
  }
}

async function verifyClaims(text: string, site: RelyingSite, now: Date): Promise<JWTPayload> {
  const { maximum_token_age_seconds: maxTokenAge, clock_leeway_seconds: leeway } = site.settings
  const options = {
    algorithms: [ALGORITHM],
    issuer: site.id,
    requiredClaims: ['sub', 'exp', 'iat', 'watts_service'],
    maxTokenAge,
    clockTolerance: leeway,
    currentDate: now,
  }
  try {
    return (await site.keys.verify(text, options)).payload
  } catch (error) {
    throw siteRefusalFromJose(error)
  }
}

/** Refuses a request for another audience (RFC 7519 section 4.1.3). Sites of WaTTS name no audience. */
function checkAudience(
  claims: JWTPayload,
  { audiences }: RelyingServiceSettings,
  publicUrl: string,
): void {
  const named = audiencesOf(claims)
  if (claims.aud === undefined && audiences.length === 0) return
  const bare = publicUrl.replace(/\/$/, '')
  const accepted = audiences.length === 0 ? [bare, `${bare}/`] : audiences
  if (named.some((audience) => accepted.includes(audience))) return
  throw siteRefusal('audience', 'the signed request is for another service (claim aud)', {
    remedy: 'Check relying_services.<id>.audiences.',
  })
}

function textClaim(claims: JWTPayload, name: string): string | undefined {
  const value = claims[name]
  if (value === undefined) return undefined
  if (typeof value !== 'string') throw badClaim(name)
  return value
}

function returnUrl(
  claims: JWTPayload,
  name: string,
  { settings }: RelyingSite,
): string | undefined {
  const text = textClaim(claims, name)
  if (text === undefined) return undefined
  const url = urlUnder(text, settings.base_url)
  if (url !== undefined) return url.href
  throw siteRefusal(
    'return_url',
    `the URL to send you back to is not under the base URL of the site (claim ${name})`,
    { remedy: 'Check relying_services.<id>.base_url.' },
  )
}

/** Returns the digest of header and payload. It omits the signature, which has several valid base64url encodings. */
function digestOf(text: string): string {
  const signed = text.slice(0, text.lastIndexOf('.'))
  return createHash('sha256').update(`tts relying request v1\0${signed}`).digest('hex')
}
