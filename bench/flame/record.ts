/** Records with perf what the service does under load, and draws it. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeRequests } from '../requests.ts'
import type { Scenario, World } from '../scenarios/scenario.ts'
import { startService } from '../service.ts'
import { runWrk } from '../wrk.ts'
import { foldSamples, parsePerfScript } from './stacks.ts'
import { flameSvg } from './svg.ts'

const PERF = '/usr/bin/perf'

/** The Debian package that is missing, or undefined. */
export const missingPerfPackage = existsSync(PERF) ? undefined : 'linux-perf'

/** Functions keep their addresses, and perf learns their names, those of code that is not compiled too. */
const NODE_FLAGS = [
  '--perf-basic-prof',
  '--interpreted-frames-native-stack',
  '--no-compact-code-space',
  '--no-flush-bytecode',
]
const WARM_UP_SECONDS = 15
const SAMPLES_A_SECOND = 499
const MAX_OUTPUT_BYTES = 2 ** 30

const run = promisify(execFile)

/**
 * Writes the flame graph of a scenario, as SVG.
 *
 * @param options.path of the file to write
 * @param options.seconds of the recording
 */
export async function recordFlameGraph(
  world: World,
  scenario: Scenario,
  options: { readonly path: string; readonly seconds: number },
): Promise<void> {
  const directory = join(world.directory, 'flame')
  await mkdir(directory, { mode: 0o700 })
  const { endEntityKeyKind, connections, title } = scenario
  const { provider } = world
  // From the sources, so that each function is seen in its own file.
  const places = { directory, provider, endEntityKeyKind, fromSources: true }
  const service = await startService({ ...places, nodeFlags: NODE_FLAGS })
  try {
    const workload = await scenario.prepare(world, service)
    const requestsFile = join(directory, 'requests')
    await writeRequests(requestsFile, await workload.make(1))
    const load = { url: service.url, requestsFile, connections, mayRepeat: true }
    await runWrk({ ...load, seconds: WARM_UP_SECONDS })
    const data = join(directory, 'perf.data')
    const seconds = String(options.seconds)
    const what = ['-F', String(SAMPLES_A_SECOND), '-g', '-p', String(service.pid), '-o', data]
    await Promise.all([
      run(PERF, ['record', ...what, '--', 'sleep', seconds]),
      runWrk({ ...load, seconds: options.seconds + 1 }),
    ])
    const words = ['script', '-i', data, '-F', 'comm,tid,ip,sym']
    const { stdout } = await run(PERF, words, { maxBuffer: MAX_OUTPUT_BYTES })
    await writeFile(options.path, flameSvg(foldSamples(parsePerfScript(stdout)), title))
  } finally {
    await service.stop()
    // Where V8 writes it cannot be chosen.
    await rm(`/tmp/perf-${service.pid}.map`, { force: true })
  }
}
