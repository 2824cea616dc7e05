/**
 * `npm run bench:crl`: what a CRL of 100,000 entries costs: to make it, to serve it, and those who ask for proxies
 * meanwhile.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type CrlResults, crlReport, type Making } from './crl-report.ts'
import { readLoopSamples } from './loop-probe.ts'
import { describeMachine } from './machine.ts'
import { usageOf } from './process-cpu.ts'
import { prepareProxyLoad } from './proxy-load.ts'
import type { Target } from './programs.ts'
import { httpRequest, writeRequests } from './requests.ts'
import { fillRevocations, openOtherReplica, type OtherReplica } from './revocations.ts'
import type { World } from './scenarios/scenario.ts'
import { startService } from './service.ts'
import { runStudy, type StudyOptions } from './study.ts'
import { threadCpuOf, threadCpuSince } from './thread-cpu.ts'
import { type LoadResult, runWrk } from './wrk.ts'

const MAKINGS = 8
const ROUNDS = 3
/** The service looks at the database at most once a second, and under load a little later. */
const LOOK_MS = 1500
const FILES_CONNECTIONS = 4
/** The last sample of the event loop is written so much later than what it is about. */
const SAMPLE_MS = 300
/** The service looks once a minute without being asked. */
const CRL_TIMEOUT_MS = 90_000

interface Bench {
  readonly world: World
  readonly options: StudyOptions
  readonly service: Target
  readonly replica: OtherReplica
  readonly loopFile: string
}

async function run(
  world: World,
  options: StudyOptions,
  say: (text: string) => void,
): Promise<CrlResults> {
  const startedAt = new Date().toISOString()
  const directory = join(world.directory, 'service')
  await mkdir(directory, { mode: 0o700 })
  const loopFile = join(directory, 'loop.jsonl')
  const { provider, fromSources } = world
  const serviceOptions = { directory, provider, endEntityKeyKind: 'rsa-2048', loopFile } as const
  const start = async (): Promise<Target> => {
    await writeFile(loopFile, '')
    return startService({ ...serviceOptions, fromSources })
  }
  const empty = await start()
  await (
    await prepareProxyLoad(world, empty, options.connections)
  )(options.seconds * 2)
  const rssBefore = usageOf(empty.pid).rssBytes
  await empty.stop()
  const database = join(directory, 'data/tts.db')
  say(`revoking ${options.count.toLocaleString('en-US')} EECs`)
  fillRevocations(database, options.count)
  const replica = openOtherReplica(database)
  const beforeStart = replica.newestCrl().number
  const service = await start()
  try {
    const bench = { world, options, service, replica, loopFile }
    const first = await makeFirst(bench, beforeStart)
    const makings = await makeSome(bench)
    say('serving the CRL')
    const served = await measureFiles(bench)
    say('proxies without and with new CRLs')
    const proxies = await measureProxies(bench)
    const { number, bytes } = replica.newestCrl()
    const rss = { before: rssBefore, after: usageOf(service.pid).rssBytes }
    const { count: entries, seconds, connections } = options
    const about = { machine: describeMachine(), startedAt, entries, seconds, connections }
    return { ...about, crlBytes: bytes, crlNumber: number, first, makings, served, proxies, rss }
  } finally {
    replica.close()
    await service.stop()
  }
}

/** The service serves its last CRL when it starts, and makes one with all revocations in the background. */
async function makeFirst(
  { replica, loopFile }: Bench,
  before: number,
): Promise<CrlResults['first']> {
  const since = Date.now()
  await waitForCrl(replica, before)
  const milliseconds = Date.now() - since
  await delay(SAMPLE_MS)
  return { milliseconds, loopMaxMs: loopMax(loopFile, since) }
}

const loopMax = (loopFile: string, since: number): number =>
  Math.max(0, ...readLoopSamples(loopFile, since).map(({ maxMs }) => maxMs))

/** CRLs one after another, while nothing else is done. */
async function makeSome(bench: Bench): Promise<readonly Making[]> {
  const makings: Making[] = []
  for (let made = 0; made < MAKINGS; made += 1) {
    await delay(LOOK_MS)
    const since = Date.now()
    const before = threadCpuOf(bench.service.pid)
    const milliseconds = await makeOne(bench)
    const cpu = threadCpuSince(bench.service.pid, before)
    await delay(SAMPLE_MS)
    makings.push({ milliseconds, cpu, loopMaxMs: loopMax(bench.loopFile, since) })
  }
  return makings
}

/** One more revocation, and the CRL that has it; returns how long that took, from the request that makes it due. */
async function makeOne({ service, replica }: Bench): Promise<number> {
  const { number } = replica.newestCrl()
  replica.revoke()
  const beganMs = performance.now()
  // Reads the head only: the body of the old CRL would take longer than what is measured.
  const answer = await fetch(`${service.url}/ca/crl.der`, { method: 'HEAD' })
  await answer.arrayBuffer()
  await waitForCrl(replica, number)
  return performance.now() - beganMs
}

async function waitForCrl(replica: OtherReplica, after: number): Promise<void> {
  const end = performance.now() + CRL_TIMEOUT_MS
  while (replica.newestCrl().number === after) {
    if (performance.now() > end) throw new Error('no new CRL was made')
    await delay(5)
  }
}

async function measureFiles({ world, options, service }: Bench): Promise<CrlResults['served']> {
  const { host } = new URL(service.url)
  const plain = httpRequest({ method: 'GET', path: '/ca/crl.der', host })
  const head = await fetch(`${service.url}/ca/crl.der`, { method: 'HEAD' })
  const etag = head.headers.get('etag') ?? ''
  const known = Buffer.from(
    `GET /ca/crl.der HTTP/1.1\r\nHost: ${host}\r\nIf-None-Match: ${etag}\r\n\r\n`,
  )
  const measure = async (request: Buffer, expectedStatus: number): Promise<LoadResult> => {
    const requestsFile = join(world.directory, `crl-${expectedStatus}`)
    await writeRequests(requestsFile, [request])
    const place = { url: service.url, requestsFile, connections: FILES_CONNECTIONS }
    return runWrk({ ...place, seconds: options.seconds, mayRepeat: true, expectedStatus })
  }
  return { whole: await measure(plain, 200), unchanged: await measure(known, 304) }
}

/** In turn, because other programs use the machine, too. */
async function measureProxies(bench: Bench): Promise<CrlResults['proxies']> {
  const { world, options, service, loopFile } = bench
  const load = await prepareProxyLoad(world, service, options.connections)
  await load(options.seconds)
  const without: LoadResult[] = []
  const during: LoadResult[] = []
  const loop = { without: 0, during: 0 }
  let made = 0
  for (let round = 0; round < ROUNDS; round += 1) {
    const since = Date.now()
    without.push(await load(options.seconds))
    loop.without = Math.max(loop.without, loopMax(loopFile, since))
    const sinceMaking = Date.now()
    const loading = load(options.seconds)
    const end = performance.now() + options.seconds * 1000
    while (performance.now() < end) {
      await makeOne(bench)
      made += 1
      await delay(LOOK_MS)
    }
    during.push(await loading)
    loop.during = Math.max(loop.during, loopMax(loopFile, sinceMaking))
  }
  return { without, during, made, loopMaxMs: loop }
}

await runStudy({
  name: 'bench:crl',
  description:
    'Measures what a long CRL costs: to make, to serve, and for proxies meanwhile. SQLite.',
  counts: 'revoked EECs that have not ended',
  defaults: { count: 100_000, connections: 16, seconds: 10 },
  run,
  report: crlReport,
})
