/** Four certcaches: two with files, one of them with its own client, and two that share their state in PostgreSQL. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { freePort } from '../support/free-port.ts'
import { programPath, startProgram, type StartOptions } from '../support/programs.ts'
import { AUDIENCE } from '../support/service.ts'
import type { Installation } from './evidence.ts'
import { send, type Target } from './http.ts'
import type { WatchedProvider } from './provider.ts'
import { supervise, type Victim } from './supervised.ts'

export interface Certcache {
  readonly name: string
  readonly target: Target
  readonly sub: string
  readonly installation: Installation
  /** The file that it writes for programs on its machine. */
  readonly proxyFile: string
  readonly victim: Victim
}

/** Lifetime that each asks for. They renew every ten seconds. */
export const CERTCACHE_LIFETIME_SECONDS = 1800
const START_MS = 60_000

interface Place {
  readonly disk: string
  readonly targets: Readonly<Record<Installation, Target>>
  readonly watched: WatchedProvider
  readonly logIn: (username: string) => Promise<string>
  readonly stateUrl: string
  readonly processOptions: (name: string) => StartOptions
}

interface Kind {
  readonly name: string
  readonly username: string
  readonly installation: Installation
  readonly source?: Readonly<Record<string, unknown>>
  readonly state?: Readonly<Record<string, unknown>>
}

/** Starts them with a token each, and takes the tokens away: a refresh token that is lost then is lost for good. */
export async function startCertcaches(place: Place): Promise<readonly Certcache[]> {
  const { disk, targets, watched, stateUrl } = place
  const key = join(disk, 'pool.key')
  writeFileSync(key, randomBytes(32).toString('base64'), { mode: 0o600 })
  const ca = join(disk, 'haproxy.pem')
  writeFileSync(ca, targets.replicas.certificate ?? '')
  const { clientId, clientSecret } = watched.provider.clients.certcache
  const ownClient = {
    kind: 'refresh',
    issuer: watched.provider.issuer,
    client_id: clientId,
    client_secret: clientSecret,
    audience: AUDIENCE,
    timeout_seconds: 20,
  }
  const pool = {
    username: 'cache-pool',
    installation: 'replicas',
    state: { url: stateUrl, key_file: key, cluster: 'pool' },
  } as const
  const kinds: readonly Kind[] = [
    { name: 'certcache-files', username: 'cache-files', installation: 'replicas' },
    {
      name: 'certcache-own-client',
      username: 'cache-own',
      installation: 'single',
      source: ownClient,
    },
    { name: 'certcache-pool-0', ...pool },
    { name: 'certcache-pool-1', ...pool },
  ]
  // The second one of the pool finds the state of the first.
  const groups = [kinds.slice(0, -1), kinds.slice(-1)]
  const started: Certcache[] = []
  for (const group of groups) {
    const all = await Promise.allSettled(group.map(async (kind) => startOne(place, kind, ca)))
    started.push(...all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : [])))
    const failed = all.find((each) => each.status === 'rejected')
    if (failed === undefined) continue
    await Promise.all(started.map(async ({ victim }) => victim.stop()))
    throw failed.reason
  }
  return started
}

async function startOne(place: Place, kind: Kind, ca: string): Promise<Certcache> {
  const { disk, targets } = place
  const { name, username, installation, source = { kind: 'delegation' }, state = {} } = kind
  const directory = join(disk, name)
  mkdirSync(directory, { mode: 0o700 })
  const token = join(directory, 'token')
  writeFileSync(token, await place.logIn(username), { mode: 0o600 })
  const port = await freePort()
  const proxyFile = join(directory, 'gwms_proxy')
  const settings = {
    service: {
      url: targets[installation].url,
      timeout_seconds: 30,
      ...(installation === 'replicas' && { ca_file: ca }),
    },
    source: { ...source, token_file: token },
    state: { directory: join(directory, 'state'), ...state },
    proxies: {
      gwms_proxy: {
        key_type: 'ec-p256',
        lifetime_seconds: CERTCACHE_LIFETIME_SECONDS,
        outputs: [{ path: proxyFile }],
      },
    },
    renewal: {
      renew_after_seconds: 10,
      warn_below_seconds: 60,
      retry_first_seconds: 0.5,
      retry_longest_seconds: 4,
    },
    listen: { port },
  }
  const config = join(directory, 'certcache.yaml')
  writeFileSync(config, stringify(settings), { mode: 0o600 })
  const options = place.processOptions(name)
  const victim = supervise(name, () =>
    startProgram(programPath('src/certcache/main.ts'), ['serve', '--config', config], options),
  )
  const target = { url: `http://127.0.0.1:${port}` }
  await untilServed(target, name).catch(async (error: unknown) => {
    await victim.stop()
    throw error
  })
  rmSync(token)
  return { name, target, sub: `sub-${username}`, installation, proxyFile, victim }
}

async function untilServed(target: Target, name: string): Promise<void> {
  const end = performance.now() + START_MS
  for (;;) {
    const answer = await send(target, '/get_proxy').catch(() => undefined)
    if (answer?.status === 200) return
    if (performance.now() > end) throw new Error(`${name} serves no proxy: ${answer?.body}`)
    await sleep(200)
  }
}
