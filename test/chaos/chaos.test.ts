/** The suite of `npm run test:chaos` with one or two faults of each kind; and that it ends when it is told to. */
import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { describeWithTools } from '../support/grid-tools.ts'
import { programPath, type Started, startProgram } from '../support/programs.ts'
import { secretIn } from './collect.ts'
import type { Fault } from './faults/fault.ts'
import { canBeCombined } from './faults/fault.ts'
import { chooseFaults } from './faults/choice.ts'
import { readPlan, seededRandom } from './plan.ts'

const start = (environment: Record<string, string>): Started =>
  startProgram(programPath('test/chaos/main.ts'), [], { env: environment })
const directories = (): readonly string[] =>
  readdirSync(tmpdir()).filter((name) => name.startsWith('tts-chaos-'))

describeWithTools('the system under faults', ['postgresql', 'haproxy', 'openssl'], () => {
  test('one of each kind: all invariants hold', { timeout: 400_000 }, async () => {
    const { ended, stdout, stderr } = start({ TTS_CHAOS_QUICK: '1', TTS_CHAOS_SEED: '1' })
    expect(await ended, `${stdout()}\n${stderr()}`).toBe(0)
    const report = stdout().slice(stdout().indexOf('# Chaos'))
    process.stdout.write(`${report}\n`)
    expect(report).toContain('All invariants held.')
    // Clients of each kind received something: else nothing was tested.
    for (const way of ['CSR', 'key of the service', 'WaTTS', 'delegation', 'file of certcache'])
      expect(report).toMatch(new RegExp(`${way} \\((replicas|single)\\): [1-9]`))
  })

  test(
    'interrupted while it starts, it ends and leaves nothing',
    { timeout: 200_000 },
    async () => {
      const before = directories()
      const { child, ended, says, stdout } = start({ TTS_CHAOS_QUICK: '1' })
      await says(/TTS_CHAOS_SEED=\d+/)
      await sleep(1000)
      child.kill('SIGTERM')
      expect(await ended, stdout()).toBe(143)
      expect(directories()).toEqual(before)
    },
  )
})

test('the choice of faults is that of the seed, and only fitting ones are combined', () => {
  const kinds: Fault['kind'][] = ['kill', 'disk', 'clock', 'provider', 'network']
  const fault = (kind: Fault['kind'], isAlone?: true): Fault => ({
    name: `${kind}${isAlone ? ' alone' : ''}`,
    kind,
    ...(isAlone && { isAlone }),
    inject: async () => 0,
    heal: async () => undefined,
  })
  const faults = [...kinds.map((kind) => fault(kind)), fault('kill', true)]
  const plan = readPlan({})
  const rounds = (seed: number): readonly (readonly Fault[])[] => {
    const choice = chooseFaults(faults, plan, seededRandom(seed))
    return Array.from({ length: 500 }, () => choice.next().value as readonly Fault[])
  }
  expect(rounds(1)).toEqual(rounds(1))
  expect(rounds(1)).not.toEqual(rounds(2))
  const pairs = rounds(1).filter(({ length }) => length === 2) as [Fault, Fault][]
  expect(pairs.length).toBeGreaterThan(50)
  expect(pairs.filter(([one, other]) => !canBeCombined(one, other))).toEqual([])
  expect(canBeCombined(fault('provider'), fault('network'))).toBe(false)
  expect(canBeCombined(fault('disk'), fault('kill', true))).toBe(false)
  expect(new Set(rounds(1).flat()).size).toBe(faults.length)
})

test.for(['0', '-1', 'an hour'])('TTS_CHAOS_MINUTES=%s is refused', (minutes) => {
  expect(() => readPlan({ TTS_CHAOS_MINUTES: minutes })).toThrow('TTS_CHAOS_MINUTES')
})

test('the search in logs finds each kind of secret, and nothing else', () => {
  const secrets = new Set(['refresh-token-0123456789'])
  const line = (text: string): string => JSON.stringify({ event: 'made', text })
  expect(secretIn(line('-----BEGIN PRIVATE KEY-----'), secrets)).toBe('a private key')
  expect(secretIn(line('Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhIn0.c2ln'), secrets)).toBe('a token')
  expect(secretIn(line('got refresh-token-0123456789.'), secrets)).toMatch(/secret/)
  expect(
    secretIn(line('a request id 0f8fad5b-d9cb-469f-a165-70867728950e'), secrets),
  ).toBeUndefined()
})
