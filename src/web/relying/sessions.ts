/**
 * Visits of users sent by a relying service: short sessions with a separate cookie, so that no site can end or
 * replace the session of a user who is logged in here.
 */
import { createHash } from 'node:crypto'
import { contextOf } from '../../api/request.ts'
import type { RelyingRequest, SessionContent, StoredSession } from '../../domain/session-records.ts'
import { relyingUserOf } from '../../relying/relying-services.ts'
import { clearCookie, mayUseCookies, readCookie, setCookie } from '../sessions/cookies.ts'
import { endSession } from '../sessions/ending.ts'
import type { LoginClient } from '../login/client.ts'
import { LOGIN_SECONDS } from '../login/state.ts'
import type { Sessions, WebSession } from '../sessions/sessions.ts'
import type { Site } from '../site.ts'

const ID_BYTES = 32
/** Time for two logins and for reading the result, in seconds. */
const VISIT_SECONDS = 2 * LOGIN_SECONDS

/** A visit with the request of the site. */
export interface RelyingSession extends WebSession {
  readonly siteRequest: RelyingRequest
}

/** Creates the sessions of visits. Their `token` rests on the statement of the site; there is no access token. */
export function createRelyingSessions(site: Site, client: LoginClient): Sessions {
  const { now, issuing, settings } = site
  const records = issuing.store.sessions
  const find = async (id: string): Promise<WebSession | undefined> => {
    const times = { now: now(), usedAfter: new Date(0) }
    const stored = await records.find(digestOf(id), times)
    const siteRequest = stored?.content.relying
    if (stored === undefined || siteRequest === undefined) return undefined
    // A visit ends when its site is removed from the configuration.
    if (!site.relying.sites.has(siteRequest.siteId)) return undefined
    return { id, stored, token: relyingUserOf(siteRequest, stored.endsAt) }
  }
  return {
    sessionOf: async (request) => {
      const id = mayUseCookies(site) ? readCookie(site, request, 'relying') : undefined
      return id === undefined ? undefined : find(id)
    },
    begin: async (request, response, content) => {
      const before = readCookie(site, request, 'relying')
      if (before !== undefined)
        await endSession({ site, client }, digestOf(before), contextOf(response).log)
      const id = issuing.randomBytes(ID_BYTES).toString('base64url')
      const createdAt = now()
      const endsAt = new Date(createdAt.getTime() + VISIT_SECONDS * 1000)
      const session = { idDigest: digestOf(id), createdAt, endsAt, content }
      await records.create(session, settings.sessions_per_identity)
      setCookie(site, response, { name: 'relying', value: id, maxAgeSeconds: VISIT_SECONDS })
    },
    change: async ({ stored }, content) => {
      await records.replace(stored.idDigest, { content, endsAt: stored.endsAt })
    },
    end: async (request, response) => {
      const id = readCookie(site, request, 'relying')
      if (id === undefined) return
      clearCookie(site, response, 'relying')
      await endSession({ site, client }, digestOf(id), contextOf(response).log)
    },
  }
}

/** The digest differs from that of login sessions, so that neither cookie is valid in place of the other. */
function digestOf(id: string): string {
  return createHash('sha256').update(`tts relying session v1\0${id}`).digest('hex')
}

/** Returns the content of a new visit. */
export function visitContent(siteRequest: RelyingRequest): SessionContent {
  const { providerId, issuer, sub } = relyingUserOf(siteRequest, new Date(0))
  const noTokens = { accessToken: '', expiresAtMs: 0, refreshToken: undefined }
  return {
    login: { providerId, issuer, sub, ...noTokens },
    displayName: sub,
    additionalLogins: [],
    pending: undefined,
    relying: siteRequest,
  }
}

/** Returns the session as a visit; undefined if it is not one. */
export function toRelyingSession(session: WebSession | undefined): RelyingSession | undefined {
  const siteRequest = session?.stored.content.relying
  return session === undefined || siteRequest === undefined
    ? undefined
    : { ...session, siteRequest }
}

/** Returns the id of the provider where the user must still log in. */
export function missingLogin({ stored, siteRequest }: RelyingSession): string | undefined {
  const isDone = stored.content.additionalLogins.some(
    ({ providerId }) => providerId === siteRequest.loginAt,
  )
  return isDone ? undefined : siteRequest.loginAt
}

/** Returns the access tokens of the completed logins. */
export function tokensOf({ content }: StoredSession): readonly string[] {
  return content.additionalLogins.map(({ accessToken }) => accessToken)
}
