/** Whether everything serves, and how long it takes until it does again. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Recovery } from './evidence.ts'
import { send } from './http.ts'
import type { LoadContext } from './load/client.ts'
import { type HeldDelegation, renewOnce } from './load/delegations.ts'
import { askForProxy } from './load/proxies.ts'

/** A fault that is not overcome by then is a violation. */
const LIMIT_MS = 180_000
const PROBE_MS = 5000

export interface Probes {
  readonly context: LoadContext
  readonly delegations: readonly HeldDelegation[]
  /** Aborted when the run is to end early. */
  readonly isStopped: () => boolean
}

/** Asks everybody until everybody has served since `from`, a reading of `performance.now()`. */
export async function untilServing(probes: Probes, fault: string, from: number): Promise<Recovery> {
  let waiting = allProbes(probes)
  let lastProblem = ''
  for (;;) {
    const problems = await Promise.all(waiting.map(async (probe) => problemOf(probe)))
    waiting = waiting.filter((_, index) => problems[index] !== undefined)
    if (waiting.length > 0)
      lastProblem = problems.filter((problem) => problem !== undefined).join('; ')
    const milliseconds = performance.now() - from
    if (waiting.length === 0) return { fault, milliseconds, lastProblem }
    if (milliseconds > LIMIT_MS || probes.isStopped())
      return { fault, milliseconds: undefined, lastProblem }
    await sleep(100)
  }
}

interface Probe {
  readonly name: string
  readonly ask: () => Promise<{ readonly status: number; readonly body: string }>
}

async function problemOf({ name, ask }: Probe): Promise<string | undefined> {
  try {
    const { status, body } = await ask()
    return status === 200 ? undefined : `${name}: ${status} ${body.slice(0, 200)}`
  } catch (error) {
    return `${name}: ${String(error)}`
  }
}

function allProbes({ context, delegations }: Probes): readonly Probe[] {
  const { system } = context
  const timeoutMs = PROBE_MS
  return [
    ...system.replicas.all.map(({ url }, index) => ({
      name: `replica ${index}`,
      ask: async () => send({ url }, '/readyz', { timeoutMs }),
    })),
    ...(['replicas', 'single'] as const).map((installation) => ({
      name: `proxy from ${installation}`,
      ask: async () => (await askForProxy(context, installation, 'probe')).answer,
    })),
    ...delegations.map((held) => ({
      name: `renewal for ${held.username}`,
      ask: async () => renewOnce(context, held, timeoutMs),
    })),
    ...system.certcaches.map(({ name, target }) => ({
      name,
      ask: async () => send(target, '/get_proxy', { timeoutMs }),
    })),
  ]
}
