import { expect, test } from 'vitest'
import { parseWrkOutput } from '../../bench/wrk.ts'

const line = (changes: string = ''): string =>
  `Running 1s test @ http://127.0.0.1:1\n  1 threads and 4 connections\n\nbench-result requests=1000 microseconds=2000000 bytes=4000000 wrong=0 status=0 socket=0 timeout=0 p50=1500 p99=2500 p99.9=3000 max=4000${changes}\n`

test('reads the last lines of requests.lua', () => {
  expect(parseWrkOutput(line())).toEqual({
    succeeded: 1000,
    failed: 0,
    firstFailure: undefined,
    seconds: 2,
    perSecond: 500,
    answerBytes: 4000,
    p50Ms: 1.5,
    p99Ms: 2.5,
    p999Ms: 3,
  })
})

test.for([
  ['answers with another status, counted by the script', 'wrong=10 status=4', 990, 10],
  ['answers with another status, counted by wrk', 'wrong=0 status=4', 996, 4],
  ['broken connections and timeouts', 'wrong=0 status=0 socket=2 timeout=3', 1000, 5],
] as const)('%s are failures', ([, fields, succeeded, failed]) => {
  const names = fields.replace(/=\d+/g, '').split(' ').join('|')
  const text = line().replace(new RegExp(` (${names})=\\d+`, 'g'), '')
  const output = text.replace(' p50=', ` ${fields} p50=`)
  expect(parseWrkOutput(output)).toMatchObject({ succeeded, failed, perSecond: succeeded / 2 })
})

test('keeps the first failure', () => {
  const output = `${line()}bench-failure 503 {"detail":"too many requests"}\n`
  expect(parseWrkOutput(output).firstFailure).toBe('503 {"detail":"too many requests"}')
})

test('refuses output without a result', () => {
  expect(() => parseWrkOutput('unable to connect\n')).toThrow(
    'wrk printed no result:\nunable to connect\n',
  )
})
