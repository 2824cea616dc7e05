import { once } from 'node:events'
import type { IncomingMessage, RequestListener } from 'node:http'
import { connect, type Socket } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import type { ConnectionLimits } from '../../src/http/connections.ts'
import { listen, type Listening } from '../../src/http/server.ts'
import { createLog } from '../../src/base/log.ts'

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

test('one of another address is handed over before fifteen that came first', async () => {
  const { app, handed } = recorder()
  await start(app, clientsConnect)
  const many = await connectFrom('127.0.0.1')
  const one = await connectFrom('127.0.0.2')
  many.write(requests('many', 15))
  one.write(requests('one', 1))
  await expect.poll(() => handed.length).toBe(16)
  expect(handed.indexOf('one')).toBeLessThan(8)
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
  many.write(requests('many', 15))
  one.write(requests('one', 1))
  await expect.poll(() => handed.length).toBe(16)
  expect(handed.indexOf('one')).toBeLessThan(8)
})

test('requests of one connection keep their order', async () => {
  const { app, handed } = recorder()
  await start(app)
  const socket = await connectFrom('127.0.0.1')
  const paths = Array.from({ length: 16 }, (_, index) => `${index}`)
  socket.write(paths.map((path) => requests(path, 1)).join(''))
  await expect.poll(() => handed.length).toBe(16)
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
  gone.write(requests('gone', 16))
  await once(gone, 'close')
  const last = await connectFrom('127.0.0.1')
  last.write(requests('last', 1))
  await once(last, 'data')
  expect(handed.map(({ url }) => url)).toEqual(['/gone', '/last'])
})
