import { once } from 'node:events'
import type { RequestListener, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { MAX_OPEN_REQUESTS } from '../../src/http/message-classes.ts'
import { listen } from '../../src/http/server.ts'
import { createLog } from '../../src/base/log.ts'

const log = createLog({ level: 'error', name: 'test', destination: { write: () => undefined } })

/** A server, and what its limits closed. */
async function start(app: RequestListener) {
  const closed: string[] = []
  const limits = { total: Infinity, perAddress: Infinity, isTrustedProxy: () => false }
  const listening = await listen(app, {
    host: '127.0.0.1',
    port: 0,
    tls: undefined,
    requestTimeoutMs: 5000,
    connections: { ...limits, onClosed: (reason) => closed.push(reason) },
    log,
  })
  onTestFinished(() => listening.close(1000))
  return { url: listening.url, closed }
}

async function connectTo(url: string): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port: Number(new URL(url).port) })
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

const requests = (count: number, lines = ''): string =>
  `GET /many HTTP/1.1\r\nHost: tts.test\r\n${lines}\r\n`.repeat(count)

test.for([
  { name: 'one too many', count: MAX_OPEN_REQUESTS + 1, lines: '' },
  { name: 'thousands', count: 20_000, lines: '' },
  { name: 'one too many, with Expect', count: MAX_OPEN_REQUESTS + 1, lines: 'Expect: x\r\n' },
  { name: 'one too many, with Upgrade', count: MAX_OPEN_REQUESTS + 1, lines: 'Upgrade: h2c\r\n' },
])('requests that are not answered, $name: the connection ends', async ({ count, lines }) => {
  const open: ServerResponse[] = []
  const { url, closed } = await start((_request, response) => void open.push(response))
  const socket = await connectTo(url)
  socket.write(requests(count, lines))
  await new Promise((resolve) => socket.once('close', resolve))
  expect(open.length).toBeLessThanOrEqual(MAX_OPEN_REQUESTS)
  expect(closed).toEqual(['pipelined'])
  // Nobody else is shut out.
  const next = await connectTo(url)
  const before = open.length
  next.write(requests(1))
  await expect.poll(() => open.length).toBe(before + 1)
  open.at(-1)?.end('ok')
  expect(String(await once(next, 'data'))).toMatch(/^HTTP\/1\.1 200 /)
})

test('as many as may be open, again and again, are all answered', async () => {
  let answered = 0
  const { url, closed } = await start((_request, response) => {
    response.end('ok', () => (answered += 1))
  })
  const socket = await connectTo(url)
  socket.resume()
  for (let round = 1; round <= 5; round += 1) {
    socket.write(requests(MAX_OPEN_REQUESTS))
    await expect.poll(() => answered).toBe(MAX_OPEN_REQUESTS * round)
  }
  expect(closed).toEqual([])
})
