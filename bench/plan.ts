/** Decides what a run measures, in which order. */
import type { BenchOptions, StoreKind } from './options.ts'
import type { Scenario } from './scenarios/scenario.ts'
import type { EndEntityKeyKind } from './service.ts'
import { STARTS } from './starts.ts'

/** One line of the results. */
export interface Step {
  readonly scenario: Scenario
  readonly connections: number
}

/** Steps that share one start of the service. */
export interface Stage {
  readonly store: StoreKind
  /** Credentials that are on record before. */
  readonly rows: number
  readonly endEntityKeyKind: EndEntityKeyKind
  readonly steps: readonly Step[]
}

export interface Plan {
  readonly stages: readonly Stage[]
  /** Whether to measure how long the programs take to start. */
  readonly starts: boolean
  readonly peers: boolean
  /** Where to write a flame graph of the main path. */
  readonly flame: { readonly scenario: Scenario; readonly path: string } | undefined
}

const quickSet = [
  'csr-rsa-seen',
  'csr-rsa-new',
  'csr-p256-seen',
  'csr-p256-new',
  'keys',
  'get-proxy',
]
const fullConnections = [1, 16, 64, 256]
const fullRows = [100_000, 2_000_000]

type Place = Omit<Stage, 'steps'>
type PlacedStep = Step & Omit<Place, 'endEntityKeyKind'>

export function planRun(options: BenchOptions, all: ReadonlyMap<string, Scenario>): Plan {
  const { full, peers, only, connections, rows, stores, flame } = options
  const names = only ?? (full ? [...all.keys()] : quickSet)
  const chosen = names.flatMap((name) => all.get(name) ?? [])
  const isPlain = connections === undefined && rows === undefined && stores === undefined
  const steps = full && isPlain && only === undefined ? fullSteps(all) : cross(chosen, options)
  const main = all.get('csr-rsa-seen')
  return {
    stages: stagesOf(steps),
    starts: only === undefined || only.includes(STARTS),
    peers: peers || (full && only === undefined),
    flame: flame === undefined || main === undefined ? undefined : { scenario: main, path: flame },
  }
}

/** Each scenario with each store, number of rows and number of connections. */
function cross(
  chosen: readonly Scenario[],
  { connections, rows = [0], stores = ['sqlite'] }: Partial<BenchOptions>,
): readonly PlacedStep[] {
  return stores.flatMap((store) =>
    rows.flatMap((count) =>
      chosen.flatMap((scenario) =>
        (connections ?? [scenario.connections]).map((each) => {
          return { scenario, store, rows: count, connections: each }
        }),
      ),
    ),
  )
}

/** Every scenario once; of the rest only what can differ: connections, rows and stores for the plainest scenarios. */
function fullSteps(all: ReadonlyMap<string, Scenario>): readonly PlacedStep[] {
  const named = (...names: readonly string[]): readonly Scenario[] =>
    names.flatMap((name) => all.get(name) ?? [])
  const others = fullConnections.filter((each) => each !== 64)
  return [
    ...cross([...all.values()], {}),
    ...cross(named('csr-rsa-seen'), { connections: others }),
    ...cross(named('csr-rsa-seen', 'csr-rsa-new'), { rows: fullRows }),
    ...cross(named('csr-rsa-seen', 'csr-rsa-new'), { stores: ['postgres'] }),
    ...cross(named('csr-rsa-seen', 'csr-rsa-new'), { stores: ['postgres'], rows: fullRows }),
  ]
}

function stagesOf(steps: readonly PlacedStep[]): readonly Stage[] {
  const stages = new Map<string, Place & { steps: Step[] }>()
  for (const { store, rows, scenario, connections } of steps) {
    const { endEntityKeyKind } = scenario
    const key = `${store} ${rows} ${endEntityKeyKind}`
    const stage = stages.get(key) ?? { store, rows, endEntityKeyKind, steps: [] }
    stage.steps.push({ scenario, connections })
    stages.set(key, stage)
  }
  return [...stages.values()]
}
