/** A real Keycloak on a free port of loopback, with its data in memory, and its admin REST API. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  openSync,
  closeSync,
} from 'node:fs'
import { copyFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './grid-site.ts'
import { accessTokenOf, postForm } from './token-forms.ts'

const START_TIMEOUT_MS = 120_000
/** The access tokens of the administrator live for 60 seconds. */
const ADMIN_TOKEN_USE_MS = 30_000

/**
 * Starts a program as a process group and kills the group when standard input closes. That happens at the latest
 * when this process ends, however it ends; `kc.sh` starts Java as a child that would go on.
 */
const KILL_AT_END = '"$@" </dev/null & cat >/dev/null; kill -KILL 0'

/** A running Keycloak. */
export interface Keycloak {
  readonly url: string
  /** Directory with the commands `kcadm.sh` and `kc.sh`. */
  readonly commands: string
  readonly administrator: { readonly name: string; readonly password: string }
  /**
   * Sends a request to the admin REST API below `/admin/realms`. Returns the parsed answer, or for a created object its
   * id. Throws for every refusal.
   */
  admin(method: string, path: string, body?: unknown): Promise<unknown>
  stop(): Promise<void>
}

/** Starts the Keycloak of a home directory, with a private administrator and nothing but the realm `master`. */
export async function startKeycloak(home: string): Promise<Keycloak> {
  const directory = mkdtempSync(join(tmpdir(), 'tts-keycloak-'))
  linkHome(home, directory)
  const administrator = { name: 'admin', password: randomBytes(18).toString('base64url') }
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const child = launch(directory, port, administrator)
  const stop = async (): Promise<void> => {
    await stopGroup(child)
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    await waitUntilReady(child, url, join(directory, 'log'))
  } catch (error) {
    await stop()
    throw error
  }
  return {
    url,
    commands: join(home, 'bin'),
    administrator,
    admin: adminClient(url, administrator),
    stop,
  }
}

/** Keycloak writes below its home directory, so each run gets its own, with links to what it only reads. */
function linkHome(home: string, directory: string): void {
  for (const name of ['lib', 'conf', 'providers', 'themes'])
    symlinkSync(join(home, name), join(directory, name))
  // Copied: kc.sh finds the home directory by its own path.
  mkdirSync(join(directory, 'bin'))
  copyFileSync(join(home, 'bin/kc.sh'), join(directory, 'bin/kc.sh'))
}

function launch(directory: string, port: number, administrator: Keycloak['administrator']) {
  const options = [
    '--optimized',
    // Without it Keycloak looks for a cluster, and listens on all interfaces for that.
    '--cache=local',
    '--http-enabled=true',
    '--http-host=127.0.0.1',
    `--http-port=${port}`,
    '--hostname-strict=false',
  ]
  const log = openSync(join(directory, 'log'), 'w', 0o600)
  const words = ['-c', KILL_AT_END, 'sh', join(directory, 'bin/kc.sh'), 'start', ...options]
  const child = spawn('sh', words, {
    cwd: directory,
    env: {
      PATH: process.env['PATH'],
      HOME: directory,
      KC_BOOTSTRAP_ADMIN_USERNAME: administrator.name,
      KC_BOOTSTRAP_ADMIN_PASSWORD: administrator.password,
      // The best compiler costs more than it saves in a minute of life.
      JAVA_OPTS_APPEND: `-XX:TieredStopAtLevel=1 -Djava.io.tmpdir=${directory}`,
    },
    stdio: ['pipe', log, log],
    detached: true,
  })
  closeSync(log)
  return child
}

async function stopGroup(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.stdin?.end()
  await ended
}

async function waitUntilReady(child: ChildProcess, url: string, log: string): Promise<void> {
  const end = performance.now() + START_TIMEOUT_MS
  for (;;) {
    const isReady = await fetch(`${url}/realms/master`).then(
      async (response) => {
        await response.arrayBuffer()
        return response.ok
      },
      () => false,
    )
    if (isReady) return
    // The watching shell lives on when Keycloak ends, so the log says it.
    const text = readFileSync(log, 'utf8')
    if (/Failed to start|ERROR: /.test(text) || performance.now() > end || child.exitCode !== null)
      throw new Error(`Keycloak did not start: ${text.slice(-2000)}`)
    await sleep(100)
  }
}

function adminClient(url: string, { name, password }: Keycloak['administrator']) {
  let token: string | undefined
  let tokenFrom = 0
  const accessToken = async (): Promise<string> => {
    if (token !== undefined && performance.now() - tokenFrom < ADMIN_TOKEN_USE_MS) return token
    const login = { grant_type: 'password', client_id: 'admin-cli', username: name, password }
    tokenFrom = performance.now()
    const endpoint = `${url}/realms/master/protocol/openid-connect/token`
    token = accessTokenOf(await postForm(endpoint, login))
    return token
  }
  return async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const response = await fetch(`${url}/admin/realms${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await accessToken()}`,
        'content-type': 'application/json',
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    if (!response.ok) throw new Error(`${method} ${path}: HTTP ${response.status} ${text}`)
    if (text !== '') return JSON.parse(text)
    return response.headers.get('location')?.split('/').at(-1)
  }
}
