/**
 * `npm run test:chaos`: the whole system under load and real faults, an hour long, and a report of one page.
 *
 *     TTS_CHAOS_MINUTES=3    how long faults go on; default 60
 *     TTS_CHAOS_SEED=17      repeats the choice of faults; the default is random, and printed
 *     TTS_CHAOS_REPORT=FILE  writes the report there, too
 *     TTS_CHAOS_LOGS=DIR     leaves the logs of all programs there
 *     TTS_CHAOS_QUICK=1      each kind of fault once, in order; `chaos.test.ts` does this
 *
 * What runs: `system.ts`. What clients do: `load/`. What breaks: `faults/`, one file for each kind. What must hold:
 * `invariants.ts`. The exit status is 0 if all invariants held, 1 if not or if the suite itself failed, and 128 and
 * the number of the signal if it was interrupted; then what is there is judged all the same.
 *
 * Everything runs in namespaces of its own if the host allows it (root): packets are dropped and small disks are full
 * only there, and nothing stays behind. Where it does not, those faults are not run, and the report says so.
 *
 * Every program is killed while it works, and every kind of fault is healed after some seconds; a supervisor starts
 * killed processes again, and nobody else helps. Left out on purpose: a provider that rotates refresh tokens without
 * grace and whose answer is lost (`provider.ts`).
 */
import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { collectFindings } from './collect.ts'
import { newEvidence, type Recovery } from './evidence.ts'
import { allFaults, chooseFaults, inject } from './faults/choice.ts'
import { makeDelegations } from './load/delegations.ts'
import { startChaosLoad } from './load/load.ts'
import { isInside, type Machine, prepareMachine, runInside } from './machine.ts'
import { type Plan, readPlan, seededRandom } from './plan.ts'
import { untilServing } from './recovery.ts'
import { type Report, reportOf } from './report.ts'
import { type ChaosSystem, renewers, startSystem } from './system.ts'

/** One at each installation: a refresh costs a process. */
const PROBED = [renewers.replicas[0], renewers.single[0]] as readonly string[]
const PROGRESS_MS = 30_000
/** Recoveries that take longer are printed with what was missing at last. */
const SLOW_MS = 15_000
const say = (text: string): void => void process.stdout.write(`${text}\n`)

if (isInside()) process.exit(await runHere(readPlan(process.env)))
else process.exitCode = await runInside(import.meta.filename)

/** Starts the system, breaks it, and reports. Returns the exit code. */
async function runHere(plan: Plan): Promise<number> {
  const machine = prepareMachine()
  const interruption = watchInput()
  say(`TTS_CHAOS_SEED=${plan.seed}`)
  try {
    const system = await startSystem(machine, interruption)
    try {
      const { text, isGood } = await breakAndJudge({ plan, machine, system, interruption })
      say(`\n${text}`)
      if (plan.reportFile !== undefined) writeFileSync(plan.reportFile, text)
      return isGood ? 0 : 1
    } finally {
      await system.stop()
    }
  } catch (error) {
    say(`the suite failed: ${error instanceof Error ? error.stack : String(error)}`)
    return 1
  } finally {
    const { logDirectory } = plan
    if (logDirectory !== undefined) cpSync(machine.logs, logDirectory, { recursive: true })
    // Whoever started us does it, too, but may be dead.
    rmSync(machine.directory, { recursive: true, force: true })
  }
}

/** The end of standard input means that whoever started us wants to stop, or is dead. */
function watchInput(): AbortSignal {
  const interruption = new AbortController()
  process.stdin.once('close', () => interruption.abort(new Error('interrupted')))
  process.stdin.resume()
  return interruption.signal
}

interface Parts {
  readonly plan: Plan
  readonly machine: Machine
  readonly system: ChaosSystem
  readonly interruption: AbortSignal
}

async function breakAndJudge({ plan, machine, system, interruption }: Parts): Promise<Report> {
  const random = seededRandom(plan.seed)
  const evidence = newEvidence()
  const delegations = await makeDelegations(system)
  const load = await startChaosLoad({ system, evidence, random, delegations })
  const { context } = load
  const probed = delegations.filter(({ username }) => PROBED.includes(username))
  const probes = { context, delegations: probed, isStopped: () => interruption.aborted }
  await untilServing(probes, 'start', performance.now())

  const begun = performance.now()
  const minutes = (): number => (performance.now() - begun) / 60_000
  const recoveries: Recovery[] = []
  const kills = new Map<string, number>()
  const progress = setInterval(() => {
    const killed = [...kills.values()].reduce((sum, count) => sum + count, 0)
    const received = `${evidence.grants.length} credentials`
    say(`${minutes().toFixed(1)} min: ${recoveries.length} rounds, ${killed} kills, ${received}`)
  }, PROGRESS_MS)
  const faults = allFaults(system)
  for (const chosen of chooseFaults(faults, plan, random)) {
    if (interruption.aborted || (!plan.quick && minutes() > plan.minutes)) break
    const { name, healedAt } = await inject(chosen, { random, kills, quick: plan.quick })
    const recovery = await untilServing(probes, name, healedAt)
    if (!interruption.aborted) recoveries.push(recovery)
    if (recovery.milliseconds === undefined || recovery.milliseconds > SLOW_MS)
      say(`slow: ${name}, ${recovery.milliseconds} ms; at last ${recovery.lastProblem}`)
    await sleep(random.whole(0, 500))
  }
  clearInterval(progress)
  const lasted = minutes()
  await load.end()

  const findings = await collectFindings({ context, delegations, recoveries })
  return reportOf({
    plan,
    minutes: lasted,
    kills,
    findings,
    evidence,
    notPossible: Object.entries(machine.missing).map(([kind, why]) => `faults of ${kind}: ${why}`),
    refusedByProvider: system.watched.refusedAsUnknown.length,
    cutShort: interruption.aborted ? 'it was interrupted' : undefined,
  })
}
