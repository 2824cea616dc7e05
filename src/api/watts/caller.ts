/**
 * Identifies the caller on the paths of WaTTS: by the session cookie of the web pages if there is one, otherwise by a
 * bearer token.
 */
import type { Request, Response } from 'express'
import type { Evidence } from '../../domain/issuing/callers.ts'
import { TtsError } from '../../base/errors.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { bearerToken, contextOf } from '../request.ts'

/** The part of a web session that the API uses. */
export interface WattsSession {
  /** Result of the token verifier for the logged-in user, at this moment. */
  readonly token: VerifiedToken
  /** Evidence of the user for `issue`. */
  readonly evidence: Evidence
  readonly displayName: string
  /** Undefined for users sent by a relying service. */
  readonly accessToken: string | undefined
  /** Only for users sent by a relying service. */
  readonly relying?: RelyingVisit
}

/** The one request that a relying service makes for its user. */
export interface RelyingVisit {
  /** For `GET info`. */
  readonly info: {
    readonly service_request: { readonly service: string; readonly params: object }
    readonly rsp_success: string
    readonly rsp_error: string
  }
  /**
   * @throws {TtsError} `access_denied` if the request differs from that of the relying service; `conflict` the second
   * time
   */
  claim(request: {
    readonly serviceId: string
    readonly params: Readonly<Record<string, unknown>>
  }): Promise<void>
  /**
   * Returns the path where the browser logs in when the plugin requires it. @throws {TtsError} `access_denied`, check
   * `login`
   */
  loginPath(providerId: string): Promise<string>
}

/** The sessions of the web pages, whose cookie replaces a bearer token. */
export interface WattsSessions {
  /** Returns the session of a request; undefined if the user is not logged in. */
  sessionOf(request: Request): Promise<WattsSession | undefined>
  /** Ends the session and deletes its cookie. */
  end(request: Request, response: Response): Promise<void>
  /** Returns the path where a browser logs in at a provider; without one, the path that expects `?provider=ID`. */
  loginPath(providerId: string | undefined): string
}

/** The identified caller. */
export interface WattsCaller {
  readonly token: VerifiedToken
  readonly evidence: Evidence
  readonly session: WattsSession | undefined
}

/**
 * Identifies the caller by cookie or token, and checks that the provider is the one in the path.
 *
 * @param provider id of the provider in the path; undefined accepts any
 * @throws {TtsError} `missing_token`, `invalid_token`, `insufficient_scope`, `provider_unavailable`
 */
export async function callerOf(
  {
    verifier,
    sessions,
  }: { readonly verifier: TokenVerifier; readonly sessions?: WattsSessions | undefined },
  request: Request,
  { response, provider }: { readonly response: Response; readonly provider: string | undefined },
): Promise<WattsCaller> {
  const session = await sessions?.sessionOf(request)
  if (session !== undefined) {
    requireProvider(session.token, provider)
    return { token: session.token, evidence: session.evidence, session }
  }
  const text = bearerToken(request)
  const { signal, origin } = contextOf(response)
  const token = await verifier.verify(text, { signal, address: origin.address })
  requireProvider(token, provider)
  return { token, evidence: { token: text }, session: undefined }
}

function requireProvider(token: VerifiedToken, provider: string | undefined): void {
  const { providerId, otherProviderIds = [] } = token
  if (provider === undefined || [providerId, ...otherProviderIds].includes(provider)) return
  throw new TtsError('invalid_token', 'the token is not from the provider in the path', {
    check: 'issuer',
  })
}
