/** The login and consent application of a test's Hydra: it asks nobody, and agrees to everything. */
import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A login and consent application. Its members can be changed between logins. */
export interface HydraLoginApp {
  readonly url: string
  /** A redirect URI that shows its query. */
  readonly callback: string
  /** Who logs in next. */
  subject: string
  /** Claims of the next access tokens. */
  claims: Readonly<Record<string, unknown>>
  /** Changes of the answers to the next consent requests. */
  consent: Readonly<Record<string, unknown>>
  /** False: refuses consent. */
  agrees: boolean
  close(): Promise<void>
}

/** The members of a login or consent request that the application needs. */
interface ChallengeRequest {
  readonly requested_scope?: readonly string[]
  readonly requested_access_token_audience?: readonly string[]
}

/** Starts the application on a free port. It answers the challenges at the administration port of Hydra. */
export async function startLoginApp(adminUrl: string): Promise<HydraLoginApp> {
  const server = createServer((request, response) => {
    answer(request).then(
      (location) =>
        location === undefined
          ? response.end(request.url)
          : response.writeHead(303, { location }).end(),
      (error: unknown) => response.writeHead(500).end(String(error)),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const app: HydraLoginApp = {
    url,
    callback: `${url}/callback`,
    subject: 'alice',
    claims: { groups: ['cms'] },
    consent: {},
    agrees: true,
    close: async () => {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }

  /** Returns where the browser goes next; undefined on pages. */
  async function answer(request: IncomingMessage): Promise<string | undefined> {
    const { searchParams } = new URL(request.url ?? '', url)
    for (const kind of ['login', 'consent'] as const) {
      const challenge = searchParams.get(`${kind}_challenge`)
      if (challenge === null) continue
      const query = new URLSearchParams({ [`${kind}_challenge`]: challenge }).toString()
      const base = `${adminUrl}/admin/oauth2/auth/requests/${kind}`
      const asked = (await send(`${base}?${query}`)) as ChallengeRequest
      const isRefusal = kind === 'consent' && !app.agrees
      const done = await send(`${base}/${isRefusal ? 'reject' : 'accept'}?${query}`, {
        method: 'PUT',
        body: JSON.stringify(
          isRefusal ? { error: 'access_denied' } : kind === 'login' ? login() : consent(asked),
        ),
      })
      return (done as { readonly redirect_to: string }).redirect_to
    }
    return undefined
  }

  const login = () => ({ subject: app.subject, remember: true })

  const consent = (asked: ChallengeRequest) => ({
    grant_scope: asked.requested_scope,
    grant_access_token_audience: asked.requested_access_token_audience,
    session: { access_token: app.claims },
    ...app.consent,
  })

  return app
}

async function send(url: string, init: RequestInit = {}): Promise<unknown> {
  const response = await fetch(url, { ...init, headers: { 'content-type': 'application/json' } })
  if (!response.ok) throw new Error(`${url}: HTTP ${response.status} ${await response.text()}`)
  return response.json()
}
