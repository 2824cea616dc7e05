/**
 * How many proxies a second a warm certcache hands out, beside the same bytes served by nginx. Both are measured in turn in
 * one run by the same load generator, because the ratio travels and the absolute figures do not.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { availableParallelism, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { type IdentityProvider, startIdentityProvider } from '../demo/identity-provider/server.ts'
import { loadConfiguration } from '../src/config/load.ts'
import { createLog } from '../src/log.ts'
import { serve } from '../src/serve.ts'
import { load, type LoadResult } from './load.ts'
import { provideNginx, startNginx } from './nginx.ts'

const AUDIENCE = 'https://tts.bench'
const CONNECTIONS = 64
const SECONDS = Number(process.argv[2] ?? 8)
const ROUNDS = 4
const TARGET = 0.15

const say = (text: string): void => void process.stdout.write(`${text}\n`)

interface Contender {
  readonly name: string
  readonly port: number
  readonly pid: number
  readonly results: LoadResult[]
  /** CPU seconds that its process took for them. */
  cpuSeconds: number
}

async function startCertcache(directory: string, serviceUrl: string, provider: IdentityProvider) {
  const path = join(directory, 'certcache.yaml')
  const sub = '00000000-0000-4000-8000-000000000000'
  const token = provider.mint({ claims: { sub, groups: ['cms'], aud: AUDIENCE } })
  const settings = {
    service: { url: serviceUrl },
    source: { kind: 'token', token },
    state: { directory: join(directory, 'state') },
    listen: { port: 0 },
  }
  await writeFile(path, stringify(settings), { mode: 0o600 })
  const program = fileURLToPath(new URL('../src/certcache/main.js', import.meta.url))
  const logFile = join(directory, 'certcache.log')
  const log = openSync(logFile, 'w')
  const child = spawn(process.execPath, [program, 'serve', '--config', path], {
    stdio: ['ignore', log, 'inherit'],
    env: { PATH: process.env['PATH'] },
  })
  closeSync(log)
  return { child, port: await startedPort(logFile, child) }
}

/** The port that certcache says it listens on. */
async function startedPort(logFile: string, child: ChildProcess): Promise<number> {
  for (let waited = 0; waited < 600 && child.exitCode === null; waited += 1) {
    const lines = readFileSync(logFile, 'utf8').split('\n')
    const line = lines.find((text) => text.includes('"certcache.started"'))
    if (line !== undefined) return Number(new URL((JSON.parse(line) as { url: string }).url).port)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  child.kill('SIGKILL')
  throw new Error('certcache did not start')
}

async function startService(directory: string, provider: IdentityProvider) {
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  const path = join(directory, 'tts.yaml')
  const configuration = {
    data_dir: join(directory, 'data'),
    listen: { port: 0 },
    ca: { key_kind: 'ec-p256' },
    providers: { iam: { issuer: provider.issuer, audiences: [AUDIENCE] } },
    services: { proxy: { authz: { allow } } },
    limits: { key_pool_size: 0 },
  }
  await writeFile(path, stringify(configuration))
  return serve(await loadConfiguration(path, {}), createLog({ level: 'error', name: 'tts' }))
}

/** CPU seconds that a process has used so far (Linux; elsewhere unknown). */
function cpuSeconds(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ').at(-1)?.split(' ') ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  } catch {
    return Number.NaN
  }
}

async function measure(contender: Contender, durationMs: number): Promise<void> {
  const { port, pid, results } = contender
  const request = `GET /get_proxy HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n\r\n`
  const before = cpuSeconds(pid)
  const requests = [Buffer.from(request)]
  results.push(
    await load({ host: '127.0.0.1', port, requests, connections: CONNECTIONS, durationMs }),
  )
  contender.cpuSeconds += cpuSeconds(pid) - before
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0)
const perSecond = ({ results }: Contender): number =>
  sum(results.map(({ succeeded }) => succeeded)) / sum(results.map(({ seconds }) => seconds))
const perCpuSecond = ({ results, cpuSeconds: cpu }: Contender): number =>
  sum(results.map(({ succeeded }) => succeeded)) / cpu

