/** The one request of a user whom a relying service sent, made as every other request is. */
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

/** The interface goes on record with what came by it. */
export function relyingOrigin({ response }: Pick<Visit, 'response'>): Origin {
  return { ...contextOf(response).origin, interface: 'rsp' }
}

/** Makes the request of a site whose users need no login, and have no session. */
export async function runAtOnce(
  visit: Visit,
  asked: RelyingRequest,
  relyingUser: VerifiedToken,
): Promise<IssuedCredential> {
  const { web, response } = visit
  const { log, signal } = contextOf(response)
  const { serviceId, parameters } = asked
  const origin = relyingOrigin(visit)
  const read = () => ({ serviceId, parameters })
  const request = { relyingUser, serviceId, read, origin, signal, log }
  const answer = await withinSignal(issue(web.issuing, request), signal)
  web.metrics.credentialIssued(serviceId)
  return answer
}

/** What came of a visit's request: a credential, or the provider where its plugin wants one login more. */
export type VisitAnswer =
  IssuedCredential | { readonly kind: 'login'; readonly provider: string; readonly message: string }

/**
 * Makes the request of a visit.
 *
 * @throws {TtsError} as `issue`; `conflict`, check `replay`; `access_denied`, check `login`. All are on record
 */
export async function runVisit(visit: Visit, session: RelyingSession): Promise<VisitAnswer> {
  const { web, response } = visit
  const { asked } = session
  const recorded = async (error: unknown): Promise<never> => {
    throw await recordRelyingRefusal(visit, error, {
      serviceId: asked.serviceId,
      user: session.token,
    })
  }
  await claimRun(web, session).catch(recorded)
  const { log, signal } = contextOf(response)
  const request = {
    relyingUser: session.token,
    additionalTokens: tokensOf(session.stored),
    serviceId: asked.serviceId,
    read: () => asked,
    origin: relyingOrigin(visit),
    signal,
    log,
  }
  const answer = await withinSignal(issue(web.issuing, { ...request, canLogIn: true }), signal)
  if (answer.kind === 'login') await wantLogin(web, session, answer.provider).catch(recorded)
  else web.metrics.credentialIssued(asked.serviceId)
  return answer
}

/** @throws {TtsError} `access_denied`, check `login`, where nobody can log in, or when that login was made already */
export async function wantLogin(
  web: Web,
  { stored, ...session }: RelyingSession,
  provider: string,
): Promise<void> {
  const { content } = stored
  const isThere = content.additionalLogins.some(({ providerId }) => providerId === provider)
  const isPossible = web.client.providers.some(({ id }) => id === provider)
  if (isThere || !isPossible || !performsLogin(web, session.asked)) {
    throw siteRefusal('login', 'the service wants a login that cannot be made here', {
      remedy: `Check providers.${isPossible ? provider : '<id>'}.client_id and relying_services.${session.asked.siteId}.perform_login.`,
    })
  }
  const relying = { ...session.asked, loginAt: provider }
  await web.relyingSessions.change({ stored, ...session }, { ...content, relying })
}

/**
 * One request for one signed request, whoever makes it, page or API; one more after each login that the plugin wants.
 *
 * @throws {TtsError} `conflict`, check `replay`; `access_denied`, check `login`, while a login is missing
 */
async function claimRun(web: Web, session: RelyingSession): Promise<void> {
  if (missingLogin(session) !== undefined)
    throw siteRefusal('login', 'the site wants you to log in first')
  const { idDigest, endsAt, content } = session.stored
  const digest = createHash('sha256')
    .update(`tts relying run v1\0${idDigest}\0${content.additionalLogins.length}`)
    .digest('hex')
  if (await web.issuing.store.claimProof(digest, endsAt)) return
  throw siteRefusal(
    'replay',
    'what the site asked for was done already: go back to the site and begin again',
    { code: 'conflict' },
  )
}

/**
 * The same for the WaTTS API, by which a page of the operator's own may make the request.
 *
 * @throws {TtsError} `access_denied`, check `authorisation`, for anything but what the site asked for
 */
export async function claimByApi(
  web: Web,
  session: RelyingSession,
  wanted: { readonly serviceId: string; readonly params: Readonly<Record<string, unknown>> },
): Promise<void> {
  const { asked } = session
  const isSame =
    wanted.serviceId === asked.serviceId && isDeepStrictEqual(wanted.params, asked.parameters)
  if (!isSame || !showsPage(web, asked)) {
    throw siteRefusal('authorisation', 'you are not allowed to use this service', {
      remedy: 'Request the service and the parameters that the relying service asked for.',
    })
  }
  await claimRun(web, session)
}

/** Whether the site's users log in here. */
export function performsLogin({ relying }: Web, { siteId }: RelyingRequest): boolean {
  return relying.sites.get(siteId)?.settings.perform_login ?? false
}

/** Whether the site's users see pages of ours. */
export function showsPage({ relying }: Web, { siteId }: RelyingRequest): boolean {
  return relying.sites.get(siteId)?.settings.show_ui ?? true
}

/** Puts on record what is refused before anything is issued. */
export async function recordRelyingRefusal(
  visit: Visit,
  error: unknown,
  about: { readonly serviceId: string; readonly user: VerifiedToken | undefined },
): Promise<TtsError> {
  const { issuing } = visit.web
  const { log, signal, origin } = contextOf(visit.response)
  const failure = issueError(error)
  const { serviceId, user } = about
  const caller =
    user === undefined
      ? undefined
      : await identifyCaller(issuing, { relyingUser: user }, { signal, address: origin.address })
  const request = { serviceId, origin: relyingOrigin(visit), log }
  await recordRefusal(issuing, { request, caller, refusal: failure })
  return failure
}
