/** `kill -9` of every kind of process. Processes are started again half a second later, as a unit would be. */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { helperProgram } from '../../../src/refresh-helper/helper-process.ts'
import { ask } from '../../support/postgres.ts'
import type { ChaosSystem, VictimKind } from '../system.ts'
import type { Fault } from './fault.ts'

const heal = async (): Promise<void> => undefined

/** How many are killed in a round, one after the other: the more of a kind there are, the more of them. */
const KILLED: Readonly<Record<VictimKind, readonly [least: number, most: number]>> = {
  replica: [2, 7],
  'single service': [1, 4],
  certcache: [3, 10],
  HAProxy: [1, 5],
  PostgreSQL: [1, 2],
  standby: [1, 2],
}
/** Between two of them. Killed ones are started again after half a second: some die while they start. */
const PAUSE_MS = [300, 1000] as const

export function kills(system: ChaosSystem): readonly Fault[] {
  const ofProcesses = Object.keys(KILLED).map((kind) => killOf(system, kind as VictimKind))
  return [...ofProcesses, backendKill(system), helperKill(system)]
}

function killOf({ victims }: ChaosSystem, kind: VictimKind): Fault {
  return {
    name: `kill -9: ${kind}`,
    kind: 'kill',
    async inject(random) {
      let killed = 0
      const wanted = random.whole(...KILLED[kind])
      for (let round = 0; round < wanted; round += 1) {
        if (await random.pick(victims[kind]).kill()) killed += 1
        await sleep(random.whole(...PAUSE_MS))
      }
      return killed
    },
    heal,
  }
}

/** One process of PostgreSQL dies: the server ends all others and recovers. */
function backendKill({ pair }: ChaosSystem): Fault {
  return {
    name: 'kill -9: PostgreSQL backend',
    kind: 'kill',
    async inject(random) {
      const sql = 'select pid from pg_stat_activity where datname is not null and pid <> $1'
      const rows = await ask(pair.first.url('postgres'), sql, [0]).catch(() => [])
      if (rows.length === 0) return 0
      return killPid((random.pick(rows) as { readonly pid: number }).pid)
    },
    heal,
  }
}

const HELPERS = { wanted: 6, lookForMs: 4000, finishMs: 700 }

/**
 * Helpers die while the provider has their request and has not processed it. The moment between the provider's answer
 * and the helper's write is left out: what dies then is lost with a provider that rotates without grace.
 */
function helperKill({ machine, watched }: ChaosSystem): Fault {
  return {
    name: 'kill -9: refresh helper',
    kind: 'kill',
    isAlone: true,
    async inject() {
      watched.hold()
      // Those whose answers are on their way write them meanwhile.
      await sleep(HELPERS.finishMs)
      let killed = 0
      const end = performance.now() + HELPERS.lookForMs
      while (killed < HELPERS.wanted && performance.now() < end) {
        for (const pid of helpersIn(machine.directory)) killed += killPid(pid)
        await sleep(30)
      }
      // The provider must see that the clients are gone.
      await sleep(200)
      return killed
    },
    heal: async () => watched.release(),
  }
}

/** Process ids of the refresh helpers whose spool is in the directory. */
function helpersIn(directory: string): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      const words = commandLine(pid)
      return words.includes(helperProgram) && words.includes(directory)
    })
    .map(Number)
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}

function killPid(pid: number): number {
  try {
    process.kill(pid, 'SIGKILL')
    return 1
  } catch {
    return 0
  }
}