function report(contender: Contender, nginx: Contender | undefined): void {
  const { results } = contender
  const latencies = results.flatMap((result) => result.latencies).sort((a, b) => a - b)
  const at = (share: number): number =>
    latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? Number.NaN
  const ratio = (rate: (of: Contender) => number): string =>
    nginx === undefined ? '-' : (rate(contender) / rate(nginx)).toFixed(3)
  const cells = [
    String(sum(results.map(({ succeeded }) => succeeded))),
    String(sum(results.map(({ failed }) => failed))),
    perSecond(contender).toFixed(0),
    ratio(perSecond),
    at(0.5).toFixed(2),
    at(0.99).toFixed(2),
    perCpuSecond(contender).toFixed(0),
    ratio(perCpuSecond),
  ]
  say(`${contender.name.padEnd(24)}${cells.map((cell) => cell.padStart(10)).join('')}`)
  const failure = results.find(({ firstFailure }) => firstFailure !== undefined)?.firstFailure
  if (failure !== undefined) say(`   first failure: ${failure.split('\r\n')[0]}`)
}

/** In turn, round by round: the machine's speed may change from one second to the next. */
async function compare(contenders: readonly Contender[]): Promise<void> {
  for (const contender of contenders) await measure(contender, 1500)
  for (const contender of contenders) {
    contender.results.length = 0
    contender.cpuSeconds = 0
  }
  for (let round = 0; round < ROUNDS; round += 1)
    for (const contender of contenders) await measure(contender, (SECONDS * 1000) / ROUNDS)
}

function tell(certcache: Contender, nginx: Contender | undefined, bytes: number): void {
  const heads = ['count', 'failed', '/s', 'of nginx', 'p50 ms', 'p99 ms', '/CPU s', 'of nginx']
  say(
    `${availableParallelism()} cores, Node ${process.version}; server and load generator share them; ${CONNECTIONS} connections, ${SECONDS} s each in ${ROUNDS} turns; ${bytes} bytes\n`,
  )
  say(`${'GET /get_proxy, warm'.padEnd(24)}${heads.map((head) => head.padStart(10)).join('')}`)
  report(certcache, nginx)
  if (nginx === undefined) return
  report(nginx, nginx)
  say(`
First target: ${TARGET} of nginx. /CPU s: requests for each second of CPU that the server used: the generator, one thread of
JavaScript, may be what limits both /s.`)
  const missed = Math.min(
    perSecond(certcache) / perSecond(nginx),
    perCpuSecond(certcache) / perCpuSecond(nginx),
  )
  if (missed < TARGET) say(`The target of ${TARGET} is MISSED.`)
}

async function main(): Promise<void> {
  const mayInstall = process.getuid?.() === 0 && process.env['TTS_TEST_NO_INSTALL'] !== '1'
  const program = provideNginx(mayInstall)
  if (program === undefined)
    say(
      '='.repeat(78) +
        '\nNOT COMPARED with nginx, which is not installed: apt-get install nginx-light\n' +
        '='.repeat(78),
    )
  const ends: (() => Promise<unknown>)[] = []
  try {
    const directory = await mkdtemp(join(tmpdir(), 'certcache-bench-'))
    ends.push(async () => rm(directory, { recursive: true, force: true }))
    const provider = await startIdentityProvider()
    ends.push(async () => provider.close())
    const service = await startService(directory, provider)
    ends.push(async () => service.stop())
    const cache = await startCertcache(directory, service.url, provider)
    ends.push(async () => stop(cache.child))
    const answer = await fetch(`http://127.0.0.1:${cache.port}/get_proxy`)
    const bytes = Buffer.from(await answer.arrayBuffer())
    if (answer.status !== 200) throw new Error(`certcache answered ${answer.status}`)
    const file = join(directory, 'same_bytes')
    await writeFile(file, bytes, { mode: 0o600 })
    const nginx = program === undefined ? undefined : await startNginx(program, directory, file)
    if (nginx) ends.push(async () => nginx.stop())
    const ours = contender('certcache', cache.port, cache.child.pid)
    const theirs = nginx && contender('nginx, one worker', nginx.port, nginx.pid)
    await compare(theirs ? [ours, theirs] : [ours])
    tell(ours, theirs, bytes.length)
  } finally {
    for (const end of ends.reverse()) await end()
  }
}

const contender = (name: string, port: number, pid = 0): Contender => ({
  name,
  port,
  pid,
  results: [],
  cpuSeconds: 0,
})

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGTERM')
  await ended
}

await main()
