/**
 * The system that is broken: replicas behind HAProxy on a primary with a synchronous standby, a single service on
 * SQLite, four certcaches, and the provider. All are processes of their own but the provider.
 */
import { rmSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { providerSettings } from '../api/delegation-support.ts'
import { wideLimits } from '../api/support.ts'
import { freePort } from '../support/free-port.ts'
import { type PostgresPair, startPostgresPair } from '../support/postgres-pair.ts'
import { programPath, startProgram, type StartOptions } from '../support/programs.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'
import { type Certcache, startCertcaches } from './certcaches.ts'
import { newClock, type ProcessClock } from './clocks.ts'
import type { Target } from './http.ts'
import { type Machine, makeDisk } from './machine.ts'
import { startWatchedProvider, type WatchedProvider } from './provider.ts'
import { supervise, superviseServer, type Victim } from './supervised.ts'

const REPLICAS = 3
/** Users with delegations, and with certcaches; each holds one refresh token. */
export const renewers = {
  replicas: ['renewer-0', 'renewer-1', 'renewer-2', 'suspended'],
  single: ['renewer-3'],
} as const
const certcacheUsers = ['cache-files', 'cache-own', 'cache-pool']

export interface ChaosSystem {
  readonly machine: Machine
  readonly watched: WatchedProvider
  readonly pair: PostgresPair
  readonly replicas: Replicas
  /** The replicas through HAProxy, and the single service. */
  readonly targets: { readonly replicas: Target; readonly single: Target }
  readonly certcaches: readonly Certcache[]
  /** What is killed, by kind. */
  readonly victims: Readonly<Record<VictimKind, readonly Victim[]>>
  readonly clocks: readonly ProcessClock[]
  /** Where services and certcaches write. */
  readonly disks: { readonly services: string; readonly certcaches: string }
  /** Address under which each replica, and the certcaches with PostgreSQL, reach the database. */
  readonly databaseAddresses: readonly string[]
  readonly singleData: string
  /** Settings file for the command line, on the first replica. */
  readonly operatorConfig: string
  logIn(username: string): Promise<string>
  stop(): Promise<void>
}

export type VictimKind =
  'replica' | 'single service' | 'certcache' | 'HAProxy' | 'PostgreSQL' | 'standby'

type Stops = (() => Promise<void> | void)[]

/** Starts everything. What was started is stopped if something fails or `stopped` is aborted, newest first. */
export async function startSystem(machine: Machine, stopped: AbortSignal): Promise<ChaosSystem> {
  const stops: Stops = []
  const stop = async (): Promise<void> => {
    for (const step of stops.splice(0).reverse()) await step()
  }
  try {
    return { ...(await startParts({ machine, stops, stopped })), stop }
  } catch (error) {
    await stop()
    throw error
  }
}

interface Start {
  readonly machine: Machine
  readonly stops: Stops
  readonly stopped: AbortSignal
}

async function startParts(start: Start): Promise<Omit<ChaosSystem, 'stop'>> {
  const { machine, stops, stopped } = start
  const disks = {
    services: makeDisk(machine, 'services', 768),
    certcaches: makeDisk(machine, 'certcaches', 64),
  }
  stops.push(() => removeDisks(machine, Object.values(disks)))
  const watched = await startWatchedProvider([
    ...renewers.replicas,
    ...renewers.single,
    ...certcacheUsers,
  ])
  stops.push(async () => watched.provider.close())
  const { clocks, processOptions } = clocksOf(machine)
  const single = await startSingle(
    { disk: disks.services, watched },
    processOptions('single-service'),
  )
  stops.push(async () => single.victim.stop())
  stopped.throwIfAborted()
  const database = await startDatabase(start)
  stopped.throwIfAborted()
  const services = { disk: disks.services, watched, database, processOptions }
  const { replicas, victims } = await startVictims(start, services)
  stopped.throwIfAborted()
  const targets = {
    replicas: { url: replicas.url, certificate: replicas.certificate },
    single: { url: single.url },
  }
  const logIn = loginAt(watched)
  const certcaches = await startCertcaches({
    disk: disks.certcaches,
    targets,
    watched,
    logIn,
    // certcache wants one server.
    stateUrl: database.seenFrom(REPLICAS, database.pair.first.url('certcache')),
    processOptions,
  })
  const caches = certcaches.map(({ victim }) => victim)
  stops.push(async () => void (await Promise.all(caches.map(async (each) => each.stop()))))
  return {
    machine,
    watched,
    pair: database.pair,
    replicas,
    targets,
    certcaches,
    victims: { ...victims, 'single service': [single.victim], certcache: caches },
    clocks,
    disks,
    databaseAddresses: database.addresses,
    singleData: single.data,
    operatorConfig: replicas.all[0]?.file ?? '',
    logIn,
  }
}

/** A clock for each process that is started with these options. */
function clocksOf(machine: Machine) {
  const clocks: ProcessClock[] = []
  const processOptions = (name: string) => {
    const clock = newClock(machine, name)
    clocks.push(clock)
    return { env: clock.environment, output: join(machine.logs, `${name}.log`) }
  }
  return { clocks, processOptions }
}

interface ChaosDatabase {
  readonly pair: PostgresPair
  readonly addresses: readonly string[]
  /** The same servers under the address of one of those who use them. */
  readonly seenFrom: (index: number, url: string) => string
}

async function startDatabase({ machine, stops }: Start): Promise<ChaosDatabase> {
  // Another address for each, so that one of them can be cut off.
  const isCut = machine.missing.network === undefined
  const addresses = Array.from({ length: REPLICAS + 1 }, (_, index) =>
    isCut ? `127.0.0.${11 + index}` : '127.0.0.1',
  )
  const pair = await startPostgresPair({
    parent: machine.directory,
    addresses: isCut ? '*' : '127.0.0.1',
  })
  stops.push(async () => pair.stop())
  for (const name of ['tts', 'certcache']) await pair.createDatabase(name)
  const seenFrom = (index: number, url: string): string =>
    url.replaceAll('127.0.0.1', addresses[index] ?? '')
  return { pair, addresses, seenFrom }
}

/** The replicas; then they, HAProxy and the database have supervisors. */
async function startVictims(
  { stops }: Start,
  services: {
    readonly disk: string
    readonly watched: WatchedProvider
    readonly database: ChaosDatabase
    readonly processOptions: (name: string) => StartOptions
  },
) {
  const { disk, watched, database, processOptions } = services
  const { pair, seenFrom } = database
  const replicas = await startReplicas({
    count: REPLICAS,
    provider: watched.provider,
    parent: disk,
    database: (index) => seenFrom(index, pair.url('tts')),
    configuration: sections(watched),
    processOptions: (index) => processOptions(`replica-${index}`),
  })
  stops.push(async () => replicas.stop())
  const victims = {
    replica: replicas.all.map((replica, index) =>
      supervise(`replica-${index}`, () => replica.launch(), replica.running()),
    ),
    HAProxy: [superviseServer('HAProxy', replicas.balancer)],
    PostgreSQL: [superviseServer('PostgreSQL', pair.first)],
    standby: [superviseServer('standby', pair.second)],
  }
  const all = Object.values(victims).flat()
  stops.push(async () => void (await Promise.all(all.map(async (each) => each.stop()))))
  return { replicas, victims }
}

/** Sections of the configuration in which both installations differ from other tests. */
function sections({ provider }: WatchedProvider): Record<string, unknown> {
  const iam = {
    ...providerSettings(provider, { timeout_seconds: 20 }),
    // Keys are replaced often here.
    jwks_cooldown_seconds: 2,
  }
  return { providers: { iam }, delegations: { maximum_per_identity: 1000 } }
}

async function startSingle(
  { disk, watched }: { readonly disk: string; readonly watched: WatchedProvider },
  options: { readonly env: Readonly<Record<string, string>>; readonly output: string },
) {
  const port = await freePort()
  const data = join(disk, 'single')
  const file = join(disk, 'single.yaml')
  const settings = {
    ...testConfiguration(watched.provider),
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
    log: { level: 'info' },
    ...sections(watched),
    data_dir: data,
    listen: { port },
  }
  writeFileSync(file, stringify(settings), { mode: 0o600 })
  const launch = () =>
    startProgram(programPath('src/cli/main.ts'), ['serve', '--config', file], options)
  return { url: `http://127.0.0.1:${port}`, data, victim: supervise('single-service', launch) }
}

/** A login with a browser; the token is one that the provider knows. */
function loginAt({ provider }: WatchedProvider): (username: string) => Promise<string> {
  const login = { issuer: provider.issuer, clientId: 'demo-cli', scope: 'openid profile' }
  return async (username) =>
    (await obtainAccessToken({ ...login, username, audience: AUDIENCE })).access_token
}

function removeDisks({ missing }: Machine, paths: readonly string[]): void {
  for (const path of paths) {
    if (missing.disk === undefined) execFileSync('umount', ['--lazy', path])
    rmSync(path, { recursive: true, force: true })
  }
}
