/**
 * Visits of users whom a relying service sent: short sessions with a cookie of their own, so that no site can end or replace
 * the session of somebody who is logged in here.
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
/** Time for one login more than the first, and for looking at the result. */
const VISIT_SECONDS = 2 * LOGIN_SECONDS

/** A visit, with what the site asks for. */
export interface RelyingSession extends WebSession {
  readonly asked: RelyingRequest
}

/** The sessions of such visits; their `token` is the word of the site, and there is no access token. */
export function createRelyingSessions(site: Site, client: LoginClient): Sessions {
  const { now, issuing, settings } = site
  const records = issuing.store.sessions
  const find = async (id: string): Promise<WebSession | undefined> => {
    const times = { now: now(), usedAfter: new Date(0) }
    const stored = await records.find(digestOf(id), times)
    const asked = stored?.content.relying
    if (stored === undefined || asked === undefined) return undefined
    // A site that is configured no more sends nobody.
    if (!site.relying.sites.has(asked.siteId)) return undefined
    return { id, stored, token: relyingUserOf(asked, stored.endsAt) }
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

/** Of another kind than those of logins: no cookie of the one is good for the other. */
function digestOf(id: string): string {
  return createHash('sha256').update(`tts relying session v1\0${id}`).digest('hex')
}

/** What a new visit holds. */
export function visitContent(asked: RelyingRequest): SessionContent {
  const { providerId, issuer, sub } = relyingUserOf(asked, new Date(0))
  const nobody = { accessToken: '', expiresAtMs: 0, refreshToken: undefined }
  return {
    login: { providerId, issuer, sub, ...nobody },
    displayName: sub,
    additionalLogins: [],
    pending: undefined,
    relying: asked,
  }
}

/** The visit with what the site asks for; undefined for other sessions. */
export function asRelying(session: WebSession | undefined): RelyingSession | undefined {
  const asked = session?.stored.content.relying
  return session === undefined || asked === undefined ? undefined : { ...session, asked }
}

/** Id of the provider where the user still has to log in. */
export function missingLogin({ stored, asked }: RelyingSession): string | undefined {
  const isDone = stored.content.additionalLogins.some(
    ({ providerId }) => providerId === asked.loginAt,
  )
  return isDone ? undefined : asked.loginAt
}

/** Access tokens of the logins that were made. */
export function tokensOf({ content }: StoredSession): readonly string[] {
  return content.additionalLogins.map(({ accessToken }) => accessToken)
}
