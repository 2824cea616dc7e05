/**
 * Measures how many proxies per second the service issues, compared with the raw signature rate of this host. One run
 * measures everything, because the ratios are comparable between machines, but the absolute numbers are not.
 */
import { generateKeyPairSync, sign } from 'node:crypto'
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { createCsr } from '../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../ca/key.ts'
import { type IdentityProvider, startIdentityProvider } from '../demo/identity-provider/server.ts'
import { load, type LoadOptions, type LoadResult } from './load.ts'

const AUDIENCE = 'https://tts.bench'
const IDENTITIES = 20
/** Enough connections to keep all threads busy while others wait for commits. */
const CONNECTIONS = 64
const SECONDS = Number(process.argv[2] ?? 8)
const RAW_SECONDS = 1.5

const say = (text: string): void => void process.stdout.write(`${text}\n`)

/** Measures the maximum number of RSA-2048 signatures per second in the thread pool of node:crypto. */
async function rawSignaturesPerSecond(seconds: number): Promise<number> {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const data = Buffer.alloc(800, 7)
  const started = performance.now()
  let count = 0
  const worker = async (): Promise<void> => {
    while (performance.now() - started < seconds * 1000) {
      await new Promise<void>((resolve, reject) => {
        sign('sha256', data, privateKey, (error) => (error ? reject(error) : resolve()))
      })
      count += 1
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return count / ((performance.now() - started) / 1000)
}

/** Measures the number of RSA-2048 key pairs per second on all cores. */
async function rawKeysPerSecond(seconds: number): Promise<number> {
  const started = performance.now()
  let count = 0
  const worker = async (): Promise<void> => {
    while (performance.now() - started < seconds * 1000) {
      await generatePrivateKey('rsa-2048')
      count += 1
    }
  }
  await Promise.all(Array.from({ length: 4 }, worker))
  return count / ((performance.now() - started) / 1000)
}

interface Service {
  readonly port: number
  readonly child: ChildProcess
}

async function startService(
  directory: string,
  provider: IdentityProvider,
  endEntityKeyKind: string,
): Promise<Service> {
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  const path = join(directory, `${endEntityKeyKind}.yaml`)
  await writeFile(
    path,
    stringify({
      data_dir: join(directory, endEntityKeyKind),
      listen: { port: 0 },
      ca: { key_kind: 'rsa-3072', end_entity_key_kind: endEntityKeyKind },
      providers: { iam: { issuer: provider.issuer, audiences: [AUDIENCE] } },
      services: { proxy: { authz: { allow } } },
      limits: {
        // A key pool would generate keys during the measurement of the raw rate.
        key_pool_size: 0,
        requests_per_second_per_address: 1e6,
        burst_per_address: 1e6,
        credentials_per_second_per_identity: 1e6,
        burst_per_identity: 1e6,
      },
    }),
  )
  const program = fileURLToPath(new URL('../dist/src/cli/main.js', import.meta.url))
  const logFile = join(directory, `${endEntityKeyKind}.log`)
  // The log goes to a file, as with a service manager: reading a pipe here would distort the measurement.
  const log = openSync(logFile, 'w')
  const child = spawn(process.execPath, [program, 'serve', '--config', path], {
    stdio: ['ignore', log, 'inherit'],
  })
  closeSync(log)
  const port = await readPort(logFile, child)
  return { port, child }
}

/** Returns the port that the service reports in its log. */
async function readPort(logFile: string, child: ChildProcess): Promise<number> {
  for (let waited = 0; waited < 600 && child.exitCode === null; waited += 1) {
    const line = readFileSync(logFile, 'utf8')
      .split('\n')
      .find((text) => text.includes('"service.started"'))
    if (line !== undefined) return Number(new URL((JSON.parse(line) as { url: string }).url).port)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  child.kill('SIGKILL')
  throw new Error(`the service did not start; its log is in ${logFile}`)
}

async function stopService({ child }: Service): Promise<void> {
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  await ended
}

function requestBytes(port: number, token: string, body: string): Buffer {
  const type = body === '' ? '' : 'Content-Type: application/pkcs10\r\n'
  return Buffer.from(
    `POST /v1/proxies HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n${type}Content-Length: ${body.length}\r\n\r\n${body}`,
  )
}

function tokens(provider: IdentityProvider): readonly string[] {
  return Array.from({ length: IDENTITIES }, (_, index) =>
    provider.mint({
      claims: {
        sub: `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`,
        groups: ['cms'],
        aud: AUDIENCE,
      },
    }),
  )
}

interface CpuSeconds {
  readonly all: number
  /** CPU seconds of the JavaScript thread. */
  readonly main: number
}

/** Returns the CPU seconds that a process has used (NaN on systems other than Linux). */
function cpuSeconds(pid: number): CpuSeconds {
  return { all: cpuOf(`/proc/${pid}/stat`), main: cpuOf(`/proc/${pid}/task/${pid}/stat`) }
}

function cpuOf(path: string): number {
  try {
    const fields = readFileSync(path, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return Number.NaN
  }
}

/** The result of a scenario, for all rounds together. */
interface Outcome {
  readonly results: readonly LoadResult[]
  /** Raw rate of the host, measured before each round and after the last. */
  readonly raw: readonly number[]
  readonly cpu: CpuSeconds
}

function report(name: string, { results, raw, cpu }: Outcome): void {
  const sum = (values: readonly number[]): number =>
    values.reduce((total, value) => total + value, 0)
  const count = sum(results.map(({ succeeded }) => succeeded))
  const perSecond = count / sum(results.map(({ seconds }) => seconds))
  const rawMean = sum(raw) / raw.length
  const latencies = results
    .flatMap((result) => result.latencies)
    .sort((left, right) => left - right)
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN
  const cells = [
    String(count),
    String(sum(results.map(({ failed }) => failed))),
    perSecond.toFixed(0),
    rawMean.toFixed(rawMean < 100 ? 1 : 0),
    (perSecond / rawMean).toFixed(3),
    at(0.5).toFixed(1),
    at(0.99).toFixed(1),
    ((cpu.all * 1000) / count).toFixed(2),
    ((cpu.main * 1000) / count).toFixed(2),
  ]
  say(`${name.padEnd(38)}${cells.map((cell) => cell.padStart(9)).join('')}`)
  const failure = results.find(({ firstFailure }) => firstFailure !== undefined)?.firstFailure
  if (failure !== undefined) say(`   first failure: ${failure.split('\r\n')[0]}`)
}

async function main(): Promise<void> {
  say(
    `${availableParallelism()} cores, Node ${process.version}; service and load generator share them; ${CONNECTIONS} connections, ${IDENTITIES} identities, ${SECONDS} s each\n`,
  )
  const directory = await mkdtemp(join(tmpdir(), 'tts-bench-'))
  const provider = await startIdentityProvider()
  try {
    const csrs = await Promise.all(
      Array.from({ length: 8 }, async () =>
        createCsr([], createSigner(await generatePrivateKey('rsa-2048'))),
      ),
    )
    const heads = [
      'count',
      'failed',
      '/s',
      'raw /s',
      'ratio',
      'p50 ms',
      'p99 ms',
      'CPU ms',
      'main ms',
    ]
    say(`${'POST /v1/proxies'.padEnd(38)}${heads.map((head) => head.padStart(9)).join('')}`)
    for (const kind of ['rsa-2048', 'ec-p256']) {
      const service = await startService(directory, provider, kind)
      try {
        await measure(service, { kind, csrs, bearers: tokens(provider) })
      } finally {
        await stopService(service)
      }
    }
    say(`
raw: RSA-2048 signatures per second by node:crypto on all cores (with a CSR), or RSA-2048 key pairs (key by the service),
measured in turn with the service, because the speed of the host may change from one second to the next.
CPU: CPU time of the service per proxy, all threads; main: only the JavaScript thread.`)
  } finally {
    await provider.close()
    await rm(directory, { recursive: true, force: true })
  }
}

const ROUNDS = 4

async function measure(
  service: Service,
  scenario: {
    readonly kind: string
    readonly csrs: readonly string[]
    readonly bearers: readonly string[]
  },
): Promise<void> {
  const { kind, csrs, bearers } = scenario
  const target = { host: '127.0.0.1', port: service.port }
  const withCsr = bearers.flatMap((token) =>
    csrs.map((csr) => requestBytes(service.port, token, csr)),
  )
  // Creates the EECs and warms up the code; the result is not counted.
  await load({ ...target, requests: withCsr, connections: CONNECTIONS, durationMs: 8000 })
  const durationMs = (SECONDS * 1000) / ROUNDS
  const csrLoad = { ...target, requests: withCsr, connections: CONNECTIONS, durationMs }
  report(`with a CSR, EEC key ${kind}`, await runRounds(service, csrLoad, rawSignaturesPerSecond))
  const bare = bearers.map((token) => requestBytes(service.port, token, ''))
  const keyLoad = { ...target, requests: bare, connections: 8, durationMs }
  report(`key by the service, EEC key ${kind}`, await runRounds(service, keyLoad, rawKeysPerSecond))
}

/** Measures the raw rate and the rate of the service in turn. */
async function runRounds(
  { child }: Service,
  options: LoadOptions,
  rawRate: (seconds: number) => Promise<number>,
): Promise<Outcome> {
  const results: LoadResult[] = []
  const raw = [await rawRate(RAW_SECONDS)]
  const cpu = { all: 0, main: 0 }
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = cpuSeconds(child.pid ?? 0)
    results.push(await load(options))
    const after = cpuSeconds(child.pid ?? 0)
    cpu.all += after.all - before.all
    cpu.main += after.main - before.main
    raw.push(await rawRate(RAW_SECONDS))
  }
  return { results, raw, cpu }
}

await main()
