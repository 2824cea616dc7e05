import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, test } from 'vitest'
import { createKeyThreads, type KeyThreads } from '../../src/signing/key-threads.ts'
import { programPath } from '../support/programs.ts'

const opened: KeyThreads[] = []
const workers: Worker[] = []
afterEach(async () => {
  for (const threads of opened.splice(0)) threads.close()
  await Promise.all(workers.splice(0).map(async (worker) => worker.terminate()))
})

function open(start: () => Worker, idleMs?: number): KeyThreads {
  const threads = createKeyThreads({
    start: () => {
      const worker = start()
      workers.push(worker)
      return worker
    },
    ...(idleMs === undefined ? {} : { idleMs }),
  })
  opened.push(threads)
  return threads
}
const real = (): Worker => new Worker(programPath('src/signing/key-thread.ts'))
/** A thread whose body is this JavaScript, with `port` at hand. */
const acting = (body: string) => (): Worker =>
  new Worker(`const { parentPort: port } = require('node:worker_threads')\n${body}`, { eval: true })

describe('key threads', () => {
  test('make keys of the kinds that are asked for, each another one', async () => {
    const threads = open(real)
    const kinds = ['rsa-2048', 'rsa-3072', 'rsa-2048'] as const
    const keys = await Promise.all(kinds.map(async (kind) => threads.make(kind)))
    expect(keys.map(({ asymmetricKeyDetails: details }) => details)).toMatchObject([
      { modulusLength: 2048, publicExponent: 65537n },
      { modulusLength: 3072, publicExponent: 65537n },
      { modulusLength: 2048, publicExponent: 65537n },
    ])
    const [first, , third] = keys
    expect(third !== undefined && first?.equals(third)).toBe(false)
    expect(workers).toHaveLength(3)
    await threads.make('rsa-2048')
    expect(workers).toHaveLength(3)
  })

  test.runIf(process.platform === 'linux')(
    'have a lower priority than all other threads of the process',
    async () => {
      // proc(5): the nice value is the 19th field, the 17th after the name in parentheses.
      const niceOf = (task: string): number =>
        Number(
          readFileSync(`/proc/self/task/${task}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[16],
        )
      const before = new Set(readdirSync('/proc/self/task'))
      const others = [...before].map(niceOf)
      await open(real).make('rsa-2048')
      const added = readdirSync('/proc/self/task').filter((task) => !before.has(task))
      const own = Math.max(...others)
      expect(added.map(niceOf)).toContain(10)
      expect(own).toBeLessThan(10)
      const unchanged = readdirSync('/proc/self/task').filter((task) => before.has(task))
      expect(Math.max(...unchanged.map(niceOf))).toBe(own)
    },
  )

  test('make keys also where no thread may lower its priority', async () => {
    const forbid = `import os from 'node:os'
      import { syncBuiltinESMExports } from 'node:module'
      os.setPriority = () => { throw new Error('EPERM') }
      syncBuiltinESMExports()`
    const execArgv = ['--import', `data:text/javascript,${encodeURIComponent(forbid)}`]
    const threads = open(() => new Worker(programPath('src/signing/key-thread.ts'), { execArgv }))
    await expect(threads.make('rsa-2048')).resolves.toMatchObject({ type: 'private' })
  })

  test('one that ends refuses its caller, and the next caller gets another one', async () => {
    const bodies = ["port.on('message', () => process.exit(1))", undefined]
    const threads = open(() => {
      const body = bodies.shift()
      return body === undefined ? real() : acting(body)()
    })
    await expect(threads.make('rsa-2048')).rejects.toMatchObject({
      code: 'overloaded',
      check: 'key_thread',
      retryAfterSeconds: 1,
    })
    await expect(threads.make('rsa-2048')).resolves.toMatchObject({ type: 'private' })
  })

  test('one that throws refuses its caller', async () => {
    const threads = open(acting("port.on('message', () => { throw new Error('broken') })"))
    await expect(threads.make('rsa-2048')).rejects.toMatchObject({
      check: 'key_thread',
      cause: { message: 'broken' },
    })
  })

  test('a failure of OpenSSL is the cause of the refusal', async () => {
    const threads = open(
      acting("port.on('message', () => port.postMessage({ problem: 'no entropy' }))"),
    )
    await expect(threads.make('rsa-2048')).rejects.toMatchObject({
      check: 'key_thread',
      cause: { message: 'no entropy' },
    })
  })

  test('end after they were idle for a while', async () => {
    const threads = open(acting("port.on('message', () => port.postMessage({ key: {} }))"), 20)
    await threads.make('rsa-2048')
    const [worker] = workers
    const ended = new Promise((resolve) => worker?.once('exit', resolve))
    await ended
    await threads.make('rsa-2048')
    expect(workers).toHaveLength(2)
  })

  test('closing refuses a caller who waits', async () => {
    const threads = open(acting("port.on('message', () => undefined)"))
    const waiting = threads.make('rsa-2048')
    const refused = expect(waiting).rejects.toMatchObject({ check: 'key_thread' })
    await sleep(5)
    threads.close()
    await refused
  })
})
