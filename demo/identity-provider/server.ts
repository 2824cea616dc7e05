import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { createClients, type DemoClients } from './clients.ts'
import { configurationOf } from './configuration.ts'
import { installDeviceInterval } from './device-pages.ts'
import { Faults } from './faults.ts'
import { installIntrospectionShape } from './introspection.ts'
import { installIdTokenFormat } from './id-tokens.ts'
import { withStandardForm } from './request-form.ts'
import { loginPage } from './login-page.ts'
import { mintToken, type MintRequest } from './mint.ts'
import { Provider } from 'oidc-provider'
import { tokenSettings, type IdentityProviderOptions, type TokenSettings } from './options.ts'
import { installRefreshRules } from './refresh-rules.ts'
import { SigningKeys } from './signing-keys.ts'
import { tokenIssuer, type ProviderState } from './state.ts'
import { installTokenExchange } from './token-exchange/handler.ts'
import { installTokenFormat } from './token-format.ts'
import { demoUsers, Users, type DemoUser } from './users.ts'

/** A running demo provider, with controls for tests. */
export interface IdentityProvider {
  /** Issuer as in the discovery document, with a trailing slash. */
  readonly issuer: string
  readonly port: number
  readonly clients: DemoClients
  /** Live settings of tokens: a change applies to the next token. */
  readonly tokens: TokenSettings
  readonly keys: SigningKeys
  readonly faults: Faults
  /** A user by name; `suspended`, `aupSigned` and `deleted` may change. Throws Error for an unknown name. */
  user(username: string): DemoUser
  /** Returns any token, valid or not. The default is a valid one for alice, without audience. */
  mint(request?: MintRequest): string
  /** Stops listening, as if the host were off; `comeUp` uses the same port. */
  goDown(): Promise<void>
  comeUp(): Promise<void>
  close(): Promise<void>
}

const HOST = '127.0.0.1'
/** Endpoints where clients authenticate. */
const FORM_PATHS = new Set(['/token', '/introspect', '/revoke', '/devicecode'])

/** Starts a development IAM on 127.0.0.1. For the demo and the tests; no user has a password. */
export async function startIdentityProvider(
  options: IdentityProviderOptions = {},
): Promise<IdentityProvider> {
  const server = createServer()
  const port = await listen(server, options.port ?? 0)
  const faults = new Faults()
  const state: ProviderState = {
    issuer: `http://${HOST}:${port}/`,
    clients: createClients(options.redirectUris),
    users: new Users(options.users ?? demoUsers),
    keys: await SigningKeys.create(),
    tokens: tokenSettings(options.tokens),
    grants: new Map(),
    tokenIds: new Map(),
    tokenAudiences: new Map(),
  }
  const answer = createAnswer(state)
  server.on('request', (request, response) => {
    void serve(faults, answer, { request, response })
  })
  return handles(server, state, faults)
}

interface Exchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
}
type Answer = (path: string, exchange: Exchange) => Promise<void>

async function serve(faults: Faults, answer: Answer, exchange: Exchange): Promise<void> {
  const { request, response } = exchange
  try {
    const path = new URL(request.url ?? '/', 'http://host').pathname
    if (!(await faults.intercept(path, request, response))) await answer(path, exchange)
  } catch {
    if (!response.headersSent) response.writeHead(500)
    response.end()
  }
}

function createAnswer(state: ProviderState): Answer {
  const provider = new Provider(state.issuer, configurationOf(state))
  installTokenFormat(provider, state)
  installIdTokenFormat(provider, state)
  installIntrospectionShape(provider, state)
  installTokenExchange(provider, state)
  installRefreshRules(provider, state)
  installDeviceInterval(provider, state)
  const callback = provider.callback()
  return async (path, { request, response }) => {
    if (path === '/jwk') {
      const body = JSON.stringify(state.keys.publicSet())
      response.writeHead(200, { 'content-type': 'application/json' }).end(body)
    } else if (path.startsWith('/interaction/')) {
      await loginPage(provider, state, { request, response })
    } else {
      if (path === '/authorize') addConsentForOfflineAccess(request)
      const isForClients = FORM_PATHS.has(path) && request.method === 'POST'
      await callback(isForClients ? await withStandardForm(request, state) : request, response)
    }
  }
}

/** OpenID Connect Core section 11 ignores `offline_access` without `prompt=consent`, but IAM does not require it. */
function addConsentForOfflineAccess(request: IncomingMessage): void {
  const url = new URL(request.url ?? '/', 'http://host')
  const scopes = url.searchParams.get('scope')?.split(' ') ?? []
  if (!scopes.includes('offline_access') || url.searchParams.has('prompt')) return
  url.searchParams.set('prompt', 'consent')
  request.url = `${url.pathname}${url.search}`
}

function handles(server: Server, state: ProviderState, faults: Faults): IdentityProvider {
  const { port } = new URL(state.issuer)
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeAllConnections()
    await closed
  }
  return {
    issuer: state.issuer,
    port: Number(port),
    clients: state.clients,
    tokens: state.tokens,
    keys: state.keys,
    faults,
    user: (username) => state.users.byUsername(username),
    mint: (request) =>
      mintToken(
        {
          issuer: tokenIssuer(state),
          sub: state.users.list()[0]?.sub ?? 'nobody',
          clientId: state.clients.cli.clientId,
          key: state.keys.current,
        },
        request,
      ),
    goDown: stop,
    comeUp: async () => {
      await listen(server, Number(port))
    },
    close: stop,
  }
}

async function listen(server: Server, port: number): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, HOST, () => {
      server.off('error', reject)
      resolve()
    })
  })
  return (server.address() as AddressInfo).port
}
