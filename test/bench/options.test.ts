import { CommanderError } from 'commander'
import { describe, expect, test } from 'vitest'
import { type BenchOptions, readOptions } from '../../bench/options.ts'
import { planRun } from '../../bench/plan.ts'
import { STARTS } from '../../bench/starts.ts'
import { scenarios } from '../../bench/scenarios/all.ts'

const names = ['one', 'two']

function read(words: readonly string[]): { options?: BenchOptions; out: string; code: number } {
  let out = ''
  const write = (text: string): void => void (out += text)
  try {
    const output = { write, writeError: write }
    return { options: readOptions(words, { names, output }), out, code: 0 }
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return { out, code: error.exitCode }
  }
}

test('without options', () => {
  expect(read([]).options).toEqual({
    full: false,
    peers: false,
    only: undefined,
    connections: undefined,
    rows: undefined,
    stores: undefined,
    seconds: 4,
    rounds: 3,
    identities: 20,
    csrs: 16,
    fromSources: false,
    json: undefined,
    markdown: undefined,
    chart: undefined,
    flame: undefined,
  })
})

test('lists', () => {
  const words = ['--only', 'two,one', '--connections', '1,64', '--rows', '0,5']
  expect(read([...words, '--store', 'postgres,sqlite']).options).toMatchObject({
    only: ['two', 'one'],
    connections: [1, 64],
    rows: [0, 5],
    stores: ['postgres', 'sqlite'],
  })
})

const invalid = (option: string, argument: string, why: string): string =>
  `error: option '${option}' argument '${argument}' is invalid. ${why}\n`

test.for([
  ['--seconds', '0', invalid('--seconds <number>', '0', '"0" must be an integer from 1 to 3600.')],
  [
    '--seconds',
    '2.5',
    invalid('--seconds <number>', '2.5', '"2.5" must be an integer from 1 to 3600.'),
  ],
  ['--rounds', '', invalid('--rounds <number>', '', '"" must be an integer from 1 to 99.')],
  [
    '--connections',
    '1,,2',
    invalid('--connections <numbers>', '1,,2', '"" must be an integer from 1 to 10000.'),
  ],
  [
    '--rows',
    '-1',
    invalid('--rows <numbers>', '-1', '"-1" must be an integer from 0 to 100000000.'),
  ],
  [
    '--only',
    'one,three',
    invalid('--only <names>', 'one,three', '"three" must be one of: one, two.'),
  ],
  [
    '--store',
    'mysql',
    invalid('--store <kinds>', 'mysql', '"mysql" must be one of: sqlite, postgres.'),
  ],
] as const)('%s %s is refused', ([option, argument, message]) => {
  expect(read([option, argument])).toEqual({ out: message, code: 1 })
})

test.for([
  [['--frobnicate'], "error: unknown option '--frobnicate'\n"],
  [['10'], 'error: too many arguments. Expected 0 arguments but got 1.\n'],
  [['--json'], "error: option '--json <file>' argument missing\n"],
] as const)('%j is refused', ([words, message]) => {
  expect(read(words)).toEqual({ out: message, code: 1 })
})

test('--help names each option and scenario', () => {
  const { out, code } = read(['--help'])
  expect(code).toBe(0)
  const options = ['full', 'peers', 'only', 'connections', 'rows', 'store', 'seconds', 'rounds']
  for (const name of [
    ...options,
    'identities',
    'csrs',
    'from-sources',
    'json',
    'markdown',
    'chart',
    'flame',
  ])
    expect(out).toContain(`--${name}`)
  expect(out).toContain('Scenarios: one, two.')
})

describe('the plan', () => {
  const plan = (...words: readonly string[]) => {
    const output = { write: () => undefined, writeError: () => undefined }
    const options = readOptions(words, { names: [...scenarios.keys(), STARTS], output })
    const { stages, peers, starts } = planRun(options, scenarios)
    const shown = stages.map(({ store, rows, endEntityKeyKind, steps }) => {
      const each = steps.map(({ scenario, connections }) => `${scenario.name}:${connections}`)
      return `${store} ${rows} ${endEntityKeyKind} ${each.join(' ')}`
    })
    return { shown, peers, starts }
  }

  test('is the quick set, with one start of the service for each kind of EEC', () => {
    expect(plan()).toEqual({
      shown: [
        'sqlite 0 rsa-2048 csr-rsa-seen:64 csr-rsa-new:64 keys:8 get-proxy:64',
        'sqlite 0 ec-p256 csr-p256-seen:64 csr-p256-new:64',
      ],
      peers: false,
      starts: true,
    })
  })

  test('has the starts if nothing or they are selected', () => {
    expect(plan('--only', STARTS)).toEqual({ shown: [], peers: false, starts: true })
    expect(plan('--only', 'keys').starts).toBe(false)
    expect(plan('--full').starts).toBe(true)
  })

  test('is all combinations of what is selected', () => {
    const words = ['--only', 'csr-rsa-seen', '--store', 'sqlite,postgres', '--rows', '0,9']
    expect(plan(...words, '--connections', '1,2').shown).toEqual([
      'sqlite 0 rsa-2048 csr-rsa-seen:1 csr-rsa-seen:2',
      'sqlite 9 rsa-2048 csr-rsa-seen:1 csr-rsa-seen:2',
      'postgres 0 rsa-2048 csr-rsa-seen:1 csr-rsa-seen:2',
      'postgres 9 rsa-2048 csr-rsa-seen:1 csr-rsa-seen:2',
    ])
  })

  test('is every scenario with --full, with the peers', () => {
    const { shown, peers } = plan('--full')
    expect(peers).toBe(true)
    for (const name of scenarios.keys()) expect(shown.join(' ')).toContain(name)
    const rows = shown.map((line) => line.split(' ').slice(0, 2).join(' '))
    for (const place of ['sqlite 2000000', 'postgres 0', 'postgres 100000', 'postgres 2000000'])
      expect(rows).toContain(place)
    for (const count of [1, 16, 256]) expect(shown[0]).toContain(`csr-rsa-seen:${count}`)
  })

  test('has the peers alone only if asked for', () => {
    expect(plan('--full', '--only', 'keys').peers).toBe(false)
    expect(plan('--peers', '--only', 'csr-rsa-new').peers).toBe(true)
  })
})
