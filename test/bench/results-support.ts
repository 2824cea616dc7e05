/** Results of an imagined run, for the tests of its reports. */
import type { Measured } from '../../bench/measure.ts'
import type { Result, Results } from '../../bench/results.ts'

export function measured(changes: Partial<Measured> = {}): Measured {
  return {
    perSecond: 1000,
    cpuMs: 1,
    p50Ms: 60,
    p99Ms: 90.04,
    p999Ms: 120,
    rssBytes: 200e6,
    processes: 1,
    answerBytes: 4000,
    succeeded: 12_000,
    failed: 0,
    firstFailure: undefined,
    raw: { perSecond: 2000, cpuMs: 0.5, cpuShare: 1 },
    ofRaw: 0.5,
    beyondMs: 0.5,
    reference: { perSecond: 16_000, cpuMs: 0.06 },
    ...changes,
  }
}

export function result(changes: Partial<Result> = {}): Result {
  const name = changes.name ?? 'csr-rsa-seen'
  return {
    name,
    title: `title of ${name}`,
    isPeer: false,
    store: 'sqlite',
    rows: 0,
    connections: 64,
    measured: measured(),
    ...changes,
  }
}

export function resultsOf(results: readonly Result[], changes: Partial<Results> = {}): Results {
  return {
    machine: {
      cpu: 'Imagined CPU',
      cores: 2,
      memoryGib: 16,
      hasIfma: false,
      node: 'v24.0.0',
      openssl: '3.5.0',
      kernel: '6.12.0',
    },
    startedAt: '2026-11-01T12:00:00.000Z',
    seconds: 4,
    rounds: 3,
    identities: 20,
    raw: {
      'rsa-2048 signature': { perSecond: 2000, cpuMs: 1, cpuShare: 1 },
      'ec-p256 signature': { perSecond: 40_000, cpuMs: 0.05, cpuShare: 1 },
      'rsa-2048 key pair': { perSecond: 30, cpuMs: 66, cpuShare: 1 },
    },
    results,
    starts: [],
    skipped: [],
    errors: [],
    ...changes,
  }
}
