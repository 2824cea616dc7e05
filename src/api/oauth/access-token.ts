/** The exchange of a proxy for an access token, at POST /oauth2/token. */
import type { Request, Response } from 'express'
import {
  type AccessTokenDependencies,
  issueAccessToken,
} from '../../domain/access-tokens/issue-access-token.ts'
import { accessTokenText } from '../../domain/possession/possession-proof.ts'
import type { PresentedProxy } from '../../domain/possession/presented-proxy.ts'
import { TtsError } from '../../base/errors.ts'
import { clientCertificates } from '../../http/client-certificates.ts'
import { withinSignal } from '../deadline.ts'
import { notAChain, readProxyChain } from '../presented-proxy.ts'
import { contextOf } from '../request.ts'
import { sendOAuthJson } from './answers.ts'
import type { ExchangeRequest, TokenForm } from './token-request.ts'

/** Issues an access token for the proxy of the form, and sends it. @see RFC 8693 section 2.2.1 */
export async function sendAccessToken(
  accessTokens: AccessTokenDependencies,
  { request, response }: { readonly request: Request; readonly response: Response },
  { form, wanted }: { readonly form: TokenForm; readonly wanted: ExchangeRequest },
): Promise<void> {
  const { log, origin: from, signal } = contextOf(response)
  const { scope, lifetime_seconds: lifetimeSeconds } = form.fields
  const application = {
    proxy: presentedProxy(request, form, wanted),
    audiences: form.audiences,
    scope,
    lifetimeSeconds,
    origin: { ...from, interface: 'token-exchange' },
    log,
  }
  const issued = await withinSignal(issueAccessToken(accessTokens, application), signal)
  sendOAuthJson(response, 200, {
    access_token: issued.token,
    issued_token_type: wanted.issuedTokenType,
    token_type: 'Bearer',
    expires_in: issued.lifetimeSeconds,
    ...(issued.scope === '' ? {} : { scope: issued.scope }),
  })
}

/**
 * Reads the proxy with its proof: the TLS handshake, if the client used this very proxy there, otherwise the signature
 * of the request.
 *
 * @throws {TtsError} `invalid_request`, `missing_token`
 */
function presentedProxy(
  request: Request,
  { fields, audiences }: TokenForm,
  { subjectToken }: ExchangeRequest,
): PresentedProxy {
  const certificates = readProxyChain('subject_token', subjectToken)
  const [proxy] = certificates
  if (proxy === undefined) throw notAChain('subject_token')
  const [ofTls] = clientCertificates(request.socket)
  if (ofTls?.equals(proxy) === true) return { certificates, proof: 'tls' }
  const { at, signature, scope = '' } = fields
  if (at === undefined && signature === undefined) {
    throw new TtsError(
      'missing_token',
      'use the proxy of subject_token as TLS client certificate, or sign the request with its key (at, signature)',
      { check: 'possession' },
    )
  }
  if (at === undefined || signature === undefined)
    throw new TtsError('invalid_request', 'a signed request needs both at and signature')
  const text = accessTokenText(at, { audiences, scope })
  return { certificates, proof: { at, text, signature: Buffer.from(signature, 'base64') } }
}
