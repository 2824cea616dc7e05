/** Who asks on the paths of WaTTS: by a session of the web page, whose cookie wins, or by a bearer token. */
import type { Request, Response } from 'express'
import type { Evidence } from '../../domain/issuing/callers.ts'
import { TtsError } from '../../base/errors.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import type { TokenVerifier } from '../../tokens/verify-token.ts'
import { bearerToken, contextOf } from '../request.ts'

/** A session of the web page, as far as the API needs to know it. */
export interface WattsSession {
  /** What the verifier says at this moment of whoever is logged in. */
  readonly token: VerifiedToken
  /** What `issue` is shown for them. */
  readonly evidence: Evidence
  readonly displayName: string
  /** Undefined for users whom a relying service sent. */
  readonly accessToken: string | undefined
  /** Only of users whom a relying service sent. */
  readonly relying?: RelyingVisit
}

/** What a relying service asks for its user, once. */
export interface RelyingVisit {
  /** For `GET info`. */
  readonly info: {
    readonly service_request: { readonly service: string; readonly params: object }
    readonly rsp_success: string
    readonly rsp_error: string
  }
  /** @throws {TtsError} `access_denied` for another request than that of the site; `conflict` the second time */
  claim(wanted: {
    readonly serviceId: string
    readonly params: Readonly<Record<string, unknown>>
  }): Promise<void>
  /** Where a browser goes for a login that the plugin wants. @throws {TtsError} `access_denied`, check `login` */
  loginPath(providerId: string): Promise<string>
}

/** The sessions of the web page; this is how a cookie stands in for a bearer token. */
export interface WattsSessions {
  /** The session of a request; undefined for who is not logged in. */
  sessionOf(request: Request): Promise<WattsSession | undefined>
  /** Ends the session and takes the cookie back. */
  end(request: Request, response: Response): Promise<void>
  /** Where a browser goes to log in at a provider. */
  loginPath(providerId: string | undefined): string
}

/** Who asks. */
export interface WattsCaller {
  readonly token: VerifiedToken
  readonly evidence: Evidence
  readonly session: WattsSession | undefined
}

/**
 * Who asks, known by cookie or token, and of the provider that the path names.
 *
 * @param provider id of that provider; undefined: any
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
  if (provider === undefined || token.providerId === provider) return
  throw new TtsError('invalid_token', 'the token is not from the provider that the path names', {
    check: 'issuer',
  })
}
