/** A real Ory Hydra on free ports of loopback, with its data in memory, and its administration API. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { browser } from './device-person.ts'
import { freePort } from './free-port.ts'
import { type HydraLoginApp, startLoginApp } from './hydra-login-app.ts'
import { type FormAnswer, postForm } from './token-forms.ts'

const START_TIMEOUT_MS = 60_000

/** Kills the program when standard input closes: at the latest when this process ends, however it ends. */
const KILL_AT_END = '"$@" </dev/null & cat >/dev/null; kill -KILL $!'

export type Form = Readonly<Record<string, string>>

/** A client that authenticates with HTTP Basic. */
export interface HydraClient {
  readonly id: string
  readonly secret: string
}

/** A running Hydra. */
export interface Hydra {
  readonly issuer: string
  /** Base URL of the administration port. */
  readonly adminUrl: string
  readonly app: HydraLoginApp
  /** Sends a request to the administration API. Returns the parsed answer; throws for every refusal. */
  admin(method: string, path: string, body?: unknown): Promise<unknown>
  /** Registers a client: by default a public one for logins that may request our scopes and audience. */
  createClient(id: string, settings?: Readonly<Record<string, unknown>>): Promise<void>
  /** Posts a form to the token endpoint. */
  token(form: Form, client?: HydraClient): Promise<FormAnswer>
  /** Logs in with code and PKCE. Returns the query of the redirect if Hydra refuses, otherwise the tokens. */
  logIn(request: HydraLogin): Promise<FormAnswer>
  stop(): Promise<void>
}

/** A login; `form` adds to the authorization request. */
export interface HydraLogin {
  readonly client: string
  readonly scope?: string
  readonly form?: Form
}

export interface HydraOptions {
  /** Members of the section `oauth2` of its configuration. */
  readonly oauth2?: Readonly<Record<string, unknown>>
}

/** Starts Hydra with a login and consent application. */
export async function startHydra(
  program: string,
  { oauth2 = {} }: HydraOptions = {},
): Promise<Hydra> {
  const directory = mkdtempSync(join(tmpdir(), 'tts-hydra-'))
  const [publicPort, adminPort] = [await freePort(), await freePort()]
  const issuer = `http://127.0.0.1:${publicPort}`
  const adminUrl = `http://127.0.0.1:${adminPort}`
  const app = await startLoginApp(adminUrl)
  const configuration = {
    dsn: 'memory',
    serve: {
      public: { host: '127.0.0.1', port: publicPort },
      admin: { host: '127.0.0.1', port: adminPort },
    },
    urls: {
      self: { issuer },
      login: `${app.url}/login`,
      consent: `${app.url}/consent`,
      error: `${app.url}/error`,
    },
    secrets: { system: [randomBytes(24).toString('base64url')] },
    log: { level: 'error' },
    oauth2,
  }
  const path = join(directory, 'hydra.json')
  writeFileSync(path, JSON.stringify(configuration), { mode: 0o600 })
  const child = launch(program, path, directory)
  let output = ''
  for (const stream of [child.stdout, child.stderr])
    stream?.setEncoding('utf8').on('data', (text: string) => (output += text))
  const stop = async (): Promise<void> => {
    await stopChild(child)
    await app.close()
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await waitUntilReady(child, adminUrl)
    // Hydra makes its keys (RSA with 4096 bits) at the first request for them, which takes seconds.
    await (await fetch(`${issuer}/.well-known/jwks.json`)).arrayBuffer()
  } catch {
    await stop()
    throw new Error(`Hydra did not start: ${output.slice(-2000)}`)
  }
  return { issuer, adminUrl, app, ...clientOf({ issuer, adminUrl, app }), stop }
}

function launch(program: string, configuration: string, directory: string): ChildProcess {
  const words = [program, 'serve', 'all', '--dev', '--config', configuration]
  return spawn('sh', ['-c', KILL_AT_END, 'sh', ...words], {
    cwd: directory,
    // Without telemetry.
    env: { PATH: process.env['PATH'], HOME: directory, SQA_OPT_OUT: 'true' },
    stdio: ['pipe', 'pipe', 'pipe'],
  })
}

async function stopChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'close')
  child.stdin?.end()
  await ended
}

async function waitUntilReady(child: ChildProcess, adminUrl: string): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const isReady = await fetch(`${adminUrl}/health/ready`).then(
      async (response) => {
        await response.arrayBuffer()
        return response.ok
      },
      () => false,
    )
    if (isReady) return
    if (child.exitCode !== null || performance.now() > end) throw new Error('not ready')
    await sleep(50)
  }
}

function clientOf({
  issuer,
  adminUrl,
  app,
}: Pick<Hydra, 'issuer' | 'adminUrl' | 'app'>): Omit<
  Hydra,
  'issuer' | 'adminUrl' | 'app' | 'stop'
> {
  const token: Hydra['token'] = async (form, client) =>
    postForm(`${issuer}/oauth2/token`, form, client)
  const admin: Hydra['admin'] = async (method, path, body) => {
    const response = await fetch(`${adminUrl}/admin${path}`, {
      method,
      ...(body !== undefined && {
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${text}`)
    return text === '' ? undefined : JSON.parse(text)
  }
  const logIn: Hydra['logIn'] = async ({ client, scope = 'openid offline_access', form = {} }) => {
    const verifier = randomBytes(32).toString('base64url')
    const query = new URLSearchParams({
      response_type: 'code',
      client_id: client,
      redirect_uri: app.callback,
      scope,
      state: randomBytes(12).toString('base64url'),
      code_challenge: createHash('sha256').update(verifier).digest('base64url'),
      code_challenge_method: 'S256',
      ...form,
    })
    const { url } = await browser()(`${issuer}/oauth2/auth?${query.toString()}`)
    const answer = Object.fromEntries(new URL(url).searchParams)
    if (answer['code'] === undefined) return { status: 303, body: answer }
    return token({
      grant_type: 'authorization_code',
      client_id: client,
      redirect_uri: app.callback,
      code: answer['code'],
      code_verifier: verifier,
    })
  }
  const createClient: Hydra['createClient'] = async (id, settings = {}) => {
    await admin('POST', '/clients', {
      client_id: id,
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      scope: 'openid offline_access profile',
      redirect_uris: [app.callback],
      ...settings,
    })
  }
  return { token, admin, logIn, createClient }
}
