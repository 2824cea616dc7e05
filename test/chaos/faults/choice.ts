/** Which faults come next, and how a round of them goes. */
import { setTimeout as sleep } from 'node:timers/promises'
import { TOGETHER } from '../evidence.ts'
import type { Plan, Random } from '../plan.ts'
import type { ChaosSystem } from '../system.ts'
import { wrongClocks } from './clocks.ts'
import { fullDisks } from './disks.ts'
import { canBeCombined, type Fault } from './fault.ts'
import { kills as killFaults } from './kills.ts'
import { blackHoles } from './networks.ts'
import { badProviders } from './providers.ts'

/** Those that this host allows. */
export function allFaults(system: ChaosSystem): readonly Fault[] {
  return [
    ...killFaults(system),
    ...fullDisks(system),
    ...wrongClocks(system),
    ...badProviders(system),
    ...blackHoles(system),
  ]
}

/** Of ten rounds, so many begin with a kill, and so many have a second fault. */
const KILLS_OF_TEN = 7
const COMBINED_OF_TEN = 3
const OTHER_KINDS = ['disk', 'clock', 'provider', 'network'] as const

/** What breaks in each round, without end; of a quick run, one or two faults of each kind. */
export function* chooseFaults(
  faults: readonly Fault[],
  { quick }: Plan,
  random: Random,
): Generator<readonly Fault[]> {
  if (quick) {
    yield* quickRounds(faults)
    return
  }
  const ofKind = (kind: Fault['kind']): readonly Fault[] =>
    faults.filter((fault) => fault.kind === kind)
  const otherKinds = OTHER_KINDS.filter((kind) => ofKind(kind).length > 0)
  for (;;) {
    const isKill = random.whole(1, 10) <= KILLS_OF_TEN
    const first = random.pick(ofKind(isKill ? 'kill' : random.pick(otherKinds)))
    const fitting = faults.filter((fault) => canBeCombined(first, fault))
    const isCombined = fitting.length > 0 && random.whole(1, 10) <= COMBINED_OF_TEN
    yield isCombined ? [first, random.pick(fitting)] : [first]
  }
}

const QUICK = [
  ['kill -9: replica'],
  ['kill -9: PostgreSQL backend', 'disk full: services'],
  ['kill -9: certcache', 'clock step: one process'],
  ['provider: connection refused'],
  ['network cut: everybody and the database'],
]

function quickRounds(faults: readonly Fault[]): readonly (readonly Fault[])[] {
  const known = (name: string): readonly Fault[] => faults.filter((fault) => fault.name === name)
  return QUICK.map((names) => names.flatMap(known)).filter(({ length }) => length > 0)
}

/** Longest time that something stays broken, in milliseconds. */
const LONGEST_MS = 4000
const QUICK_MS = 1000

/** Breaks, waits, heals. Returns when everything was whole again. */
export async function inject(
  chosen: readonly Fault[],
  run: { readonly random: Random; readonly kills: Map<string, number>; readonly quick: boolean },
): Promise<{ readonly name: string; readonly healedAt: number }> {
  const { random, kills, quick } = run
  const begun: Fault[] = []
  try {
    for (const fault of chosen) {
      begun.push(fault)
      const killed = await fault.inject(random)
      if (killed > 0) kills.set(fault.name, (kills.get(fault.name) ?? 0) + killed)
    }
    // A kill needs no time: what follows is the recovery.
    if (chosen.some(({ kind }) => kind !== 'kill'))
      await sleep(random.whole(500, quick ? QUICK_MS : LONGEST_MS))
  } finally {
    for (const fault of begun) await fault.heal()
  }
  return {
    name: chosen.map(({ name }) => name).join(TOGETHER),
    healedAt: performance.now(),
  }
}
