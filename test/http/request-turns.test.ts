import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import type { ConnectionLimits } from '../../src/http/connections.ts'
import { listen, type Listening } from '../../src/http/server.ts'
import { createLog } from '../../src/log.ts'

const log = createLog({ level: 'error', name: 'test', destination: { write: () => undefined } })
const opened: Socket[] = []
let server: Listening | undefined
afterEach(async () => {
  for (const socket of opened.splice(0)) socket.destroy()
  await server?.close(1000)
})

async function start(app: RequestListener, connections?: ConnectionLimits): Promise<void> {
  server = await listen(app, {
    host: '127.0.0.1',
    port: 0,
    tls: undefined,
    requestTimeoutMs: 5000,
    log,
    ...(connections && { connections }),
  })
}

const unbounded = { total: Infinity, perAddress: Infinity, onClosed: () => undefined }
const clientsConnect: ConnectionLimits = { ...unbounded, isTrustedProxy: () => false }
const proxyConnects: ConnectionLimits = { ...unbounded, isTrustedProxy: () => true }

async function connectFrom(localAddress: string): Promise<Socket> {
  const { port } = new URL(server?.url ?? '')
  const socket = connect({ host: '127.0.0.1', port: Number(port), localAddress })
  opened.push(socket)
  await once(socket, 'connect')
  return socket
}

/** As many requests in one write; their paths say whose they are. */
const requests = (path: string, count: number): string =>
  `GET /${path} HTTP/1.1\r\nHost: tts.test\r\n\r\n`.repeat(count)

/** An app that answers all, and whose requests it was handed, in their order. */
function recorder(): { readonly app: RequestListener; readonly handed: string[] } {
  const handed: string[] = []
  const app: RequestListener = ({ url = '' }, response) => {
    handed.push(url.slice(1))
    response.end('ok')
  }
  return { app, handed }
}

test('one of another address is handed over before fifty that came first', async () => {
  const { app, handed } = recorder()
  await start(app, clientsConnect)
  const many = await connectFrom('127.0.0.1')
  const one = await connectFrom('127.0.0.2')
  many.write(requests('many', 50))
  one.write(requests('one', 1))
  await expect.poll(() => handed.length).toBe(51)
  expect(handed.indexOf('one')).toBeLessThan(10)
})

test('many connections of one address have one turn', async () => {
  const { app, handed } = recorder()
  await start(app, clientsConnect)
  const many = await Promise.all(Array.from({ length: 20 }, () => connectFrom('127.0.0.1')))
  const one = await connectFrom('127.0.0.2')
  for (const socket of many) socket.write(requests('many', 10))
  one.write(requests('one', 3))
  await expect.poll(() => handed.length).toBe(203)
  expect(handed.lastIndexOf('one')).toBeLessThan(100)
})

test('each connection of a reverse proxy has its own turn', async () => {
  const { app, handed } = recorder()
  await start(app, proxyConnects)
  const many = await connectFrom('127.0.0.1')
  const one = await connectFrom('127.0.0.1')
  many.write(requests('many', 50))
  one.write(requests('one', 1))
  await expect.poll(() => handed.length).toBe(51)
  expect(handed.indexOf('one')).toBeLessThan(10)
})

test('requests of one connection keep their order', async () => {
  const { app, handed } = recorder()
  await start(app)
  const socket = await connectFrom('127.0.0.1')
  const paths = Array.from({ length: 40 }, (_, index) => `${index}`)
  socket.write(paths.map((path) => requests(path, 1)).join(''))
  await expect.poll(() => handed.length).toBe(40)
  expect(handed).toEqual(paths)
})

test('requests of a connection that ended meanwhile are not handed over', async () => {
  const handed: IncomingMessage[] = []
  await start((request, response) => {
    handed.push(request)
    if (request.url === '/last') response.end('ok')
    else request.socket.destroy()
  })
  const gone = await connectFrom('127.0.0.1')
  gone.on('error', () => undefined)
  gone.write(requests('gone', 30))
  await once(gone, 'close')
  const last = await connectFrom('127.0.0.1')
  last.write(requests('last', 1))
  await once(last, 'data')
  expect(handed.map(({ url }) => url)).toEqual(['/gone', '/last'])
})

test('more than 64 on one connection: the first are answered, the next is refused, the connection ends', async () => {
  const { app, handed } = recorder()
  const closed: string[] = []
  await start(app, { ...clientsConnect, onClosed: (reason) => closed.push(reason) })
  const socket = await connectFrom('127.0.0.1')
  let text = ''
  socket.setEncoding('utf8').on('data', (data: string) => (text += data))
  socket.write(requests('many', 1000))
  await once(socket, 'close')
  expect(text.match(/HTTP\/1\.1 200 /g)).toHaveLength(64)
  expect(handed).toHaveLength(64)
  expect(closed).toEqual(['pipelined'])
  const [head = '', body = ''] = text.slice(text.indexOf('HTTP/1.1 429')).split('\r\n\r\n')
  expect(head).toMatch(/^HTTP\/1\.1 429 Too Many Requests\r\n/)
  expect(head).toMatch(/\r\nConnection: close/)
  expect(head).toMatch(/\r\nRetry-After: 1\r\n/)
  expect(JSON.parse(body)).toEqual({
    type: 'urn:tts:error:limit_reached',
    title: 'Too Many Requests',
    status: 429,
    detail: 'more than 64 requests wait on one connection: read answers before you send more',
    code: 'limit_reached',
    check: 'pipelined_requests',
  })
  const next = await connectFrom('127.0.0.1')
  next.write(requests('next', 1))
  await once(next, 'data')
  expect(handed.at(-1)).toBe('next')
})

test('64 at a time, again and again, are all answered', async () => {
  const { app, handed } = recorder()
  await start(app, clientsConnect)
  const socket = await connectFrom('127.0.0.1')
  for (let round = 1; round <= 3; round += 1) {
    socket.write(requests('many', 64))
    await expect.poll(() => handed.length).toBe(64 * round)
    await sleep(1)
  }
  expect(socket.destroyed).toBe(false)
})
