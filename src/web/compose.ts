/** The web page, put together over the parts of the service; and its sessions, as the WaTTS API takes them. */
import type { WattsSessions } from '../api/watts/caller.ts'
import { createLoginClient } from './login-client.ts'
import { isFromElsewhere } from './security.ts'
import { createSessions } from './sessions.ts'
import { ownPath, type Site } from './site.ts'
import type { Web } from './view.ts'

export function createWeb(site: Site): Web {
  const client = createLoginClient(site.issuing.verifier, site.now)
  return { ...site, client, sessions: createSessions(site, client) }
}

/** A page of another site must not act by the cookie of a visitor. */
export function wattsSessionsOf({
  sessions,
  publicUrl,
}: Pick<Web, 'sessions' | 'publicUrl'>): WattsSessions {
  return {
    sessionOf: async (request) => {
      const session = isFromElsewhere(request) ? undefined : await sessions.sessionOf(request)
      if (session === undefined) return undefined
      const { login, additionalLogins, displayName } = session.stored.content
      const additionalTokens = additionalLogins.map(({ accessToken }) => accessToken)
      const evidence = { token: login.accessToken, additionalTokens }
      return { token: session.token, evidence, displayName, accessToken: login.accessToken }
    },
    end: (request, response) => sessions.end(request, response),
    loginPath: (providerId) =>
      ownPath(
        { publicUrl },
        providerId === undefined
          ? '/login'
          : `/login/start?provider=${encodeURIComponent(providerId)}`,
      ),
  }
}
