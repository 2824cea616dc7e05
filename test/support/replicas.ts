/** Several replicas of the service, each a process with its own data directory, behind Debian's HAProxy or nginx. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { wideLimits } from '../api/support.ts'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import { type Balancer, type BalancerKind, startBalancer } from './balancer.ts'
import { freePort } from './free-port.ts'
import { programPath, type Started, type StartOptions, startProgram } from './programs.ts'
import { testConfiguration } from './service.ts'

/** Path of the command line, from the root of a source tree. */
const PROGRAM = 'src/cli/main.ts'
const READY_MS = 30_000

export interface Replica {
  readonly url: string
  /**
   * Starts it and waits until it is ready.
   *
   * @param sources root of the source tree of another release
   */
  start(sources?: string): Promise<void>
  /** Starts it and does not wait. */
  launch(sources?: string): Started
  /** The process that was started last. */
  running(): Started | undefined
  /** Its data directory, and its configuration file. */
  readonly data: string
  readonly file: string
  /** `kill -9`. */
  kill(): Promise<void>
  /** SIGTERM; returns its exit code. */
  end(): Promise<number | NodeJS.Signals>
  /** SIGHUP; returns when it continues with the configuration as it is now. */
  reload(): Promise<void>
  /** All that it logged since it was started last. */
  logged(): string
}

export interface Replicas {
  readonly all: readonly Replica[]
  /** URL of HAProxy. */
  readonly url: string
  /** Its certificate in PEM. */
  readonly certificate: string
  readonly balancer: Balancer
  /** Replaces sections of the configuration of all; `reload` or `start` uses it. */
  configure(changes: Readonly<Record<string, unknown>>): void
  stop(): Promise<void>
}

export interface ReplicaOptions {
  readonly count: number
  /** Connection string of the database, or that of each replica by its index. */
  readonly database: string | ((index: number) => string)
  readonly provider: IdentityProvider
  /** What is in front of them. Default `haproxy`. */
  readonly balancer?: BalancerKind
  /** Sections in place of the usual ones. */
  readonly configuration?: Readonly<Record<string, unknown>>
  /** Where the directory with everything of theirs is made. Default: that for temporary files. */
  readonly parent?: string
  /** How the process of each is started. */
  readonly processOptions?: (index: number) => StartOptions
}

/** Starts the replicas, the first one first: it makes the CA and the master keys, which the others get as copies. */
export async function startReplicas(options: ReplicaOptions): Promise<Replicas> {
  const { parent = tmpdir(), processOptions = () => ({}) } = options
  const directory = mkdtempSync(join(parent, 'tts-replicas-'))
  const running: Running[] = []
  for (let index = 0; index < options.count; index += 1)
    running.push(await newReplica(join(directory, `${index}`), processOptions(index)))
  const configure = (changes: Readonly<Record<string, unknown>>): void => {
    for (const [index, replica] of running.entries())
      replica.configure({ ...configurationOf(options, index), ...changes })
  }
  let balancer: Balancer | undefined
  const stop = async (): Promise<void> => {
    await balancer?.stop()
    await Promise.all(running.map((replica) => replica.kill()))
    rmSync(directory, { recursive: true, force: true })
  }
  try {
    configure({})
    const [first, ...others] = running
    await first?.start()
    for (const { data } of others)
      for (const part of ['ca', 'master-keys'])
        cpSync(join(first?.data ?? '', part), join(data, part), { recursive: true })
    await Promise.all(others.map((replica) => replica.start()))
    const { balancer: kind = 'haproxy' } = options
    balancer = await startBalancer(kind, directory, running)
  } catch (error) {
    await stop()
    throw error
  }
  const { url, certificate } = balancer
  return { all: running, url, certificate, balancer, configure, stop }
}

function configurationOf(options: ReplicaOptions, index: number) {
  const { provider, database, configuration } = options
  const url = typeof database === 'string' ? database : database(index)
  return {
    ...testConfiguration(provider),
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
    store: { url, pool_size: 4 },
    log: { level: 'info' },
    ...configuration,
  }
}

interface Running extends Replica {
  readonly port: number
  configure(configuration: Readonly<Record<string, unknown>>): void
}

async function newReplica(directory: string, options: StartOptions): Promise<Running> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const data = join(directory, 'data')
  const file = `${directory}.yaml`
  let started: Started | undefined
  const end = async (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    started?.child.kill(signal)
    return (await started?.ended) ?? 0
  }
  const launch = (sources?: string): Started => {
    const program = sources === undefined ? programPath(PROGRAM) : join(sources, PROGRAM)
    started = startProgram(program, ['serve', '--config', file], options)
    return started
  }
  return {
    url,
    port,
    data,
    configure(configuration) {
      const listen = { port, trusted_proxies: ['127.0.0.1'] }
      writeFileSync(file, stringify({ ...configuration, data_dir: data, listen }), { mode: 0o600 })
    },
    start: async (sources) => untilReady(url, launch(sources)),
    launch,
    file,
    running: () => started,
    kill: async () => void (await end('SIGKILL')),
    end: async () => end('SIGTERM'),
    async reload() {
      const before = countOf(started?.stdout(), 'service.reloaded')
      started?.child.kill('SIGHUP')
      const limit = performance.now() + READY_MS
      while (countOf(started?.stdout(), 'service.reloaded') === before) {
        if (performance.now() > limit) throw new Error(`not reloaded:\n${started?.stdout()}`)
        await sleep(20)
      }
    },
    logged: () => started?.stdout() ?? '',
  }
}

const countOf = (text = '', event: string): number => text.split(event).length - 1

async function untilReady(url: string, { child, stdout, stderr }: Started): Promise<void> {
  const limit = performance.now() + READY_MS
  for (;;) {
    const answer = await fetch(`${url}/readyz`, { signal: AbortSignal.timeout(5000) }).catch(
      () => undefined,
    )
    if (answer?.ok === true) return
    if (child.exitCode !== null || child.signalCode !== null || performance.now() > limit)
      throw new Error(`a replica does not start:\n${stdout()}\n${stderr()}`)
    await sleep(50)
  }
}
