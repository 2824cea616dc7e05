/** The web page, put together over the parts of the service; and its sessions, as the WaTTS API takes them. */
import type { WattsSession, WattsSessions } from '../api/watts/caller.ts'
import { createLoginClient } from './login/client.ts'
import { isFromElsewhere } from './sessions/security.ts'
import { claimByApi, wantLogin } from './relying/run.ts'
import {
  asRelying,
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

/** A page of another site must not act by the cookie of a user. */
export function wattsSessionsOf(web: Web): WattsSessions {
  const { sessions, relyingSessions } = web
  return {
    sessionOf: async (request) => {
      if (isFromElsewhere(request)) return undefined
      const visit = asRelying(await relyingSessions.sessionOf(request))
      if (visit !== undefined) return relyingSession(web, visit)
      const session = await sessions.sessionOf(request)
      if (session === undefined) return undefined
      const { login, additionalLogins, displayName } = session.stored.content
      const additionalTokens = additionalLogins.map(({ accessToken }) => accessToken)
      const evidence = { token: login.accessToken, additionalTokens }
      return { token: session.token, evidence, displayName, accessToken: login.accessToken }
    },
    end: async (request, response) => {
      if (isFromElsewhere(request)) return
      await relyingSessions.end(request, response)
      await sessions.end(request, response)
    },
    loginPath: (providerId) =>
      ownPath(
        web,
        providerId === undefined
          ? '/login'
          : `/login/start?provider=${encodeURIComponent(providerId)}`,
      ),
  }
}

/** While a visit from a relying service lasts, it wins: the API shows what WaTTS showed a page of its own then. */
function relyingSession(web: Web, visit: RelyingSession): WattsSession {
  const { asked, stored, token } = visit
  const { serviceId: service, parameters: params, successUrl, failedUrl } = asked
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
      claim: (wanted) => claimByApi(web, visit, wanted),
      loginPath: async (provider) => {
        await wantLogin(web, visit, provider)
        return ownPath(web, '/rsp/login')
      },
    },
  }
}
