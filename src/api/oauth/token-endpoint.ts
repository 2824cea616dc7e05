/**
 * POST /oauth2/token: exchanges an access token for a proxy or a certificate (RFC 8693), for clients that speak OAuth,
 * and a proxy for an access token. It only parses, calls `issue` or `issueAccessToken`, and answers.
 */
import { Router, type RequestHandler, type Response } from 'express'
import {
  type AskedFor,
  issue,
  type IssueDependencies,
  type IssuedCertificate,
  requireCertificate,
} from '../../domain/issuing/issue.ts'
import { TtsError } from '../../base/errors.ts'
import type { Metrics } from '../../service/metrics.ts'
import { readRequestBody } from '../body.ts'
import { withinSignal } from '../deadline.ts'
import { nativeServices, selectService, setCredentialHeaders } from '../native.ts'
import { contextOf, routeName } from '../request.ts'
import type { AccessTokenDependencies } from '../../domain/access-tokens/issue-access-token.ts'
import { sendAccessToken } from './access-token.ts'
import { sendOAuthJson } from './answers.ts'
import {
  type ExchangeRequest,
  readExchange,
  readTokenForm,
  requirePlainForm,
  type TokenForm,
} from './token-request.ts'
import { requestedTokenTypes } from './token-types.ts'

export interface TokenEndpointDependencies {
  readonly issuing: IssueDependencies
  /** Undefined: proxies cannot be exchanged for access tokens. */
  readonly accessTokens: AccessTokenDependencies | undefined
  readonly metrics: Metrics
  readonly maxBodyBytes: number
}

/** Path of the endpoint under the public URL. */
export const TOKEN_PATH = '/oauth2/token'

/** Whether a path is that of the endpoint, as the router compares paths. */
export const isTokenPath = (path: string): boolean => /^\/oauth2\/token\/?$/i.test(path)

export function tokenRoutes(dependencies: TokenEndpointDependencies): Router {
  const router = Router()
  router.post(TOKEN_PATH, routeName(TOKEN_PATH), exchange(dependencies))
  return router
}

function exchange(dependencies: TokenEndpointDependencies): RequestHandler {
  const { accessTokens, maxBodyBytes } = dependencies
  return async function exchange(request, response) {
    requirePlainForm(request)
    // The body must be read before the caller is known, because it has the token. Nothing but its parsing comes first.
    const form = readTokenForm(await readRequestBody(request, response, maxBodyBytes))
    const wanted = readExchange(form, { accessTokens: accessTokens !== undefined })
    if (wanted.kind === 'credential') await sendCredential(dependencies, response, { form, wanted })
    else if (accessTokens !== undefined) {
      await sendAccessToken(accessTokens, { request, response }, { form, wanted })
      dependencies.metrics.accessTokenIssued()
    }
  }
}

async function sendCredential(
  { issuing, metrics }: TokenEndpointDependencies,
  response: Response,
  {
    form,
    wanted,
  }: {
    readonly form: TokenForm
    readonly wanted: Extract<ExchangeRequest, { kind: 'credential' }>
  },
): Promise<void> {
  const path = requestedTokenTypes[wanted.issuedTokenType]
  const { log, origin: from, signal } = contextOf(response)
  const origin = { ...from, interface: 'token-exchange' }
  const read = (): AskedFor => readAskedFor(issuing, form, path)
  const serviceId = nativeServices[path]
  const application = { token: wanted.subjectToken, serviceId, read, origin, signal, log }
  const credential = requireCertificate(await withinSignal(issue(issuing, application), signal))
  metrics.credentialIssued(credential.serviceId)
  sendExchanged(response, credential, { ...wanted, now: issuing.now() })
}

/** Takes the parameters of the service out of the form; all others are not for it. */
function readAskedFor(
  issuing: Pick<IssueDependencies, 'services'>,
  form: TokenForm,
  path: keyof typeof nativeServices,
): AskedFor {
  const { serviceId, parameters } = selectService(issuing, { given: form.fields, path })
  const sets = issuing.services.get(serviceId)?.plugin.parameterSets ?? []
  const known = new Set(sets.flat().map(({ key }) => key))
  // `csr` is always there for certificates, see `selectService`.
  const own = Object.entries(parameters).filter(([name]) => known.has(name))
  return { serviceId, parameters: Object.fromEntries(own) }
}

/** @see RFC 8693 section 2.2.1 */
function sendExchanged(
  response: Response,
  credential: IssuedCertificate,
  { issuedTokenType, now }: Pick<ExchangeRequest, 'issuedTokenType'> & { readonly now: Date },
): void {
  const [entry] = credential.entries
  if (!entry) throw new TtsError('internal', 'the plugin returned no entry')
  setCredentialHeaders(response, credential)
  const leftMs = credential.notAfter.getTime() - now.getTime()
  sendOAuthJson(response, 200, {
    access_token: entry.value,
    issued_token_type: issuedTokenType,
    // It is not presented as an OAuth access token.
    token_type: 'N_A',
    expires_in: Math.max(0, Math.floor(leftMs / 1000)),
  })
}
