/** Runs the one request of a user sent by a relying service, with the same checks as on every interface. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { withinSignal } from '../../api/deadline.ts'
import { contextOf } from '../../api/request.ts'
import { identifyCaller } from '../../domain/issuing/callers.ts'
import { type IssuedCredential, issue } from '../../domain/issuing/issue.ts'
import { recordRefusal } from '../../domain/issuing/issue-audit.ts'
import { issueError } from '../../domain/issuing/issue-errors.ts'
import type { Origin } from '../../domain/records.ts'
import type { RelyingRequest } from '../../domain/session-records.ts'
import type { TtsError } from '../../base/errors.ts'
import { siteRefusal } from '../../relying/refusals.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import { missingLogin, type RelyingSession, tokensOf } from './sessions.ts'
import type { Visit, Web } from '../view.ts'

/** Returns the origin for records of requests by a relying service. */
export function relyingOrigin({ response }: Pick<Visit, 'response'>): Origin {
  return { ...contextOf(response).origin, interface: 'rsp' }
}

/** Runs the request of a site whose users need no login and have no session. */
export async function runWithoutSession(
  visit: Visit,
  siteRequest: RelyingRequest,
  relyingUser: VerifiedToken,
): Promise<IssuedCredential> {
  const { web, response } = visit
  const { log, signal } = contextOf(response)
  const { serviceId, parameters } = siteRequest
  const origin = relyingOrigin(visit)
  const read = () => ({ serviceId, parameters })
  const request = { relyingUser, serviceId, read, origin, signal, log }
  const answer = await withinSignal(issue(web.issuing, request), signal)
  web.metrics.credentialIssued(serviceId)
  return answer
}

/** Result of a visit's request: a credential, or the provider where the plugin requires an additional login. */
export type VisitAnswer =
  IssuedCredential | { readonly kind: 'login'; readonly provider: string; readonly message: string }

/**
 * Runs the request of a visit.
 *
 * @throws {TtsError} as `issue`; `conflict`, check `replay`; `access_denied`, check `login`. All of them are recorded
 */
export async function runVisit(visit: Visit, session: RelyingSession): Promise<VisitAnswer> {
  const { web, response } = visit
  const { siteRequest } = session
  const recordAndThrow = async (error: unknown): Promise<never> => {
    throw await recordRelyingRefusal(visit, error, {
      serviceId: siteRequest.serviceId,
      user: session.token,
    })
  }
  await claimRun(web, session).catch(recordAndThrow)
  const { log, signal } = contextOf(response)
  const request = {
    relyingUser: session.token,
    additionalTokens: tokensOf(session.stored),
    serviceId: siteRequest.serviceId,
    read: () => siteRequest,
    origin: relyingOrigin(visit),
    signal,
    log,
  }
  const answer = await withinSignal(issue(web.issuing, { ...request, canLogIn: true }), signal)
  if (answer.kind === 'login')
    await requireAdditionalLogin(web, session, answer.provider).catch(recordAndThrow)
  else web.metrics.credentialIssued(siteRequest.serviceId)
  return answer
}

/**
 * Requires an additional login. @throws {TtsError} `access_denied`, check `login` (not possible here, or made already)
 */
export async function requireAdditionalLogin(
  web: Web,
  { stored, ...session }: RelyingSession,
  provider: string,
): Promise<void> {
  const { content } = stored
  const isDone = content.additionalLogins.some(({ providerId }) => providerId === provider)
  const isPossible = web.client.providers.some(({ id }) => id === provider)
  if (isDone || !isPossible || !performsLogin(web, session.siteRequest)) {
    throw siteRefusal('login', 'the service requires a login that is not possible here', {
      remedy: `Check providers.${isPossible ? provider : '<id>'}.client_id and relying_services.${session.siteRequest.siteId}.perform_login.`,
    })
  }
  const relying = { ...session.siteRequest, loginAt: provider }
  await web.relyingSessions.change({ stored, ...session }, { ...content, relying })
}

/**
 * Allows one run for each signed request, by page or by API, and one more after each additional login.
 *
 * @throws {TtsError} `conflict`, check `replay`; `access_denied`, check `login` (a login is missing)
 */
async function claimRun(web: Web, session: RelyingSession): Promise<void> {
  if (missingLogin(session) !== undefined)
    throw siteRefusal('login', 'log in first: the site requires it')
  const { idDigest, endsAt, content } = session.stored
  const digest = createHash('sha256')
    .update(`tts relying run v1\0${idDigest}\0${content.additionalLogins.length}`)
    .digest('hex')
  if (await web.issuing.store.claimProof(digest, endsAt)) return
  throw siteRefusal(
    'replay',
    'the request of the site was already used: go back to the site and start again',
    { code: 'conflict' },
  )
}

/**
 * Claims the run of a request that comes by the WaTTS API, for example from the operator's own pages.
 *
 * @throws {TtsError} `access_denied`, check `authorisation` (not the request of the site)
 */
export async function claimByApi(
  web: Web,
  session: RelyingSession,
  request: { readonly serviceId: string; readonly params: Readonly<Record<string, unknown>> },
): Promise<void> {
  const { siteRequest } = session
  const isSame =
    request.serviceId === siteRequest.serviceId &&
    isDeepStrictEqual(request.params, siteRequest.parameters)
  if (!isSame || !showsPage(web, siteRequest)) {
    throw siteRefusal('authorisation', 'you are not allowed to use this service', {
      remedy: 'Request the service and the parameters that the relying service requested.',
    })
  }
  await claimRun(web, session)
}

/** Returns whether users of the site may log in here. */
export function performsLogin({ relying }: Web, { siteId }: RelyingRequest): boolean {
  return relying.sites.get(siteId)?.settings.perform_login ?? false
}

/** Returns whether users of the site see pages of this service. */
export function showsPage({ relying }: Web, { siteId }: RelyingRequest): boolean {
  return relying.sites.get(siteId)?.settings.show_ui ?? true
}

/** Records a refusal that happens before issuance. */
export async function recordRelyingRefusal(
  visit: Visit,
  error: unknown,
  refused: { readonly serviceId: string; readonly user: VerifiedToken | undefined },
): Promise<TtsError> {
  const { issuing } = visit.web
  const { log, signal, origin } = contextOf(visit.response)
  const failure = issueError(error)
  const { serviceId, user } = refused
  const caller =
    user === undefined
      ? undefined
      : await identifyCaller(issuing, { relyingUser: user }, { signal, address: origin.address })
  const request = { serviceId, origin: relyingOrigin(visit), log }
  await recordRefusal(issuing, { request, caller, refusal: failure })
  return failure
}
