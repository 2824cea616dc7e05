import { expect, test } from 'vitest'
import type { Result, Results, StartName } from '../../bench/results.ts'
import { judge, type Verdict, OWN_BESIDE_PEERS } from '../../bench/targets.ts'
import { measured, result, resultsOf } from './results-support.ts'

/** The verdict on the one target whose text matches. */
function verdictOn(
  text: RegExp,
  results: readonly Result[],
  changes: Partial<Results> = {},
): Pick<Verdict, 'wanted' | 'value' | 'verdict'> {
  const found = judge(resultsOf(results, changes)).filter(({ target }) => text.test(target))
  expect(found.map(({ target }) => target)).toHaveLength(1)
  const [
    { wanted, value, verdict } = { wanted: '', value: undefined, verdict: 'missed' as const },
  ] = found
  return { wanted, value: value === undefined ? value : Number(value.toFixed(3)), verdict }
}

const machine = { ...resultsOf([]).machine, hasIfma: true }
const withMeasured = (name: string, changes: Parameters<typeof measured>[0]): Result =>
  result({ name, measured: measured(changes) })

test.for([
  [0.5, { value: 8.333, verdict: 'ok' }],
  [0.6, { value: 10, verdict: 'ok' }],
  [0.61, { value: 10.167, verdict: 'missed' }],
] as const)('%s ms beyond the signature against 0.06 ms', ([beyondMs, verdict]) => {
  const found = verdictOn(/^CPU beyond/, [withMeasured('csr-rsa-seen', { beyondMs })])
  expect(found).toMatchObject({ wanted: '≤ 10', ...verdict })
})

test('a new token each time may cost more', () => {
  const results = [withMeasured('csr-rsa-new', { beyondMs: 0.66 })]
  const expected = { wanted: '≤ 12', value: 11, verdict: 'ok' }
  expect(verdictOn(/^the same, a new token/, results)).toEqual(expected)
})

test.for([
  ['without AVX-512 IFMA', {}, { wanted: '≥ 0.6', value: 0.5, verdict: 'missed' }],
  ['with AVX-512 IFMA', { machine }, { wanted: '≥ 0.45', value: 0.5, verdict: 'ok' }],
] as const)('the bound of the rate depends on the machine: %s', ([text, changes, expected]) => {
  const target = new RegExp(`over raw signatures.*${text}`)
  expect(verdictOn(target, [result()], changes)).toEqual(expected)
})

test('P-256 over RSA takes each rate over the raw rate of its rounds', () => {
  const results = [
    withMeasured('csr-rsa-seen', { ofRaw: 0.5 }),
    withMeasured('csr-p256-seen', { ofRaw: 0.06 }),
  ]
  // 0.06 of 40,000 is 2,400, and 0.5 of 2,000 is 1,000.
  const expected = { wanted: '≥ 2', value: 2.4, verdict: 'ok' }
  expect(verdictOn(/^P-256/, results)).toEqual(expected)
})

test('the faster and the leaner peer count', () => {
  const peer = (name: string, perSecond: number, cpuMs: number): Result =>
    result({ name, isPeer: true, store: undefined, measured: measured({ perSecond, cpuMs }) })
  const results = [
    // Not measured in turn with them.
    withMeasured('csr-rsa-new', { perSecond: 9000, cpuMs: 0.1 }),
    withMeasured(OWN_BESIDE_PEERS, { perSecond: 800, cpuMs: 1 }),
    peer('step-ca', 400, 2.5),
    peer('fulcio', 500, 2),
  ]
  expect(verdictOn(/faster peer/, results)).toEqual({
    wanted: '≥ 1.8',
    value: 1.6,
    verdict: 'missed',
  })
  expect(verdictOn(/leaner peer/, results)).toEqual({ wanted: '≤ 0.55', value: 0.5, verdict: 'ok' })
})

test('keys, cache and latency', () => {
  const results = [
    result(),
    result({ name: 'keys', connections: 8, measured: measured({ ofRaw: 0.95 }) }),
    withMeasured('get-proxy', { raw: undefined, perSecond: 8000 }),
  ]
  expect(verdictOn(/^keys/, results)).toMatchObject({ value: 0.95, verdict: 'ok' })
  expect(verdictOn(/nginx/, results)).toMatchObject({ value: 0.5, verdict: 'missed' })
  expect(verdictOn(/^p99 over p50/, results)).toMatchObject({ value: 1.501, verdict: 'ok' })
})

test('rows are compared within a store', () => {
  const results = [
    result({ measured: measured({ ofRaw: 0.5 }) }),
    result({ rows: 2_000_000, measured: measured({ ofRaw: 0.48 }) }),
    result({ store: 'postgres', rows: 2_000_000, measured: measured({ ofRaw: 0.1 }) }),
  ]
  expect(verdictOn(/over none, sqlite/, results)).toMatchObject({ value: 0.96, verdict: 'ok' })
  expect(verdictOn(/over none, postgres/, results)).toMatchObject({ verdict: 'not measured' })
})

test.for([
  [1000, 300, 'ok'],
  [1001, 301, 'missed'],
] as const)('starts within %s and %s ms: %s', ([service, certcache, verdict]) => {
  const start = (name: StartName, ms: number) => ({ name, ms, cpuMs: 1, rssBytes: 1 })
  const starts = [start('tts-serve', service), start('certcache-serve', certcache)]
  for (const [text, ms] of [
    [/tts serve/, service],
    [/certcache from/, certcache],
  ] as const)
    expect(verdictOn(text, [], { starts })).toMatchObject({ value: ms / 1000, verdict })
})

test('other connections, stores and rows do not stand for a scenario', () => {
  const results = [result({ connections: 1 }), result({ store: 'postgres' }), result({ rows: 5 })]
  const verdicts = judge(resultsOf(results)).map(({ verdict }) => verdict)
  expect(new Set(verdicts)).toEqual(new Set(['not measured']))
})
