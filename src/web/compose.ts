/** Creates the web pages from the parts of the service, and adapts their sessions to the WaTTS API. */
import type { WattsSession, WattsSessions } from '../api/watts/caller.ts'
import { createLoginClient } from './login/client.ts'
import { isCrossSite } from './sessions/security.ts'
import { claimByApi, requireAdditionalLogin } from './relying/run.ts'
import {
  toRelyingSession,
  createRelyingSessions,
  type RelyingSession,
  tokensOf,
} from './relying/sessions.ts'
import { createSessions } from './sessions/sessions.ts'
import { ownPath, type Site } from './site.ts'
import type { Web } from './view.ts'

export function createWeb(site: Site): Web {
  const client = createLoginClient(site.issuing.verifier, site.now)
  return {
    ...site,
    client,
    sessions: createSessions(site, client),
    relyingSessions: createRelyingSessions(site, client),
  }
}

/**
 * Returns the web sessions for the WaTTS API. Requests from pages of other sites are ignored: they must not act with
 * a user's cookie.
 */
export function wattsSessionsOf(web: Web): WattsSessions {
  const { sessions, relyingSessions } = web
  return {
    sessionOf: async (request) => {
      if (isCrossSite(request)) return undefined
      const visit = toRelyingSession(await relyingSessions.sessionOf(request))
      if (visit !== undefined) return relyingSession(web, visit)
      const session = await sessions.sessionOf(request)
      if (session === undefined) return undefined
      const { login, additionalLogins, displayName } = session.stored.content
      const additionalTokens = additionalLogins.map(({ accessToken }) => accessToken)
      const evidence = { token: login.accessToken, additionalTokens }
      return { token: session.token, evidence, displayName, accessToken: login.accessToken }
    },
    end: async (request, response) => {
      if (isCrossSite(request)) return
      await relyingSessions.end(request, response)
      await sessions.end(request, response)
    },
    loginPath: (providerId) =>
      ownPath(
        web,
        providerId === undefined ? '/oidc' : `/oidc?provider=${encodeURIComponent(providerId)}`,
      ),
  }
}

/**
 * Returns a visit from a relying service as a WaTTS session. It replaces the user's own session while it lasts, as in
 * WaTTS.
 */
function relyingSession(web: Web, visit: RelyingSession): WattsSession {
  const { siteRequest, stored, token } = visit
  const { serviceId: service, parameters: params, successUrl, failedUrl } = siteRequest
  return {
    token,
    evidence: { relyingUser: token, additionalTokens: tokensOf(stored) },
    displayName: stored.content.displayName,
    accessToken: undefined,
    relying: {
      info: {
        service_request: { service, params },
        rsp_success: successUrl,
        rsp_error: failedUrl,
      },
      claim: (request) => claimByApi(web, visit, request),
      loginPath: async (provider) => {
        await requireAdditionalLogin(web, visit, provider)
        return ownPath(web, '/rsp/login')
      },
    },
  }
}
