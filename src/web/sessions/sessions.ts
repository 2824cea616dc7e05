/** Web sessions: started by a login, identified by a cookie, stored in the database, ended by timeout or logout. */
import { createHash } from 'node:crypto'
import type { Request, Response } from 'express'
import type { SessionContent, SessionLogin, StoredSession } from '../../domain/session-records.ts'
import { contextOf } from '../../api/request.ts'
import { TtsError } from '../../base/errors.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'
import { clearCookie, mayUseCookies, readCookie, setCookie } from './cookies.ts'
import { endSession } from './ending.ts'
import type { LoginClient } from '../login/client.ts'
import type { Site } from '../site.ts'

/** The session of a logged-in user. */
export interface WebSession {
  /** Value of the cookie. Secret. */
  readonly id: string
  readonly stored: StoredSession
  /** Result of the token verifier for the access token, at this moment. All decisions use only this. */
  readonly token: VerifiedToken
}

export interface Sessions {
  /** Returns the session of a request; undefined if the user is not logged in. */
  sessionOf(request: Request): Promise<WebSession | undefined>
  /** Starts a session with a new id, and ends the previous session of the browser. */
  begin(request: Request, response: Response, content: SessionContent): Promise<void>
  /** Replaces the content of a session. */
  change(session: WebSession, content: SessionContent): Promise<void>
  end(request: Request, response: Response): Promise<void>
}

const ID_BYTES = 32
/** Minimum interval between two updates of the time of last use. */
const USE_RECORD_INTERVAL_MS = 30_000
/** A token is refreshed when it expires within this time. */
const REFRESH_BEFORE_MS = 60_000

/** @param client refreshes access tokens that expire before their session */
export function createSessions(site: Site, client: LoginClient): Sessions {
  const { now, settings, issuing } = site
  const records = issuing.store.sessions
  const idleMs = settings.session_idle_seconds * 1000
  const known = new WeakMap<Request, Promise<WebSession | undefined>>()

  async function find(id: string): Promise<WebSession | undefined> {
    const at = now()
    const times = { now: at, usedAfter: new Date(at.getTime() - idleMs) }
    const stored = await records.find(digestOf(id), times)
    if (stored === undefined) return undefined
    const current = await withFreshToken(site, client, stored)
    const token = current && (await verifyLogin(site, current))
    if (current === undefined || token === undefined) {
      await records.end(stored.idDigest)
      return undefined
    }
    if (at.getTime() - stored.lastUsedAt.getTime() >= USE_RECORD_INTERVAL_MS)
      await records.used(stored.idDigest, at)
    return { id, stored: current, token }
  }

  return {
    sessionOf: async (request) => {
      const id = mayUseCookies(site) ? readCookie(site, request, 'session') : undefined
      if (id === undefined) return undefined
      const found = known.get(request) ?? find(id)
      known.set(request, found)
      return found
    },
    begin: async (request, response, content) => {
      const before = readCookie(site, request, 'session')
      if (before !== undefined)
        await endSession({ site, client }, digestOf(before), contextOf(response).log)
      const id = issuing.randomBytes(ID_BYTES).toString('base64url')
      const createdAt = now()
      const maximumMs = createdAt.getTime() + settings.session_maximum_seconds * 1000
      const session = {
        idDigest: digestOf(id),
        createdAt,
        endsAt: endOf(content.login, maximumMs),
        content,
      }
      await records.create(session, settings.sessions_per_identity)
      setCookie(site, response, { name: 'session', value: id })
    },
    change: async ({ stored }, content) => {
      await records.replace(stored.idDigest, { content, endsAt: stored.endsAt })
    },
    end: async (request, response) => {
      const id = readCookie(site, request, 'session')
      clearCookie(site, response, 'session')
      if (id !== undefined)
        await endSession({ site, client }, digestOf(id), contextOf(response).log)
    },
  }
}

function digestOf(id: string): string {
  return createHash('sha256').update(id).digest('hex')
}

/** A session outlives its access token only if there is a refresh token. */
function endOf(login: SessionLogin, maximumMs: number): Date {
  return new Date(
    login.refreshToken === undefined ? Math.min(login.expiresAtMs, maximumMs) : maximumMs,
  )
}

/** Returns undefined when the provider no longer accepts the token: the user is then logged out. */
async function verifyLogin(site: Site, session: StoredSession): Promise<VerifiedToken | undefined> {
  const { login } = session.content
  try {
    const token = await site.issuing.verifier.verify(login.accessToken)
    return token.issuer === login.issuer && token.sub === login.sub ? token : undefined
  } catch (error) {
    if (error instanceof TtsError && error.code === 'provider_unavailable') throw error
    if (error instanceof TtsError && error.code !== 'overloaded') return undefined
    throw error
  }
}

/**
 * Time that a request waits for another one that refreshes the same token. Both together would use the refresh token
 * twice.
 */
const REFRESH_WAIT_MS = 30_000

async function withFreshToken(
  site: Site,
  client: LoginClient,
  session: StoredSession,
): Promise<StoredSession | undefined> {
  const { store } = site.issuing
  const isDue = ({ content }: StoredSession): boolean =>
    content.login.refreshToken !== undefined &&
    content.login.expiresAtMs - site.now().getTime() <= REFRESH_BEFORE_MS
  if (!isDue(session)) return session
  const { idDigest } = session
  const refresh = async (): Promise<StoredSession | undefined> => {
    const times = { now: site.now(), usedAfter: new Date(0) }
    const current = await store.sessions.find(idDigest, times)
    if (current === undefined || !isDue(current)) return current
    const login = await client.refresh(current.content.login)
    if (login === undefined) return undefined
    const content = { ...current.content, login }
    const isReplaced = await store.sessions.replace(idDigest, { content, endsAt: current.endsAt })
    if (isReplaced) return { ...current, content }
    // The user logged out meanwhile. The new token must not stay valid when no session knows it.
    await client.revoke(login).catch(() => undefined)
    return undefined
  }
  return store.exclusively(`web session ${idDigest}`, refresh, REFRESH_WAIT_MS)
}
