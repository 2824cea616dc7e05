/**
 * How many proxies a second, against what this machine could sign at all. Everything is measured in one run, because
 * the ratios travel and the absolute figures do not.
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
import { load, type LoadResult } from './load.ts'

const AUDIENCE = 'https://tts.bench'
const IDENTITIES = 20
const CONNECTIONS = 32
const SECONDS = Number(process.argv[2] ?? 6)

const say = (text: string): void => void process.stdout.write(`${text}\n`)

/** RSA-2048 signatures a second by node:crypto's thread pool, as fast as it goes. */
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

/** RSA-2048 key pairs a second, both cores. */
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
        requests_per_second_per_address: 1e6,
        burst_per_address: 1e6,
        credentials_per_second_per_identity: 1e6,
        burst_per_identity: 1e6,
      },
    }),
  )
  const program = fileURLToPath(new URL('../src/cli/main.js', import.meta.url))
  const logFile = join(directory, `${endEntityKeyKind}.log`)
  // To a file, as a service manager would: reading a pipe here would cost what is measured.
  const log = openSync(logFile, 'w')
  const child = spawn(process.execPath, [program, 'serve', '--config', path], {
    stdio: ['ignore', log, 'inherit'],
  })
  closeSync(log)
  const port = await startedPort(logFile, child)
  return { port, child }
}

/** The port that the service says it listens on. */
async function startedPort(logFile: string, child: ChildProcess): Promise<number> {
  for (let waited = 0; waited < 600 && child.exitCode === null; waited += 1) {
    const line = readFileSync(logFile, 'utf8')
      .split('\n')
      .find((text) => text.includes('"service.started"'))
    if (line !== undefined) return Number(new URL((JSON.parse(line) as { url: string }).url).port)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
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
  /** Of the thread that runs JavaScript. */
  readonly main: number
}

/** CPU seconds that a process has used so far (Linux; elsewhere unknown). */
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

function report(
  name: string,
  result: LoadResult & { readonly cpu: CpuSeconds },
  raw: number,
): void {
  const { succeeded, failed, perSecond, p50, p99 } = result
  const perRequest = (seconds: number): string =>
    ((seconds * 1000) / succeeded).toFixed(2).padStart(9)
  say(
    `${name.padEnd(44)} ${String(succeeded).padStart(7)} ${String(failed).padStart(6)} ${perSecond.toFixed(0).padStart(8)} ${(perSecond / raw).toFixed(3).padStart(7)} ${p50.toFixed(1).padStart(8)} ${p99.toFixed(1).padStart(8)} ${perRequest(result.cpu.all)} ${perRequest(result.cpu.main)}`,
  )
  if (result.firstFailure !== undefined)
    say(`   first failure: ${result.firstFailure.split('\r\n')[0]}`)
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
    const raw = await rawSignaturesPerSecond(3)
    const keys = await rawKeysPerSecond(3)
    say(
      `raw RSA-2048 signatures, all cores: ${raw.toFixed(0)} /s;  raw RSA-2048 key pairs, all cores: ${keys.toFixed(1)} /s\n`,
    )
    say(
      `${'POST /v1/proxies'.padEnd(44)}   count failed       /s   ratio  p50 (ms) p99 (ms)  CPU (ms) main (ms)`,
    )
    for (const kind of ['rsa-2048', 'ec-p256']) {
      const service = await startService(directory, provider, kind)
      try {
        await measure(service, { kind, csrs, raw, keys, bearers: tokens(provider) })
      } finally {
        await stopService(service)
      }
    }
    say(
      `\nratio: to the raw signatures (with a CSR) or to the raw key pairs (keys made by the service)`,
    )
    say(
      `raw RSA-2048 signatures again, at the end: ${(await rawSignaturesPerSecond(3)).toFixed(0)} /s`,
    )
  } finally {
    await provider.close()
    await rm(directory, { recursive: true, force: true })
  }
}

async function measure(
  { port, child }: Service,
  about: {
    readonly kind: string
    readonly csrs: readonly string[]
    readonly raw: number
    readonly keys: number
    readonly bearers: readonly string[]
  },
): Promise<void> {
  const { kind, csrs, raw, keys, bearers } = about
  const run = async (requests: readonly Buffer[], connections: number, seconds: number) => {
    const before = cpuSeconds(child.pid ?? 0)
    const result = await load({
      host: '127.0.0.1',
      port,
      requests,
      connections,
      durationMs: seconds * 1000,
    })
    const after = cpuSeconds(child.pid ?? 0)
    return { ...result, cpu: { all: after.all - before.all, main: after.main - before.main } }
  }
  const withCsr = bearers.flatMap((token) => csrs.map((csr) => requestBytes(port, token, csr)))
  // First the EECs are made and the code gets warm; this is not counted.
  await run(withCsr, CONNECTIONS, 8)
  report(`with a CSR, EEC key ${kind}`, await run(withCsr, CONNECTIONS, SECONDS), raw)
  const bare = bearers.map((token) => requestBytes(port, token, ''))
  report(`key made by the service, EEC key ${kind}`, await run(bare, 8, SECONDS), keys)
}

await main()
