/** `npm run bench:soak`: whether memory, latency or the rate change over a million proxies. */
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readLoopSamples } from './loop-probe.ts'
import { describeMachine } from './machine.ts'
import { usageOf } from './process-cpu.ts'
import { prepareProxyLoad } from './proxy-load.ts'
import type { World } from './scenarios/scenario.ts'
import { startService } from './service.ts'
import { type Minute, minuteLine, type SoakResults, soakReport } from './soak-report.ts'
import { runStudy, type StudyOptions } from './study.ts'

/** The first short round may pass while the keys of the EECs are made. */
const EMPTY_ROUNDS = 10

async function run(
  world: World,
  options: StudyOptions,
  say: (text: string) => void,
): Promise<SoakResults> {
  const startedAt = new Date().toISOString()
  const directory = join(world.directory, 'service')
  await mkdir(directory, { mode: 0o700 })
  const loopFile = join(directory, 'loop.jsonl')
  await writeFile(loopFile, '')
  const { provider, fromSources } = world
  const serviceOptions = { directory, provider, endEntityKeyKind: 'rsa-2048', loopFile } as const
  const service = await startService({ ...serviceOptions, fromSources })
  const minutes: Minute[] = []
  try {
    let issued = 0
    while (issued < options.count) {
      // New tokens each time: they end, and the service remembers those that it has seen.
      const load = await prepareProxyLoad(world, service, options.connections)
      const since = Date.now()
      const result = await load(options.seconds)
      issued += result.succeeded
      const samples = readLoopSamples(loopFile, since)
      const minute = {
        issued,
        perSecond: result.perSecond,
        p50Ms: result.p50Ms,
        p99Ms: result.p99Ms,
        failed: result.failed,
        loopMaxMs: Math.max(0, ...samples.map(({ maxMs }) => maxMs)),
        // The least: what is left after a garbage collection.
        heapBytes: Math.min(...samples.map(({ heapBytes }) => heapBytes)),
        rssBytes: usageOf(service.pid).rssBytes,
        databaseBytes: await databaseSize(join(directory, 'data/tts.db')),
      }
      // The file would grow with the run.
      await writeFile(loopFile, '')
      minutes.push(minute)
      say(minuteLine(minute))
      if (
        minutes.slice(-EMPTY_ROUNDS).every(({ perSecond }) => perSecond === 0) &&
        minutes.length >= EMPTY_ROUNDS
      )
        throw new Error(`nothing was issued: ${result.firstFailure ?? 'no answer'}`)
    }
  } finally {
    await service.stop()
  }
  const { seconds, connections } = options
  return { machine: describeMachine(), startedAt, seconds, connections, minutes }
}

async function databaseSize(path: string): Promise<number> {
  const sizes = ['', '-wal'].map(async (suffix) =>
    stat(`${path}${suffix}`).then(
      ({ size }) => size,
      () => 0,
    ),
  )
  return (await Promise.all(sizes)).reduce((total, size) => total + size, 0)
}

await runStudy({
  name: 'bench:soak',
  description:
    'Issues a million proxies and says whether memory grows. RSA-2048 EECs, CSRs, SQLite. About half an hour.',
  counts: 'proxies to issue',
  defaults: { count: 1_000_000, connections: 64, seconds: 60 },
  run,
  report: soakReport,
})
