import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { limitConnections, type LimitedConnections } from '../../src/http/connections.ts'

interface SetUp {
  readonly closed: string[]
  readonly limited: LimitedConnections
  /** Connects from an address of this machine; answers once the server has seen it. */
  open(address: string): Promise<Socket>
  /** Whether a request on this connection is answered. */
  isServed(socket: Socket): Promise<boolean>
  /** The server's ends, in the order in which they came. */
  readonly ends: Socket[]
  /** How many requests are being worked on. */
  held(): number
}

const A = '127.0.0.1'
const B = '127.0.0.2'

async function setUp(limits: {
  readonly total: number
  readonly perAddress: number
  readonly proxy?: string
  readonly unixSocket?: string
}): Promise<SetUp> {
  const closed: string[] = []
  const ends: Socket[] = []
  let heldCount = 0
  const server: Server = createServer((request, response) => {
    // `/held` is a request that is being worked on for as long as the test lasts.
    if (request.url === '/held') heldCount += 1
    else response.end('ok')
  })
  server.on('connection', (socket: Socket) => void ends.push(socket))
  const limited = limitConnections(server, {
    total: limits.total,
    perAddress: limits.perAddress,
    isTrustedProxy: (address) => address === limits.proxy,
    onClosed: (reason) => void closed.push(reason),
  })
  const path = limits.unixSocket
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, A, resolve)
    else server.listen(path, resolve)
  })
  const { port } = server.address() as AddressInfo
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    closed,
    held: () => heldCount,
    limited,
    ends,
    open: async (localAddress) => {
      const seen = ends.length
      const socket = connect(path === undefined ? { host: A, port, localAddress } : { path })
      socket.on('error', () => undefined)
      onTestFinished(() => void socket.destroy())
      await expect.poll(() => ends.length, { interval: 1 }).toBe(seen + 1)
      return socket
    },
    isServed: async (socket) =>
      new Promise((resolve) => {
        socket.once('data', () => resolve(true))
        socket.once('close', () => resolve(false))
        if (socket.destroyed) resolve(false)
        socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
      }),
  }
}

/** A request that is being worked on. */
const hold = (socket: Socket): boolean => socket.write('GET /held HTTP/1.1\r\nHost: x\r\n\r\n')

describe('connections', () => {
  test('by a Unix socket: bounded in all, and one with a request stays', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tts-connections-'))
    onTestFinished(() => rm(directory, { recursive: true, force: true }))
    const unixSocket = join(directory, 'socket')
    const { open, isServed, closed, held } = await setUp({
      total: 2,
      perAddress: 1,
      proxy: '',
      unixSocket,
    })
    const busy = await open('')
    hold(busy)
    const idle = await open('')
    await expect.poll(() => isServed(idle)).toBe(true)
    const next = await open('')
    expect(await isServed(next)).toBe(true)
    await expect.poll(() => idle.destroyed).toBe(true)
    expect(busy.destroyed).toBe(false)
    hold(next)
    await expect.poll(held).toBe(2)
    const refused = await open('')
    expect(await isServed(refused)).toBe(false)
    expect(closed).toEqual(['total'])
  })

  test('of one address: the oldest that has no request makes room', async () => {
    const { open, isServed, closed } = await setUp({ total: 10, perAddress: 2 })
    const [first, second, third] = [await open(A), await open(A), await open(A)]
    expect(await Promise.all([first, second, third].map(isServed))).toEqual([false, true, true])
    expect(closed).toEqual([])
  })

  test('of one address, all with requests: the new one is closed, and another address goes on', async () => {
    const { open, isServed, closed, ends } = await setUp({ total: 10, perAddress: 2 })
    for (const socket of [await open(A), await open(A)]) hold(socket)
    await expect.poll(() => ends.every((end) => end.bytesRead > 0)).toBe(true)
    expect(await isServed(await open(A))).toBe(false)
    expect(closed).toEqual(['address'])
    expect(await isServed(await open(B))).toBe(true)
  })

  test('of all: the address with the most pays', async () => {
    const { open, isServed } = await setUp({ total: 3, perAddress: 3 })
    const single = await open(B)
    const many = [await open(A), await open(A)]
    const newest = await open('127.0.0.3')
    expect(await isServed(newest)).toBe(true)
    expect(await isServed(single)).toBe(true)
    expect(await Promise.all(many.map(isServed))).toEqual([false, true])
  })

  test('of a reverse proxy: not bounded by its address', async () => {
    const { open, isServed } = await setUp({ total: 10, perAddress: 1, proxy: A })
    const sockets = [await open(A), await open(A), await open(A)]
    expect(await Promise.all(sockets.map(isServed))).toEqual([true, true, true])
  })

  test('an address that is shut out: its idle connections and new ones are closed, others go on', async () => {
    const { open, isServed, limited, ends, closed } = await setUp({ total: 10, perAddress: 5 })
    const sockets = [await open(A), await open(A)]
    const other = await open(B)
    limited.shutOut(ends[0] as Socket)
    expect(await Promise.all(sockets.map(isServed))).toEqual([false, false])
    expect(await isServed(await open(A))).toBe(false)
    expect(await isServed(other)).toBe(true)
    expect(new Set(closed)).toEqual(new Set(['shut_out']))
  })

  test('a reverse proxy is never shut out, only the one connection', async () => {
    const { open, isServed, limited, ends } = await setUp({ total: 10, perAddress: 5, proxy: A })
    const sockets = [await open(A), await open(A)]
    limited.shutOut(ends[0] as Socket)
    expect(await Promise.all(sockets.map(isServed))).toEqual([false, true])
  })
})
