/** How long the programs take to start, beside Node with nothing to do. */
import { once } from 'node:events'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { prepareCertcache, servedProxy } from './certcache.ts'
import { ownProgram } from './own-programs.ts'
import { endedChildrenCpuSeconds, usageOf } from './process-cpu.ts'
import { freePort, type Program, startProgram, waitForPort } from './programs.ts'
import type { Start, StartName } from './results.ts'
import { serviceWords, startService } from './service.ts'
import { median } from './statistics.ts'
import type { World } from './scenarios/scenario.ts'

/** As `--only` takes it. */
export const STARTS = 'starts'

const ROUNDS = 7
const POLL_MS = 2
const TIMEOUT_MS = 30_000

type Timed = Omit<Start, 'name'>

/** Starts each program several times, and returns medians. */
export async function measureStarts(world: World): Promise<readonly Start[]> {
  const directory = join(world.directory, STARTS)
  await mkdir(directory, { mode: 0o700 })
  const port = await freePort()
  const service = await startService({
    directory,
    provider: world.provider,
    endEntityKeyKind: 'rsa-2048',
    fromSources: world.fromSources,
    port,
  })
  const certcache = await prepareCertcache(world, service)
  const first = certcache.start()
  await waitForPort(certcache.port, first)
  await servedProxy(certcache)
  await first.stop()
  await service.stop()
  const run = (words: readonly string[]) => (): Program =>
    startProgram(process.execPath, words, { logFile: join(directory, 'program.log') })
  const version = [ownProgram('cli', world.fromSources), '--version']
  return [
    await medianOf('node', () => untilEnd(run(['-e', '0']))),
    await medianOf('tts-version', () => untilEnd(run(version))),
    await medianOf('tts-serve', () =>
      untilAnswer(run(serviceWords(directory, world.fromSources)), `${service.url}/readyz`),
    ),
    // The service is down: what it serves is from its state.
    await medianOf('certcache-serve', () =>
      untilAnswer(certcache.start, `${certcache.url}/get_proxy`),
    ),
  ]
}

async function medianOf(name: StartName, start: () => Promise<Timed>): Promise<Start> {
  const all: Timed[] = []
  for (let round = 0; round < ROUNDS; round += 1) all.push(await start())
  const of = (value: (timed: Timed) => number): number => median(all.map(value))
  return {
    name,
    ms: of(({ ms }) => ms),
    cpuMs: of(({ cpuMs }) => cpuMs),
    rssBytes: of(({ rssBytes }) => rssBytes),
  }
}

async function untilEnd(start: () => Program): Promise<Timed> {
  const before = endedChildrenCpuSeconds()
  const startedAt = performance.now()
  const { child, output } = start()
  const [code] = (await once(child, 'exit')) as [number | null]
  const ms = performance.now() - startedAt
  if (code !== 0) throw new Error(`a program failed:\n${output()}`)
  return { ms, cpuMs: (endedChildrenCpuSeconds() - before) * 1000, rssBytes: 0 }
}

/** Until it answers with success. */
async function untilAnswer(start: () => Program, url: string): Promise<Timed> {
  const startedAt = performance.now()
  const program = start()
  try {
    while (!(await isAnswered(url))) {
      const hasEnded = program.child.exitCode !== null
      if (hasEnded || performance.now() - startedAt > TIMEOUT_MS)
        throw new Error(`${url} was not answered:\n${program.output().slice(-2000)}`)
      await delay(POLL_MS)
    }
    const ms = performance.now() - startedAt
    const { cpuSeconds, rssBytes } = usageOf(program.pid)
    return { ms, cpuMs: cpuSeconds * 1000, rssBytes }
  } finally {
    await program.stop()
  }
}

const isAnswered = (url: string): Promise<boolean> =>
  fetch(url, { headers: { connection: 'close' } }).then(
    async (response) => {
      await response.arrayBuffer()
      return response.ok
    },
    () => false,
  )
