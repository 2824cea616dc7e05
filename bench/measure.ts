/** Measures one workload in rounds: the raw rate, the target, and what it is compared with, in turn. */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Target } from './programs.ts'
import { probe } from './probe.ts'
import { usageOf } from './process-cpu.ts'
import { medianRate, type RawMeter, type RawRate, type RawWork } from './raw.ts'
import { writeRequests } from './requests.ts'
import type { Workload } from './scenarios/scenario.ts'
import { median, sum } from './statistics.ts'
import { type Load, type LoadResult, RequestsRanOut, runWrk } from './wrk.ts'

export interface Settings {
  readonly directory: string
  readonly meter: RawMeter
  readonly rawWork: RawWork | undefined
  readonly connections: number
  readonly seconds: number
  readonly rounds: number
  /** Shown while the run goes on. */
  readonly say: (text: string) => void
}

/** Rates and CPU times of what is compared, medians of the rounds. */
export interface Reference {
  readonly perSecond: number
  readonly cpuMs: number
}

/** Medians of the rounds, unless it says otherwise. */
export interface Measured {
  readonly perSecond: number
  /** Of the target with all its processes, for each answer. */
  readonly cpuMs: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly p999Ms: number
  /** The largest of the rounds. */
  readonly rssBytes: number
  readonly processes: number
  readonly answerBytes: number
  /** Sums over the rounds. */
  readonly succeeded: number
  readonly failed: number
  readonly firstFailure: string | undefined
  /** Measured before and after each round. */
  readonly raw: RawRate | undefined
  /** Rate over the raw rate of the same round. */
  readonly ofRaw: number | undefined
  /** CPU time beyond that of the raw work. */
  readonly beyondMs: number | undefined
  readonly reference: Reference | undefined
}

interface Round {
  readonly result: LoadResult
  readonly cpuMs: number
  readonly rssBytes: number
  readonly processes: number
  readonly raw: RawRate | undefined
  readonly reference: Reference | undefined
}

/** Of a round; a raw rate is measured before and after each. */
const RAW_PART = 0.25
/** V8 compiles the code that is run most for about as long. With short rounds, four times their length. */
const WARM_UP_SECONDS = 15
const REFERENCE_SECONDS = 2
/** More requests than the estimated rate needs, because a warm program may get faster. */
const SPARE = 1.5

export async function measure(workload: Workload, settings: Settings): Promise<Measured> {
  const [measured] = await measureInTurn([workload], settings)
  if (measured === undefined) throw new Error('nothing was measured')
  return measured
}

/**
 * Measures several workloads, one round of each after the other: what else happens on the machine meanwhile meets all
 * of them alike.
 */
export async function measureInTurn(
  workloads: readonly Workload[],
  settings: Settings,
): Promise<readonly Measured[]> {
  const ready: Ready[] = []
  try {
    for (const workload of workloads) ready.push(await prepare(workload, settings))
    const raw = rawOf(settings)
    let rawBefore = await raw()
    for (let index = 0; index < settings.rounds; index += 1)
      for (const { workload, warm, reference, rounds } of ready) {
        const measured = await runRepeatedly(workload, settings, warm.perSecond * SPARE)
        const rawAfter = await raw()
        const compared = reference && (await runReference(reference, workload, settings))
        rounds.push({ ...measured, raw: meanRate(rawBefore, rawAfter), reference: compared })
        rawBefore = rawAfter
      }
    return ready.map(({ rounds }) => summarise(rounds))
  } finally {
    for (const { reference } of ready) await reference?.stop()
  }
}

/** A workload whose target is warm, and what it is compared with. */
interface Ready {
  readonly workload: Workload
  readonly warm: LoadResult
  readonly reference: Target | undefined
  readonly rounds: Round[]
}

async function prepare(workload: Workload, settings: Settings): Promise<Ready> {
  const [first] = workload.warmUp ?? (await workload.make(1))
  if (first) await probe(workload.target.url, first, workload.expectedStatus ?? 200)
  const warm = await warmUp(workload, settings)
  const reference = await workload.startReference?.(warm.answerBytes)
  try {
    // Not counted: loads the code.
    if (reference) await runReference(reference, workload, settings)
  } catch (error) {
    await reference?.stop()
    throw error
  }
  return { workload, warm, reference, rounds: [] }
}

const rawOf =
  ({ meter, rawWork, seconds }: Settings) =>
  async (): Promise<RawRate | undefined> =>
    rawWork && meter.measure(rawWork, seconds * RAW_PART)

const meanRate = (one: RawRate | undefined, other: RawRate | undefined): RawRate | undefined =>
  // The median of two is their mean.
  one && other && medianRate([one, other])

/** Lets the target load its code and make its EECs, and shows how fast it is. */
async function warmUp(workload: Workload, settings: Settings): Promise<LoadResult> {
  const { meter } = settings
  if (workload.mayRepeat || workload.warmUp !== undefined) {
    const requests = workload.warmUp ?? (await workload.make(0))
    const load = await loadOf({ ...workload, mayRepeat: true }, settings, requests)
    const seconds = Math.min(WARM_UP_SECONDS, settings.seconds * 4)
    const first = await runWrk({ ...load, seconds })
    const half = Math.ceil(seconds / 2)
    const second = await runWrk({ ...load, seconds: half })
    await settle(workload.target)
    const perSecond = Math.max(first.perSecond, second.perSecond)
    // The requests that may repeat do not run all the code.
    if (!workload.mayRepeat)
      await runRepeatedly(workload, { ...settings, seconds: half }, perSecond * SPARE)
    return { ...second, perSecond }
  }
  // Each answer needs a signature, so there are no more answers than these.
  const seconds = Math.min(WARM_UP_SECONDS, settings.seconds)
  const { perSecond } = await meter.measure('rsa-2048 signature', seconds * RAW_PART)
  return (await runRepeatedly(workload, { ...settings, seconds }, perSecond)).result
}

