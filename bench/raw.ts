/** Measures what the machine can do at all: signatures and key pairs a second on all cores, with node:crypto. */
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { median, sum } from './statistics.ts'

export type RawWork = 'rsa-2048 signature' | 'ec-p256 signature' | 'rsa-2048 key pair'

/** What a thread is told to do. */
export interface RawOrder {
  readonly kind: RawWork
  readonly seconds: number
}

/** What a thread did. */
export interface RawCount {
  readonly count: number
  readonly elapsedSeconds: number
  readonly cpuSeconds: number
}

export interface RawRate {
  /** On all cores together. */
  readonly perSecond: number
  /** CPU time of one, while all cores work. */
  readonly cpuMs: number
  /** Part of the cores' time that the threads got. Less than 1: other programs use the machine. */
  readonly cpuShare: number
}

export interface RawMeter {
  measure(kind: RawWork, seconds: number): Promise<RawRate>
  close(): Promise<void>
}

/** Starts one thread for each core; they sleep until `measure`. */
export async function startRawMeter(): Promise<RawMeter> {
  const program = new URL('./raw-thread.ts', import.meta.url)
  const threads = Array.from({ length: availableParallelism() }, () => new Worker(program))
  const run = async (order: RawOrder): Promise<readonly RawCount[]> =>
    Promise.all(
      threads.map(async (thread) => {
        const answer = once(thread, 'message')
        thread.postMessage(order)
        return ((await answer) as [RawCount])[0]
      }),
    )
  // Not counted: loads the code.
  await run({ kind: 'rsa-2048 signature', seconds: 0.2 })
  return {
    measure: async (kind, seconds) => rateOf(await run({ kind, seconds })),
    close: async () => {
      await Promise.all(threads.map((thread) => thread.terminate()))
    },
  }
}

function rateOf(counts: readonly RawCount[]): RawRate {
  const perSecond = sum(counts.map(({ count, elapsedSeconds }) => count / elapsedSeconds))
  const cpuSeconds = sum(counts.map((each) => each.cpuSeconds))
  return {
    perSecond,
    cpuMs: (cpuSeconds * 1000) / sum(counts.map(({ count }) => count)),
    cpuShare: cpuSeconds / sum(counts.map(({ elapsedSeconds }) => elapsedSeconds)),
  }
}

const kinds: readonly RawWork[] = ['rsa-2048 signature', 'ec-p256 signature', 'rsa-2048 key pair']

/** All kinds in turn, medians of three: what later figures are compared with. */
export async function measureRawRates(
  meter: RawMeter,
  seconds: number,
): Promise<Readonly<Record<RawWork, RawRate>>> {
  const found = new Map<RawWork, RawRate[]>(kinds.map((kind) => [kind, []]))
  for (let round = 0; round < 3; round += 1)
    for (const kind of kinds) found.get(kind)?.push(await meter.measure(kind, seconds))
  return Object.fromEntries(
    kinds.map((kind) => [kind, medianRate(found.get(kind) ?? [])]),
  ) as Record<RawWork, RawRate>
}

export const medianRate = (rates: readonly RawRate[]): RawRate => ({
  perSecond: median(rates.map(({ perSecond }) => perSecond)),
  cpuMs: median(rates.map(({ cpuMs }) => cpuMs)),
  cpuShare: median(rates.map(({ cpuShare }) => cpuShare)),
})
