/** Several replicas of the service, each a process with its own data directory, behind Debian's HAProxy. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { stringify } from 'yaml'
import { wideLimits } from '../api/support.ts'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
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
    balancer = await startHaproxy(directory, running)
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

interface Balancer {
  readonly url: string
  readonly certificate: string
  stop(): Promise<void>
}

/** Runs the file that `deploy/` has, with the addresses of the test. */
async function startHaproxy(directory: string, replicas: readonly Running[]): Promise<Balancer> {
  const port = await freePort()
  const pem = join(directory, 'tts.pem')
  const certificate = makeCertificate(pem)
  const places = Array.from({ length: 4 }, (_, index) => [
    `TTS_REPLICA_${index + 1}`,
    // Fewer replicas than servers in the file: the last ones are down.
    replicas[index] === undefined ? '127.0.0.1:1' : new URL(replicas[index].url).host,
  ])
  const child = spawn(
    '/usr/sbin/haproxy',
    ['-db', '-f', resolve(import.meta.dirname, '../../deploy/haproxy/haproxy.cfg')],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        TTS_FRONT: `127.0.0.1:${port}`,
        TTS_CERTIFICATE: pem,
        ...(Object.fromEntries(places) as Record<string, string>),
      },
    },
  )
  let said = ''
  child.stderr.on('data', (text: Buffer) => {
    said += text.toString()
  })
  const balancer = {
    url: `https://127.0.0.1:${port}`,
    certificate,
    stop: async () => endChild(child),
  }
  const limit = performance.now() + READY_MS
  while (!(await accepts(port))) {
    if (child.exitCode !== null || performance.now() > limit) {
      await balancer.stop()
      throw new Error(`HAProxy does not start:\n${said}`)
    }
    await sleep(20)
  }
  return balancer
}

function makeCertificate(pem: string): string {
  const [key, certificate] = [`${pem}.key`, `${pem}.crt`]
  const kind = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2'.split(' ')
  const names = ['-subj', '/CN=tts', '-addext', 'subjectAltName=IP:127.0.0.1']
  execFileSync(
    'openssl',
    ['req', '-x509', ...kind, ...names, '-keyout', key, '-out', certificate],
    { stdio: 'pipe' },
  )
  const text = readFileSync(certificate, 'utf8')
  writeFileSync(pem, `${text}${readFileSync(key, 'utf8')}`, { mode: 0o600 })
  return text
}

async function accepts(port: number): Promise<boolean> {
  const { promise, resolve: settle } = Promise.withResolvers<boolean>()
  const socket = connect(port, '127.0.0.1')
  socket.once('connect', () => settle(true))
  socket.once('error', () => settle(false))
  const accepted = await promise
  socket.destroy()
  return accepted
}

async function endChild(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}
