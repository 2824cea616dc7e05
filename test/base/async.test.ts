import { expect, test } from 'vitest'
import {
  createMutex,
  createPendingAnswers,
  createSingleFlight,
  retryFor,
  unlessAborted,
  withinTime,
} from '../../src/base/async.ts'

const turn = () => new Promise((resolve) => setImmediate(resolve))
const never = new Promise<never>(() => undefined)

test('a promise in time gives its own outcome, a late one the error', async () => {
  const late = () => new Error('late')
  expect(await withinTime(Promise.resolve(1), 60_000, late)).toBe(1)
  await expect(withinTime(Promise.reject(new Error('own')), 60_000, late)).rejects.toThrow('own')
  await expect(withinTime(never, 1, late)).rejects.toThrow('late')
})

test('an aborted wait gives the reason of the signal, or the one given', async () => {
  expect(await unlessAborted(Promise.resolve(1), undefined)).toBe(1)
  await expect(unlessAborted(never, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop')
  const controller = new AbortController()
  const waiting = unlessAborted(never, controller.signal, () => new Error('ours'))
  controller.abort()
  await expect(waiting).rejects.toThrow('ours')
})

test('callers during a run share its outcome; the next one starts a run', async () => {
  const flight = createSingleFlight<number>()
  let runs = 0
  const work = async () => {
    await turn()
    return ++runs
  }
  expect(await Promise.all([flight.run(work), flight.run(work)])).toEqual([1, 1])
  expect(flight.current).toBeUndefined()
  expect(await flight.run(work)).toBe(2)
})

test('a mutex lets one caller at a time work, in order, also after a failure', async () => {
  const mutex = createMutex()
  const log: string[] = []
  const work = (name: string) =>
    mutex.run(async () => {
      log.push(`${name} begins`)
      await turn()
      log.push(`${name} ends`)
      if (name === 'b') throw new Error('b failed')
    })
  expect(mutex.isBusy).toBe(false)
  const outcomes = Promise.allSettled([work('a'), work('b'), work('c')])
  expect(mutex.isBusy).toBe(true)
  expect((await outcomes).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'fulfilled',
  ])
  expect(log).toEqual(['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends'])
  expect(mutex.isBusy).toBe(false)
})

test('answers find their questions by number', async () => {
  const pending = createPendingAnswers<string>()
  const ids: number[] = []
  const asked = [1, 2, 3].map(() => pending.ask((id) => ids.push(id)))
  expect(pending.size).toBe(3)
  const [first = 0, second = 0, third = 0] = ids
  pending.settle(second, 'two')
  pending.settle(first, new Error('one failed'))
  pending.settle(first, 'too late')
  pending.settle(third + 1, 'nobody asked')
  expect(await asked[1]).toBe('two')
  await expect(asked[0]).rejects.toThrow('one failed')
  expect(pending.size).toBe(1)
  pending.rejectAll(new Error('closed'))
  await expect(asked[2]).rejects.toThrow('closed')
  expect(pending.size).toBe(0)
})

test('a question that cannot be sent does not wait for an answer', async () => {
  const pending = createPendingAnswers<string>()
  const broken = pending.ask(() => {
    throw new Error('the channel is closed')
  })
  await expect(broken).rejects.toThrow('the channel is closed')
  expect(pending.size).toBe(0)
})

test('an attempt is made again until it gives a value, fails, or the time has passed', async () => {
  const pauses = { milliseconds: 60_000, firstPauseMs: 1, longestPauseMs: 2 }
  let attempts = 0
  expect(await retryFor(() => (++attempts === 3 ? 'third' : undefined), pauses)).toBe('third')
  expect(attempts).toBe(3)
  const fails = () => Promise.reject(new Error('no'))
  await expect(retryFor(fails, pauses)).rejects.toThrow('no')
  expect(await retryFor(() => undefined, { ...pauses, milliseconds: 5 })).toBeUndefined()
})
