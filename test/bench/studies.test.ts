/** The studies beside the benchmark: their sums, and one short run of each. */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { CrlResults } from '../../bench/crl-report.ts'
import { memoryGrowth, type Minute, type SoakResults } from '../../bench/soak-report.ts'
import { slope } from '../../bench/statistics.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath } from '../support/programs.ts'

const rounds = (count: number, rssOf: (index: number) => number): readonly Minute[] =>
  Array.from({ length: count }, (_, index) => ({
    issued: (index + 1) * 50_000,
    perSecond: 800,
    p50Ms: 1,
    p99Ms: 2,
    failed: 0,
    loopMaxMs: 1,
    heapBytes: 50e6,
    rssBytes: rssOf(index),
    databaseBytes: 1,
  }))

test.for([
  {
    name: 'a line',
    points: [
      [0, 1],
      [1, 3],
      [2, 5],
    ],
    expected: 2,
  },
  {
    name: 'points around a line',
    points: [
      [0, 1],
      [0, -1],
      [4, 5],
      [4, 3],
    ],
    expected: 1,
  },
  { name: 'no points', points: [], expected: Number.NaN },
  { name: 'one point', points: [[1, 1]], expected: Number.NaN },
] as { name: string; points: [number, number][]; expected: number }[])(
  'the slope of $name',
  ({ points, expected }) => {
    expect(slope(points)).toBe(expected)
  },
)

test('memory that grows only while the service warms up is steady', () => {
  const minutes = rounds(20, (index) => (index < 5 ? 300e6 + index * 40e6 : 500e6))
  expect(memoryGrowth(minutes)).toEqual({ rss: 0, heap: 0, rounds: 15 })
})

test('a leak is told in MB for 100,000 proxies', () => {
  expect(memoryGrowth(rounds(20, (index) => 300e6 + index * 5e6))?.rss).toBeCloseTo(10)
})

test('too few rounds give no verdict', () => {
  expect(memoryGrowth(rounds(4, () => 1))).toBeUndefined()
})

describeWithTools('the studies', ['wrk'], () => {
  async function study<Results>(name: string, words: readonly string[]): Promise<Results> {
    const directory = mkdtempSync(join(tmpdir(), 'tts-study-test-'))
    try {
      const files = ['--json', join(directory, 'r.json'), '--markdown', join(directory, 'r.md')]
      const quick = ['--from-sources', '--seconds', '1', '--connections', '4']
      const program = programPath(`bench/${name}.ts`)
      const child = spawn(process.execPath, [program, ...quick, ...words, ...files], {
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let out = ''
      let err = ''
      child.stdout.setEncoding('utf8').on('data', (text: string) => void (out += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => void (err += text))
      const [code] = (await once(child, 'close')) as [unknown]
      expect(code, err).toBe(0)
      expect(out.trim()).toBe(readFileSync(join(directory, 'r.md'), 'utf8').trim())
      return JSON.parse(readFileSync(join(directory, 'r.json'), 'utf8')) as Results
    } finally {
      rmSync(directory, { recursive: true, force: true })
    }
  }

  test('a long CRL is made, served and made again under load', async () => {
    const results = await study<CrlResults>('crl', ['--count', '3000'])
    expect(results).toMatchObject({ entries: 3000, makings: { length: 8 } })
    // Each entry has at least its serial number of 16 octets and its date.
    expect(results.crlBytes).toBeGreaterThan(3000 * 33)
    expect(results.served.whole).toMatchObject({ failed: 0 })
    expect(results.served.whole.answerBytes).toBeGreaterThan(results.crlBytes)
    expect(results.served.unchanged).toMatchObject({ failed: 0 })
    expect(results.served.unchanged.answerBytes).toBeLessThan(2000)
    expect(results.proxies.made).toBeGreaterThanOrEqual(3)
    expect(results.crlNumber).toBeGreaterThan(8)
    for (const load of [...results.proxies.without, ...results.proxies.during])
      expect(load).toMatchObject({ failed: 0 })
  })

  test('proxies are issued until there are enough', async () => {
    const { minutes } = await study<SoakResults>('soak', ['--count', '20'])
    const last = minutes.at(-1)
    expect(last?.issued).toBeGreaterThanOrEqual(20)
    expect(last).toMatchObject({ failed: 0 })
    for (const name of ['heapBytes', 'rssBytes', 'databaseBytes'] as const)
      expect(last?.[name]).toBeGreaterThan(100_000)
  })
})
