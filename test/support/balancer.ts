/** HAProxy and nginx in front of replicas, with the files that `deploy/` has and the addresses of a test. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { freePort } from './free-port.ts'

export type BalancerKind = 'haproxy' | 'nginx'

export interface Balancer {
  readonly url: string
  /** Its certificate in PEM. */
  readonly certificate: string
  /** What it wrote on standard error since it was started last. */
  said(): string
  /** `kill -9`. */
  kill(): Promise<void>
  /** Starts it, on the same port, and waits until it listens. */
  start(): Promise<void>
  stop(): Promise<void>
}

const READY_MS = 30_000
const deploy = resolve(import.meta.dirname, '../../deploy')

/** @param directory for its files */
export async function startBalancer(
  kind: BalancerKind,
  directory: string,
  replicas: readonly { readonly url: string }[],
): Promise<Balancer> {
  const port = await freePort()
  const pem = join(directory, 'tts.pem')
  const certificate = makeCertificate(pem)
  // Fewer replicas than servers in the file: the last ones are down.
  const places = Array.from({ length: 4 }, (_, index) =>
    replicas[index] === undefined ? '127.0.0.1:1' : new URL(replicas[index].url).host,
  )
  const launch = kind === 'haproxy' ? startHaproxy : startNginx
  let child: ChildProcess | undefined
  let said = ''
  const start = async (): Promise<void> => {
    said = ''
    child = launch({ directory, front: `127.0.0.1:${port}`, pem, places })
    child.stderr?.on('data', (text: Buffer) => (said += text.toString()))
    await untilAccepted(child, port).catch((cause: unknown) => {
      throw new Error(`${kind} does not start:\n${said}`, { cause })
    })
  }
  // SIGKILL would leave nginx's worker behind.
  const stop = async (): Promise<void> => endChild(child, 'SIGTERM')
  try {
    await start()
  } catch (error) {
    await stop()
    throw error
  }
  const kill = async (): Promise<void> => endChild(child, 'SIGKILL')
  return { url: `https://127.0.0.1:${port}`, certificate, said: () => said, kill, start, stop }
}

async function untilAccepted(child: ChildProcess, port: number): Promise<void> {
  const limit = performance.now() + READY_MS
  while (!(await accepts(port))) {
    if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}`)
    if (performance.now() > limit) throw new Error(`nothing listens after ${READY_MS} ms`)
    await sleep(20)
  }
}

interface Setting {
  readonly directory: string
  readonly front: string
  readonly pem: string
  readonly places: readonly string[]
}

function startHaproxy({ front, pem, places }: Setting): ChildProcess {
  const replicas = Object.fromEntries(
    places.map((place, index) => [`TTS_REPLICA_${index + 1}`, place]),
  )
  return spawn('/usr/sbin/haproxy', ['-db', '-f', join(deploy, 'haproxy/haproxy.cfg')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { TTS_FRONT: front, TTS_CERTIFICATE: pem, ...replicas },
  })
}

function startNginx({ directory, front, pem, places }: Setting): ChildProcess {
  const prefix = join(directory, 'nginx')
  mkdirSync(prefix, { mode: 0o755 })
  let site = readFileSync(join(deploy, 'nginx/tts.conf'), 'utf8')
    .replace('listen 443 ssl', `listen ${front} ssl`)
    .replaceAll('/etc/nginx/tts.pem', pem)
  for (const [index, place] of places.entries())
    site = site.replace(`10.0.0.${index + 1}:8443`, place)
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(prefix, name)};`)
    .join(' ')
  const main = `daemon off; pid ${join(prefix, 'pid')}; error_log stderr error; worker_processes 1;
events {} http { access_log off; ${temporary}
${site}}`
  writeFileSync(join(prefix, 'nginx.conf'), main)
  return spawn('/usr/sbin/nginx', ['-p', prefix, '-c', join(prefix, 'nginx.conf')], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {},
  })
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

async function endChild(child: ChildProcess | undefined, signal: NodeJS.Signals): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill(signal)
  await ended
}
