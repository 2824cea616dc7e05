import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createFairQueue, QueueFullError, type FairQueueLimits } from '../../plugins/fair-queue.ts'

const never = new AbortController().signal

/** A queue whose work ends when the test says so, and the order in which it began. */
function setUp(limits: FairQueueLimits) {
  const queue = createFairQueue(limits)
  const begun: string[] = []
  const ends = new Map<string, () => void>()
  const run = (key: string, name: string, signal = never): Promise<string> =>
    queue
      .run(key, signal, async () => {
        begun.push(name)
        await new Promise<void>((resolve) => ends.set(name, resolve))
        return name
      })
      .catch((error: unknown) => (error instanceof QueueFullError ? error.code : 'left'))
  const end = async (name: string): Promise<void> => {
    ends.get(name)?.()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { queue, begun, run, end }
}

describe('the fair queue', () => {
  test('one key never has more than its part of the places, and others are let in meanwhile', async () => {
    const { begun, run } = setUp({ parallel: 2, parallelPerKey: 1, waiting: 10, waitingPerKey: 10 })
    void run('a', 'a1')
    void run('a', 'a2')
    void run('b', 'b1')
    expect(begun).toEqual(['a1', 'b1'])
  })

  test('the key with the least under way goes next, however long the queue of another is', async () => {
    const { begun, run, end } = setUp({
      parallel: 2,
      parallelPerKey: 2,
      waiting: 99,
      waitingPerKey: 99,
    })
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) void run('a', name)
    void run('b', 'b1')
    await end('a1')
    expect(begun).toEqual(['a1', 'a2', 'b1'])
    await end('a2')
    expect(begun).toEqual(['a1', 'a2', 'b1', 'a3'])
  })

  test('a full queue refuses at once: of one key, and of all', async () => {
    const { run } = setUp({ parallel: 1, parallelPerKey: 1, waiting: 2, waitingPerKey: 1 })
    void run('a', 'a1')
    void run('a', 'a2')
    expect(await run('a', 'a3')).toBe('key_full')
    void run('b', 'b1')
    expect(await run('c', 'c1')).toBe('queue_full')
  })

  test('whoever leaves makes room, and is never begun', async () => {
    const { queue, begun, run, end } = setUp({
      parallel: 1,
      parallelPerKey: 1,
      waiting: 1,
      waitingPerKey: 1,
    })
    const leaving = new AbortController()
    void run('a', 'a1')
    const gone = run('b', 'b1', leaving.signal)
    leaving.abort()
    expect(await gone).toBe('left')
    expect(queue.waiting).toBe(0)
    void run('c', 'c1')
    await end('a1')
    expect(begun).toEqual(['a1', 'c1'])
  })

  test('work that fails gives its place back', async () => {
    const { queue } = setUp({ parallel: 1, parallelPerKey: 1, waiting: 0, waitingPerKey: 0 })
    const failing = queue.run('a', never, () => Promise.reject(new Error('broken')))
    await expect(failing).rejects.toThrow('broken')
    expect(queue.running).toBe(0)
    expect(await queue.run('a', never, async () => 'done')).toBe('done')
  })

  test('whatever comes in whatever order: within the limits, and all that was let in is done', async () => {
    const limits = fc.record({
      parallel: fc.integer({ min: 1, max: 4 }),
      parallelPerKey: fc.integer({ min: 1, max: 3 }),
      waiting: fc.integer({ min: 0, max: 6 }),
      waitingPerKey: fc.integer({ min: 0, max: 4 }),
    })
    const keys = fc.array(fc.constantFrom('a', 'b', 'c'), { maxLength: 30 })
    await fc.assert(
      fc.asyncProperty(limits, keys, async (given, asked) => {
        const queue = createFairQueue(given)
        const underWay = new Map<string, number>()
        const outcomes = await Promise.all(
          asked.map((key) =>
            queue
              .run(key, never, async () => {
                underWay.set(key, (underWay.get(key) ?? 0) + 1)
                expect(underWay.get(key)).toBeLessThanOrEqual(given.parallelPerKey)
                expect(queue.running).toBeLessThanOrEqual(given.parallel)
                expect(queue.waiting).toBeLessThanOrEqual(given.waiting)
                await new Promise((resolve) => setImmediate(resolve))
                underWay.set(key, (underWay.get(key) ?? 0) - 1)
                return 'done'
              })
              .catch((error: unknown) => (error instanceof QueueFullError ? error.code : error)),
          ),
        )
        for (const outcome of outcomes)
          expect(['done', 'key_full', 'queue_full']).toContain(outcome)
        expect([queue.running, queue.waiting]).toEqual([0, 0])
      }),
      { numRuns: 200 },
    )
  })
})
