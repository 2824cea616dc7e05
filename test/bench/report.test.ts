import { expect, test } from 'vitest'
import { chartSvg } from '../../bench/chart.ts'
import { markdownTable, replaceBetweenMarkers, withMarkers } from '../../bench/markdown.ts'
import { reportText } from '../../bench/report.ts'
import { measured, result, resultsOf } from './results-support.ts'

const cache = result({ name: 'get-proxy', measured: measured({ raw: undefined, perSecond: 9600 }) })
const peer = result({ name: 'step-ca', isPeer: true, store: undefined })

test('a table is padded, numbers to the right', () => {
  const columns = [
    { head: 'name', cell: ([name]: readonly [string, number]) => name, align: 'left' as const },
    { head: 'n', cell: ([, n]: readonly [string, number]) => String(n) },
  ]
  const rows = [['a', 1] as const, ['longer', 1234] as const]
  expect(markdownTable(columns, rows)).toBe(
    ['| name   |    n |', '| ------ | ---: |', '| a      |    1 |', '| longer | 1234 |'].join('\n'),
  )
})

test('the report has the machine, the results and the verdicts', () => {
  const text = reportText(resultsOf([result(), peer, cache]))
  expect(text).toContain(
    'Machine: Imagined CPU, 2 cores, without AVX-512 IFMA, 16 GiB; Node v24.0.0, OpenSSL 3.5.0, Linux 6.12.0.',
  )
  expect(text).toMatch(/\| rsa-2048 signature +\| +2,000 \| +1\.000 \|/)
  expect(text).toMatch(
    /\| title of csr-rsa-seen +\| SQLite, 0 +\| +64 \| +1,000 \| +0\.50 \| +1\.00 \| +0\.50 \| +8\.3 \| +60\.0 \| +90\.0 \| +120\.0 \| +200 \| +0 \|/,
  )
  expect(text).toMatch(/\| title of get-proxy +\| +64 \| +9,600 \| +16,000 \| +0\.60 \|/)
  expect(text).toMatch(/step-ca\s+serves TLS only/)
  expect(text).toMatch(/\| proxies a second over raw signatures.*\| +≥ 0\.6 \| +0\.50 \| missed/)
  expect(text).not.toMatch(/NaN|undefined|Infinity|busy|failed\*\*/)
})

test('the report has the starts, if they were measured', () => {
  const starts = [
    { name: 'node', ms: 44.04, cpuMs: 40, rssBytes: 0 },
    { name: 'tts-serve', ms: 712.3, cpuMs: 790, rssBytes: 171e6 },
  ] as const
  const text = reportText(resultsOf([result()], { starts }))
  expect(text).toMatch(/\| `node -e 0`, until it ends +\| +44\.0 \| +40\.0 \| +- \|/)
  expect(text).toMatch(/\| `tts serve` with CA .* \| +712 \| +790 \| +171 \|/)
  expect(reportText(resultsOf([result()]))).not.toContain('| start')
})

test('prose fits the documentation', () => {
  const text = reportText(resultsOf([result(), peer, cache], { skipped: ['x '.repeat(100)] }))
  const long = text.split('\n').filter((line) => line.length > 120 && !line.startsWith('|'))
  expect(long).toEqual([])
})

test('failures, a busy machine and what was skipped are in the report', () => {
  const failing = measured({
    failed: 3,
    firstFailure: '503 {"detail":"too `many` requests"}',
    raw: { perSecond: 700, cpuMs: 0.5, cpuShare: 0.34 },
  })
  const changes = { skipped: ['fulcio: no Go'], errors: ['step-ca: it ended'] }
  const text = reportText(resultsOf([result({ measured: failing })], changes))
  expect(text).toContain('**3 answers failed**: title of csr-rsa-seen.')
  expect(text).toContain(`503 {"detail":"too 'many' requests"}`)
  expect(text).toContain('other programs left only 34 % of the cores')
  expect(text).toContain('Skipped: fulcio: no Go.')
  expect(text).toContain('**Broken off**: step-ca: it ended')
})

test('the report replaces what is between the markers, and nothing else', () => {
  const document = `before\n\n${withMarkers('old')}\nafter\n`
  expect(replaceBetweenMarkers(document, 'new\n')).toBe(`before\n\n${withMarkers('new')}\nafter\n`)
  const message = 'the file has no lines <!-- bench: begin --> and <!-- bench: end -->'
  expect(() => replaceBetweenMarkers('nothing', 'new')).toThrow(message)
})

test('the chart has a bar for each comparable rate, in proportion', () => {
  const others = [
    result({ connections: 1, measured: measured({ perSecond: 1 }) }),
    result({ rows: 100_000 }),
    result({ store: 'postgres' }),
  ]
  const keys = result({
    name: 'keys',
    title: 'a < b & c',
    measured: measured({ perSecond: 30.04 }),
  })
  const slower = { ...peer, measured: measured({ perSecond: 500 }) }
  const svg = chartSvg(resultsOf([result(), ...others, keys, slower, cache]))
  const bars = [...svg.matchAll(/<rect x="\d+" y="\d+" width="([\d.]+)" .*?fill="(#\w+)"/g)]
  const colours = { raw: '#8a8f98', ours: '#2563a8', peer: '#c2752b' }
  expect(bars.map(([, width, fill]) => [Number(width), fill])).toEqual([
    [430, colours.raw],
    [215, colours.ours],
    [107.5, colours.peer],
    [6.5, colours.ours],
  ])
  expect(svg).toContain('a &lt; b &amp; c')
  expect(svg).toContain('>30.0<')
  expect(svg).not.toContain('get-proxy')
})
