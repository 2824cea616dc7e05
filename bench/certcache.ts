/**
 * Measures how many workers per second the warm cache serves, compared with nginx serving the same bytes from a file.
 * One load generator measures both in turn, because the ratio is comparable between machines, but the absolute
 * numbers are not.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { connect, createServer, type AddressInfo } from 'node:net'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { startIdentityProvider } from '../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../demo/user-agent.ts'
import { loadConfiguration } from '../src/config/load.ts'
import { createLog } from '../src/base/log.ts'
import { serve } from '../src/service/serve.ts'
import { load, type LoadResult } from './load.ts'

const AUDIENCE = 'https://tts.bench'
const CONNECTIONS = 64
const ROUNDS = 4
const SECONDS = Number(process.argv[2] ?? 12)
const TARGET = 0.15
const NGINX = '/usr/sbin/nginx'

const say = (text: string): void => void process.stdout.write(`${text}\n`)

function printBanner(text: string): void {
  const rule = '='.repeat(78)
  process.stderr.write(`\n${rule}\n${text}\n${rule}\n\n`)
}

/** Checks for nginx, and installs the Debian package if possible. */
function ensureNginx(): boolean {
  if (existsSync(NGINX)) return true
  if (process.getuid?.() === 0 && existsSync('/usr/bin/apt-get')) {
    say('Installing for the comparison: nginx-light')
    // oxlint-disable-next-line node/no-process-env -- apt-get needs it
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' }
    const options = { stdio: ['ignore', 'ignore', 'inherit'] as const, env }
    const words = ['install', '-y', '-q', '--no-install-recommends', 'nginx-light']
    spawnSync('apt-get', ['update', '-q'], { ...options, stdio: [...options.stdio] })
    spawnSync('apt-get', words, { ...options, stdio: [...options.stdio] })
  }
  if (existsSync(NGINX)) return true
  printBanner(
    'NO COMPARISON: nginx is missing. As root: apt-get install --no-install-recommends nginx-light',
  )
  return false
}

interface Server {
  readonly port: number
  readonly child: ChildProcess
}

async function startNginx(directory: string): Promise<Server> {
  const port = await freePort()
  const path = (name: string): string => join(directory, name)
  await mkdir(path('temp'))
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${path('temp')}/${name};`)
    .join('\n  ')
  // Like certcache: one process, answers from memory, persistent connections, no log.
  await writeFile(
    path('nginx.conf'),
    `daemon off;
${process.getuid?.() === 0 ? 'user root;' : ''}
worker_processes 1;
pid ${path('nginx.pid')};
error_log ${path('error.log')};
events { worker_connections 1024; }
http {
  ${temporary}
  access_log off;
  keepalive_requests 100000000;
  open_file_cache max=16;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
  server { listen 127.0.0.1:${port}; root ${path('root')}; }
}
`,
  )
  const words = ['-p', directory, '-c', path('nginx.conf'), '-e', path('error.log')]
  const child = spawn(NGINX, words, { stdio: ['ignore', 'ignore', 'inherit'] })
  await waitForPort(port, child)
  return { port, child }
}

async function startCertcache(directory: string, serviceUrl: string): Promise<Server> {
  const port = await freePort()
  const path = join(directory, 'certcache.yaml')
  await writeFile(
    path,
    stringify({
      service: { url: serviceUrl },
      source: { token_file: join(directory, 'token') },
      state: { directory: join(directory, 'state') },
      listen: { port },
      log_level: 'warn',
    }),
  )
  const program = fileURLToPath(new URL('../dist/src/certcache/main.js', import.meta.url))
  const words = [program, 'serve', '--config', path]
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'inherit', 'inherit'] })
  await waitForPort(port, child)
  return { port, child }
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

async function waitForPort(port: number, child: ChildProcess): Promise<void> {
  for (let looks = 0; looks < 200 && child.exitCode === null; looks += 1) {
    const socket = connect(port, '127.0.0.1')
    const open = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    })
    socket.destroy()
    if (open) return
    await delay(50)
  }
  child.kill('SIGKILL')
  throw new Error(`no process listens on port ${port}`)
}

async function end({ child }: Server): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

/** Starts certcache and everything that it needs for its first proxy, and calls `use` when the cache is warm. */
async function withWarmCache(
  directory: string,
  use: (certcache: Server) => Promise<void>,
): Promise<void> {
  const provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
  const { clientId, clientSecret } = provider.clients.tts
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  const path = join(directory, 'tts.yaml')
  const iam = { issuer: provider.issuer, audiences: [AUDIENCE], delegation: {} }
  const configuration = {
    data_dir: join(directory, 'data'),
    listen: { port: 0 },
    ca: { key_kind: 'rsa-3072' },
    providers: { iam: { ...iam, client_id: clientId, client_secret: clientSecret } },
    services: { proxy: { authz: { allow } } },
  }
  await writeFile(path, stringify(configuration))
  const log = createLog({ level: 'warn', name: 'tts' })
  const running = await serve(await loadConfiguration(path, {}), log)
  const login = { issuer: provider.issuer, clientId: provider.clients.cli.clientId }
  const granted = await obtainAccessToken({ ...login, username: 'alice', audience: AUDIENCE })
  await writeFile(join(directory, 'token'), granted.access_token, { mode: 0o600 })
  let certcache: Server | undefined
  try {
    certcache = await startCertcache(directory, running.url)
    const first = await fetch(`http://127.0.0.1:${certcache.port}/get_proxy`)
    const text = await first.text()
    if (!first.ok || new X509Certificate(text).subject === '') throw new Error(text)
    await mkdir(join(directory, 'root'))
    await writeFile(join(directory, 'root/get_proxy'), text)
    await use(certcache)
  } finally {
    if (certcache) await end(certcache)
    await running.stop()
    await provider.close()
  }
}

