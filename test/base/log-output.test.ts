/** What happens to the log when its reader is slow or gone, or when a line cannot be written. */
import { Writable } from 'node:stream'
import { expect, test } from 'vitest'
import { createLogOutput } from '../../src/base/log-output.ts'

/** A stream like standard output, which Node never really destroys; `fault` makes its writes fail. */
class StandardOutput extends Writable {
  readonly lines: string[] = []
  writes = 0
  fault: string | undefined
  isStuck = false
  #resume = (): void => undefined

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    if (this.fault !== undefined) {
      done(Object.assign(new Error('cannot write'), { code: this.fault }))
      return
    }
    this.lines.push(...String(chunk).trimEnd().split('\n'))
    this.writes += 1
    if (this.isStuck) this.#resume = done
    else done()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    done(error)
    Reflect.apply(Reflect.get(this, '_undestroy') as () => void, this, [])
  }

  resume(): void {
    this.isStuck = false
    this.#resume()
  }
}

const dropped = (lines: number, more: object = {}) => ({
  event: 'log.dropped',
  level: 'warn',
  name: 'test',
  lines,
  ...more,
})
const parsed = (stream: StandardOutput): unknown[] =>
  stream.lines.map((line) => JSON.parse(line) as unknown)
const ticks = async (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

test('a full disk loses lines, not the log', async () => {
  const stream = new StandardOutput()
  const output = createLogOutput(stream, { name: 'test' })
  output.write('{"n":1}\n')
  await ticks()
  stream.fault = 'ENOSPC'
  output.write('{"n":2}\n')
  output.write('{"n":3}\n')
  await ticks()
  // The report cannot be written either, and its number is kept.
  output.write('{"n":4}\n')
  await ticks()
  stream.fault = undefined
  output.write('{"n":5}\n')
  expect(await output.flush(1000)).toBe(true)
  expect(parsed(stream)).toMatchObject([{ n: 1 }, dropped(3, { code: 'ENOSPC' }), { n: 5 }])
})

test('a reader that goes away ends the log', async () => {
  const stream = new StandardOutput()
  const output = createLogOutput(stream, { name: 'test' })
  stream.fault = 'EPIPE'
  output.write('{"n":1}\n')
  await ticks()
  stream.fault = undefined
  output.write('{"n":2}\n')
  expect(await output.flush(1000)).toBe(true)
  expect(stream.lines).toEqual([])
})

test('a destroyed stream ends the log', async () => {
  const stream = new Writable({ write: (_chunk, _encoding, done) => done(new Error('gone')) })
  const output = createLogOutput(stream, { name: 'test' })
  output.write('{"n":1}\n')
  await ticks()
  output.write('{"n":2}\n')
  expect(await output.flush(1000)).toBe(true)
})

test('lines that were dropped just before the end are reported', async () => {
  const stream = new StandardOutput()
  const output = createLogOutput(stream, { name: 'test', maxQueuedBytes: 16 })
  stream.isStuck = true
  for (const n of [1, 2, 3, 4]) output.write(`{"n":${n}}\n`)
  const flushed = output.flush(5000)
  stream.resume()
  expect(await flushed).toBe(true)
  expect(parsed(stream)).toMatchObject([{ n: 1 }, { n: 2 }, dropped(2)])
})

test('lines of one turn of the event loop are written together, at the end of the process too', async () => {
  const stream = new StandardOutput()
  const output = createLogOutput(stream, { name: 'test' })
  for (const n of [1, 2, 3]) output.write(`{"n":${n}}\n`)
  expect(stream.writes).toBe(0)
  await ticks()
  expect(stream.writes).toBe(1)
  output.write('{"n":4}\n')
  process.listeners('exit').at(-1)?.(0)
  expect(parsed(stream)).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }, { n: 4 }])
})
