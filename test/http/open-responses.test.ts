import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { listen } from '../../src/http/server.ts'
import { createLog } from '../../src/base/log.ts'
import { quick } from '../api/support.ts'
import { useTestService } from '../support/service.ts'

const log = createLog({ level: 'error', name: 'test', destination: { write: () => undefined } })

async function connectTo(url: string): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => undefined)
  onTestFinished(() => void socket.destroy())
  await once(socket, 'connect')
  return socket
}

const requests = (lines: string, count: number): string =>
  `${lines}\r\nHost: tts.test\r\n\r\n`.repeat(count)

test('when the connection ends, each response that waits for another one is closed, once', async () => {
  const closed = new Map<ServerResponse, number>()
  const server = await listen(
    (request, response) => {
      closed.set(response, 0)
      response.on('close', () => closed.set(response, (closed.get(response) ?? 0) + 1))
      // Two that are answered, then one that is not: those behind it wait, answered or not.
      if (closed.size !== 3 && request.url === '/answered') response.end('ok')
    },
    { host: '127.0.0.1', port: 0, tls: undefined, requestTimeoutMs: 5000, log },
  )
  onTestFinished(() => server.close(1000))
  const socket = await connectTo(server.url)
  socket.write(requests('GET /answered HTTP/1.1', 8) + requests('GET /kept HTTP/1.1', 8))
  await expect.poll(() => closed.size).toBe(16)
  socket.destroy()
  await expect.poll(() => [...closed.values()].filter((times) => times > 0)).toHaveLength(16)
  expect([...closed.values()]).toEqual(Array.from({ length: 16 }, () => 1))
})

test('what is no HTTP is answered only where no other answer is due', async () => {
  const answers: ServerResponse[] = []
  const server = await listen(
    (_request, response) => {
      answers.push(response)
      if (answers.length === 1) response.write('begun')
    },
    { host: '127.0.0.1', port: 0, tls: undefined, requestTimeoutMs: 5000, log },
  )
  onTestFinished(() => server.close(1000))
  const talk = async (...texts: string[]): Promise<string> => {
    const socket = await connectTo(server.url)
    let text = ''
    socket.setEncoding('latin1').on('data', (part: string) => (text += part))
    for (const part of texts) {
      const before = answers.length
      socket.write(part)
      if (part !== texts.at(-1)) await expect.poll(() => answers.length).toBe(before + 1)
    }
    await new Promise((resolve) => socket.once('close', resolve))
    return text
  }
  const sound = requests('GET / HTTP/1.1', 1)
  // Inside the first answer, which has begun; then in the place of one that has not.
  expect(await talk(sound, sound, 'no HTTP\r\n\r\n')).not.toContain('400')
  expect(await talk(sound, 'no HTTP\r\n\r\n')).not.toContain('400')
  expect(await talk(`${sound}no HTTP\r\n\r\n`)).not.toContain('400')
  expect(await talk('no HTTP\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 /)
})

const service = useTestService(quick)

test('requests that wait behind another one give their places back when the client leaves', async () => {
  const inFlight = async (): Promise<number> => {
    const text = await (await fetch(`${service().url}/metrics`)).text()
    return Number(/^tts_http_requests_in_flight (\d+)$/m.exec(text)?.[1])
  }
  const socket = await connectTo(service().url)
  // Nothing can be put on record while somebody else writes: each waits.
  const database = new DatabaseSync(join(service().directory, 'data/tts.db'))
  onTestFinished(() => {
    if (database.isOpen) database.close()
  })
  database.exec('begin immediate')
  const lines = `POST /v1/proxies HTTP/1.1\r\nContent-Length: 0\r\nAuthorization: Bearer ${service().token()}`
  socket.write(requests(lines, 5))
  await expect.poll(inFlight).toBeGreaterThan(1)
  socket.destroy()
  database.close()
  await expect.poll(inFlight).toBe(0)
})