const ask = async ({ port }: Server, durationMs: number): Promise<LoadResult> => {
  const request = Buffer.from(`GET /get_proxy HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`)
  const target = { host: '127.0.0.1', port, requests: [request] }
  return load({ ...target, connections: CONNECTIONS, durationMs })
}

/** Prints one line, and returns the number of requests per second. */
function report(name: string, results: readonly LoadResult[], reference?: number): number {
  const sum = (of: (result: LoadResult) => number): number =>
    results.reduce((total, result) => total + of(result), 0)
  const count = sum(({ succeeded }) => succeeded)
  const perSecond = count / sum(({ seconds }) => seconds)
  const latencies = results.flatMap((result) => result.latencies).sort((a, b) => a - b)
  const at = (share: number): string =>
    (latencies[Math.floor(latencies.length * share)] ?? Number.NaN).toFixed(1)
  const ratio = reference === undefined ? '' : (perSecond / reference).toFixed(3)
  const failed = String(sum((result) => result.failed))
  const cells = [String(count), failed, perSecond.toFixed(0), ratio, at(0.5), at(0.99)]
  say(`${name.padEnd(22)}${cells.map((cell) => cell.padStart(10)).join('')}`)
  return perSecond
}

async function measure(directory: string, certcache: Server): Promise<void> {
  const nginx = ensureNginx() ? await startNginx(directory) : undefined
  try {
    const { length } = await readFile(join(directory, 'root/get_proxy'))
    say(
      `${availableParallelism()} cores, Node ${process.version}; server and load generator share them; ${CONNECTIONS} connections, ${length} bytes, ${SECONDS} s each\n`,
    )
    // Warms up the code; the result is not counted.
    await ask(certcache, 2000)
    const results = { certcache: [] as LoadResult[], nginx: [] as LoadResult[] }
    for (let round = 0; round < ROUNDS; round += 1) {
      if (nginx) results.nginx.push(await ask(nginx, (SECONDS * 1000) / ROUNDS))
      results.certcache.push(await ask(certcache, (SECONDS * 1000) / ROUNDS))
    }
    const heads = ['count', 'failed', '/s', 'ratio', 'p50 ms', 'p99 ms']
    say(`${'GET /get_proxy'.padEnd(22)}${heads.map((head) => head.padStart(10)).join('')}`)
    const reference = nginx && report('nginx, one worker', results.nginx)
    report('certcache, warm', results.certcache, reference)
    if (nginx) say(`\nratio: compared with nginx; the first target is ${TARGET}.`)
  } finally {
    if (nginx) await end(nginx)
  }
}

async function main(): Promise<void> {
  process.umask(0o077)
  const directory = await mkdtemp(join(tmpdir(), 'certcache-bench-'))
  try {
    await withWarmCache(directory, async (certcache) => measure(directory, certcache))
  } finally {
    await rm(directory, { recursive: true, force: true })
  }
}

await main()
