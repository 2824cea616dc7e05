/** Runs the steps that share one start of the service. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { measure } from './measure.ts'
import type { BenchOptions } from './options.ts'
import type { Stage, Step } from './plan.ts'
import type { Target } from './programs.ts'
import type { RawMeter } from './raw.ts'
import type { Result } from './results.ts'
import type { World } from './scenarios/scenario.ts'
import type { Stores } from './stores.ts'

export interface Run {
  readonly world: World
  readonly meter: RawMeter
  readonly options: BenchOptions
  readonly stores: Stores
  /** Shown while the run goes on. */
  readonly say: (text: string) => void
}

/** Adds a result for each step, as soon as there is one. */
export async function runStage(run: Run, stage: Stage, results: Result[]): Promise<void> {
  const { store, rows, endEntityKeyKind, steps } = stage
  const { provider, fromSources } = run.world
  const directory = join(run.world.directory, `${store}-${rows}-${endEntityKeyKind}`)
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const service = await run.stores.start(
    { directory, provider, endEntityKeyKind, fromSources },
    stage,
  )
  try {
    for (const step of steps) {
      const measured = await runStep(run, service, step)
      const { name, title } = step.scenario
      const { connections } = step
      results.push({ name, title, isPeer: false, store, rows, connections, measured })
      run.say(
        `${name}, ${store}, ${rows} rows, ${connections} connections: ${measured.perSecond.toFixed(1)} a second`,
      )
    }
  } finally {
    await service.stop()
  }
}

async function runStep(
  { world, meter, options, say }: Run,
  service: Target,
  { scenario, connections }: Step,
): Promise<Result['measured']> {
  const workload = await scenario.prepare(world, service)
  try {
    return await measure(workload, {
      directory: world.directory,
      meter,
      rawWork: scenario.rawWork,
      connections,
      seconds: options.seconds * scenario.durationFactor,
      rounds: options.rounds,
      say,
    })
  } finally {
    await workload.close?.()
  }
}
