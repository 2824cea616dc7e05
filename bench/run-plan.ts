/** Runs a plan, stage by stage. A stage that fails takes nothing from the others: a full run takes half an hour. */
import { missingPerfPackage, recordFlameGraph } from './flame/record.ts'
import { missingNginxPackage } from './nginx.ts'
import { runPeers } from './peers/run-peers.ts'
import type { Plan, Stage } from './plan.ts'
import type { Result, Results, Start } from './results.ts'
import { type Run, runStage } from './run-stage.ts'
import { measureStarts } from './starts.ts'
import { missingStorePackage } from './stores.ts'

const FLAME_SECONDS = 10

type Outcome = Pick<Results, 'results' | 'starts' | 'skipped' | 'errors'>

export async function runPlan(run: Run, { stages, starts, peers, flame }: Plan): Promise<Outcome> {
  const results: Result[] = []
  const started: Start[] = []
  const skipped = stages.flatMap(missingTools)
  const errors: string[] = []
  const collect = async (what: string, work: () => Promise<void>): Promise<void> => {
    try {
      await work()
    } catch (error) {
      const text = `${what}: ${error instanceof Error ? error.message : String(error)}`
      errors.push(text)
      run.say(text)
    }
  }
  for (const stage of stages.filter((each) => missingStorePackage(each) === undefined))
    await collect(stageName(stage), () => runStage(run, stage, results))
  if (starts)
    await collect('starts', async () => {
      started.push(...(await measureStarts(run.world)))
      for (const { name, ms } of started) run.say(`start, ${name}: ${Math.round(ms)} ms`)
    })
  if (peers)
    await collect('peers', async () => {
      const found = await runPeers(run)
      results.push(...found.results)
      skipped.push(...found.skipped)
      errors.push(...found.errors)
    })
  if (flame && missingPerfPackage !== undefined)
    skipped.push(`flame graph: the Debian package ${missingPerfPackage} is missing`)
  else if (flame)
    await collect('flame graph', () =>
      recordFlameGraph(run.world, flame.scenario, { path: flame.path, seconds: FLAME_SECONDS }),
    )
  return { results, starts: started, skipped: [...new Set(skipped)], errors }
}

function missingTools(stage: Stage): readonly string[] {
  const store = missingStorePackage(stage)
  const hasGetProxy = stage.steps.some(({ scenario }) => scenario.name === 'get-proxy')
  const nginx = hasGetProxy ? missingNginxPackage : undefined
  return [
    ...(store === undefined ? [] : [`${stageName(stage)}: the Debian package ${store} is missing`]),
    ...(nginx === undefined ? [] : [`nginx: the Debian package ${nginx} is missing`]),
  ]
}

const stageName = ({ store, rows, endEntityKeyKind }: Stage): string =>
  `${store}, ${rows.toLocaleString('en-US')} rows, ${endEntityKeyKind} EECs`