/** How often a round is repeated because the target was faster than estimated. */
const REPETITIONS = 3

/** Runs a round; when its requests run out, once more with twice as many, all of them new. */
async function runRepeatedly(
  workload: Workload,
  settings: Settings,
  perSecond: number,
): Promise<Omit<Round, 'raw' | 'reference'>> {
  for (let repetition = 0; ; repetition += 1) {
    const load = await prepareLoad(workload, settings, perSecond * 2 ** repetition)
    try {
      return await runRound(workload.target, load)
    } catch (error) {
      if (!(error instanceof RequestsRanOut) || repetition === REPETITIONS) throw error
      settings.say(`${error.message}: this round is repeated with twice as many`)
      await settle(workload.target)
    }
  }
}

async function prepareLoad(
  workload: Workload,
  settings: Settings,
  perSecond: number,
): Promise<Load> {
  const count = Math.ceil(perSecond * settings.seconds) + settings.connections
  return loadOf(workload, settings, await workload.make(count))
}

async function loadOf(
  { target, mayRepeat, expectedStatus }: Workload,
  { directory, connections, seconds }: Settings,
  requests: readonly Buffer[],
): Promise<Load> {
  const requestsFile = join(directory, mayRepeat ? 'requests' : 'requests-once')
  await writeRequests(requestsFile, requests)
  return { url: target.url, requestsFile, connections, seconds, mayRepeat, expectedStatus }
}

async function runRound(target: Target, load: Load): Promise<Omit<Round, 'raw' | 'reference'>> {
  const before = usageOf(target.pid)
  const result = await runWrk(load)
  const { cpuSeconds, rssBytes, processes } = usageOf(target.pid)
  await settle(target)
  const cpuMs = ((cpuSeconds - before.cpuSeconds) * 1000) / result.succeeded
  return { result, cpuMs, rssBytes, processes }
}

/** Sends the same load to the reference; the requests of the warm-up have the same sizes and may repeat. */
async function runReference(
  reference: Target,
  workload: Workload,
  settings: Settings,
): Promise<Reference> {
  const requests = workload.warmUp ?? (await workload.make(0))
  const seconds = Math.min(REFERENCE_SECONDS, settings.seconds)
  // Where wrk reads the answers of the target, it reads these, too.
  const expectedStatus = workload.expectedStatus && 200
  const compared = { ...workload, target: reference, mayRepeat: true, expectedStatus }
  const load = await loadOf(compared, { ...settings, seconds }, requests)
  const { result, cpuMs } = await runRound(reference, load)
  if (result.failed > 0) throw new Error(`the reference failed: ${result.firstFailure ?? ''}`)
  return { perSecond: result.perSecond, cpuMs }
}

const SETTLE_STEP_MS = 100
const SETTLE_TIMEOUT_MS = 10_000

/** Waits until the target is idle: at the end of a load it still works on requests that nobody waits for. */
async function settle({ pid }: Target): Promise<void> {
  const end = performance.now() + SETTLE_TIMEOUT_MS
  let before = usageOf(pid).cpuSeconds
  while (performance.now() < end) {
    await delay(SETTLE_STEP_MS)
    const { cpuSeconds } = usageOf(pid)
    if (cpuSeconds - before < (SETTLE_STEP_MS / 1000) * 0.2) return
    before = cpuSeconds
  }
}

function summarise(rounds: readonly Round[]): Measured {
  const medianOf = (of: (round: Round) => number | undefined): number =>
    median(rounds.flatMap((round) => of(round) ?? []))
  const last = rounds.at(-1)
  const hasRaw = last?.raw !== undefined
  return {
    perSecond: medianOf(({ result }) => result.perSecond),
    cpuMs: medianOf(({ cpuMs }) => cpuMs),
    p50Ms: medianOf(({ result }) => result.p50Ms),
    p99Ms: medianOf(({ result }) => result.p99Ms),
    p999Ms: medianOf(({ result }) => result.p999Ms),
    rssBytes: Math.max(...rounds.map(({ rssBytes }) => rssBytes)),
    processes: Math.max(...rounds.map(({ processes }) => processes)),
    answerBytes: medianOf(({ result }) => result.answerBytes),
    succeeded: sum(rounds.map(({ result }) => result.succeeded)),
    failed: sum(rounds.map(({ result }) => result.failed)),
    firstFailure: rounds.find(({ result }) => result.firstFailure !== undefined)?.result
      .firstFailure,
    raw: hasRaw ? medianRate(rounds.flatMap(({ raw }) => raw ?? [])) : undefined,
    ofRaw: hasRaw
      ? medianOf(({ result, raw }) => raw && result.perSecond / raw.perSecond)
      : undefined,
    beyondMs: hasRaw ? medianOf(({ cpuMs, raw }) => raw && cpuMs - raw.cpuMs) : undefined,
    reference: last?.reference && {
      perSecond: medianOf(({ reference }) => reference?.perSecond),
      cpuMs: medianOf(({ reference }) => reference?.cpuMs),
    },
  }
}
