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
import { programPath, type Started, startProgram } from './programs.ts'
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
  /** Replaces sections of the configuration of all; `reload` or `start` uses it. */
  configure(changes: Readonly<Record<string, unknown>>): void
  stop(): Promise<void>
}

export interface ReplicaOptions {
  readonly count: number
  /** Connection string of the database. */
  readonly database: string
  readonly provider: IdentityProvider
  /** What is in front of them. Default `haproxy`. */
  readonly balancer?: BalancerKind
  /** Sections in place of the usual ones. */
  readonly configuration?: Readonly<Record<string, unknown>>
}

/** Starts the replicas, the first one first: it makes the CA and the master keys, which the others get as copies. */
export async function startReplicas(options: ReplicaOptions): Promise<Replicas> {
  const directory = mkdtempSync(join(tmpdir(), 'tts-replicas-'))
  const running: Running[] = []
  for (let index = 0; index < options.count; index += 1)
    running.push(await newReplica(join(directory, `${index}`)))
  const configure = (changes: Readonly<Record<string, unknown>>): void => {
    for (const replica of running) replica.configure({ ...configurationOf(options), ...changes })
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
  return { all: running, url: balancer.url, certificate: balancer.certificate, configure, stop }
}

function configurationOf({ provider, database, configuration }: ReplicaOptions) {
  return {
    ...testConfiguration(provider),
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
    store: { url: database, pool_size: 4 },
    log: { level: 'info' },
    ...configuration,
  }
}

interface Running extends Replica {
  readonly port: number
  readonly data: string
  configure(configuration: Readonly<Record<string, unknown>>): void
}

async function newReplica(directory: string): Promise<Running> {
  const port = await freePort()
  const url = `http://127.0.0.1:${port}`
  const data = join(directory, 'data')
  const file = `${directory}.yaml`
  let started: Started | undefined
  const end = async (signal: NodeJS.Signals): Promise<number | NodeJS.Signals> => {
    started?.child.kill(signal)
    return (await started?.ended) ?? 0
  }
  return {
    url,
    port,
    data,
    configure(configuration) {
      const listen = { port, trusted_proxies: ['127.0.0.1'] }
      writeFileSync(file, stringify({ ...configuration, data_dir: data, listen }), { mode: 0o600 })
    },
    async start(sources) {
      const program = sources === undefined ? programPath(PROGRAM) : join(sources, PROGRAM)
      started = startProgram(program, ['serve', '--config', file])
      await untilReady(url, started)
    },
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
