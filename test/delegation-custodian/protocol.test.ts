import { randomBytes } from 'node:crypto'
import { PassThrough } from 'node:stream'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { messageOf, onLines } from '../../src/delegation-custodian/protocol.ts'
import { tellError, toldError } from '../../src/told-error.ts'
import { TtsError } from '../../src/errors.ts'

async function linesOf(chunks: readonly Uint8Array[]): Promise<readonly string[]> {
  const stream = new PassThrough()
  const lines: string[] = []
  onLines(stream, (line) => lines.push(line))
  for (const chunk of chunks) stream.write(chunk)
  stream.end()
  await new Promise((resolve) => stream.once('close', resolve))
  return lines
}

describe('lines', () => {
  test('come whole, however they are cut', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'binary' })),
        fc.integer({ min: 1, max: 9 }),
        async (texts, size) => {
          const bytes = Buffer.from(texts.map((text) => `${JSON.stringify(text)}\n`).join(''))
          const chunks = Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
            bytes.subarray(index * size, (index + 1) * size),
          )
          const heard = (await linesOf(chunks)).map((line) => JSON.parse(line) as string)
          expect(heard).toEqual(texts.map((text) => text.toWellFormed()))
        },
      ),
      { numRuns: 50 },
    )
  })

  test('what was cut short by a kill is nothing', async () => {
    expect(await linesOf([Buffer.from('{"id":1}\n{"id":2')])).toEqual(['{"id":1}'])
  })

  test('a line without end is not kept for ever', async () => {
    const stream = new PassThrough()
    onLines(stream, () => undefined)
    stream.write('x'.repeat(5 * 1024 * 1024))
    await new Promise((resolve) => stream.once('close', resolve))
    expect(stream.destroyed).toBe(true)
  })
})

describe('errors', () => {
  test('arrive as they left', () => {
    const error = new TtsError('grant_refused', 'the AUP is not signed', {
      check: 'aup',
      remedy: 'sign it',
      retryAfterSeconds: 7,
      cause: new Error('invalid_grant'),
    })
    const arrived = toldError(JSON.parse(JSON.stringify(tellError(error))) as never)
    expect(arrived).toMatchObject({
      code: 'grant_refused',
      message: 'the AUP is not signed',
      check: 'aup',
      remedy: 'sign it',
      retryAfterSeconds: 7,
    })
    expect((arrived.cause as Error).message).toBe('Error: invalid_grant')
  })

  test('of others tell callers nothing, and the log no secret', () => {
    const secret = randomBytes(16).toString('hex')
    const told = tellError(new Error(`refresh_token=${secret}&client_secret=${secret}`))
    expect(told).toMatchObject({ code: 'internal', message: 'the custodian failed' })
    expect(JSON.stringify(told)).not.toContain(secret)
  })
})

test.for(['', 'Debugger attached.', '{', '1', 'null', '[]', '{}', '{"id":1}', '{"answer":true}'])(
  'what a library prints is no message: %s',
  (line) => {
    expect(messageOf(line)).toBeUndefined()
  },
)

test.for(['{"id":1,"answer":{}}', '{"failed":{"code":"internal","message":"x"}}'])(
  'a message: %s',
  (line) => {
    expect(messageOf(line)).toEqual(JSON.parse(line))
  },
)
