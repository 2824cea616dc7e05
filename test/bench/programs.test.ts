/** The programs that ours is compared with, and the requests that all of them get. */
import { mkdtempSync, rmSync } from 'node:fs'
import { once } from 'node:events'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { startBareServer } from '../../bench/bare.ts'
import { startNginx } from '../../bench/nginx.ts'
import { probe } from '../../bench/probe.ts'
import { httpRequest, writeRequests } from '../../bench/requests.ts'
import { type Load, RequestsRanOut, runWrk } from '../../bench/wrk.ts'
import { describeWithTools } from '../support/grid-tools.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-bench-programs-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Everything that comes back for a request. */
async function answerTo(url: string, request: Buffer): Promise<string> {
  const { hostname: host, port } = new URL(url)
  const socket = connect({ host, port: Number(port) })
  socket.write(request)
  let answer = ''
  socket.setEncoding('latin1').on('data', (text: string) => void (answer += text))
  // Node closes a connection after an answer to a request that says so.
  await once(socket, 'close')
  return answer
}

test.for([1000, 4000, 9000])('the bare server answers with %d bytes', async (answerBytes) => {
  const server = await startBareServer(directory, answerBytes)
  try {
    const request = `POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc`
    const closing = request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')
    const answer = await answerTo(server.url, Buffer.from(closing))
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
    // An answer on a connection that stays open says so in 27 bytes more.
    const stay = 'Connection: keep-alive\r\nKeep-Alive: timeout=5\r\n'.length
    expect(answer.length + stay - 'Connection: close\r\n'.length).toBe(answerBytes)
  } finally {
    await server.stop()
  }
})

test('a request is complete', () => {
  const parts = { path: '/p', host: 'h:1', token: 't', contentType: 'a/b', body: 'ü' }
  expect(httpRequest(parts).toString()).toBe(
    'POST /p HTTP/1.1\r\nHost: h:1\r\nAuthorization: Bearer t\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\nü',
  )
  expect(httpRequest({ method: 'GET', path: '/p', host: 'h' }).toString()).toBe(
    'GET /p HTTP/1.1\r\nHost: h\r\n\r\n',
  )
})

describeWithTools('nginx', ['nginx-light'], () => {
  test('serves the bytes that it was given', async () => {
    const nginx = await startNginx(directory, 'the bytes')
    try {
      expect(await (await fetch(`${nginx.url}/get_proxy`)).text()).toBe('the bytes')
      const wrong = httpRequest({ method: 'GET', path: '/other', host: 'x' })
      await expect(probe(nginx.url, wrong, 200)).rejects.toThrow('404 Not Found')
    } finally {
      await nginx.stop()
    }
  })
})

describeWithTools('wrk', ['wrk'], () => {
  const requestsFile = join(directory, 'requests')
  const loadOf = (url: string, changes: Partial<Load> = {}): Load => {
    const load = { url, requestsFile, connections: 2, seconds: 1, mayRepeat: true }
    return { ...load, expectedStatus: 200, ...changes }
  }

  test('repeats requests only if it may, and counts other answers', async () => {
    const server = await startBareServer(directory, 1000)
    try {
      const request = { path: '/', host: 'x', body: 'a body' }
      await writeRequests(requestsFile, [httpRequest(request), httpRequest(request)])
      const { succeeded, failed, answerBytes } = await runWrk(loadOf(server.url))
      expect({ failed, answerBytes }).toEqual({ failed: 0, answerBytes: 1000 })
      expect(succeeded).toBeGreaterThan(10)
      const once = runWrk(loadOf(server.url, { mayRepeat: false }))
      await expect(once).rejects.toThrow(new RequestsRanOut('the prepared requests ran out'))
      const wrong = await runWrk(loadOf(server.url, { expectedStatus: 303 }))
      expect(wrong).toMatchObject({ succeeded: 0, firstFailure: expect.stringMatching(/^200 x+/) })
      expect(wrong.failed).toBeGreaterThan(10)
    } finally {
      await server.stop()
    }
  })

  test('says that nobody listens', async () => {
    await expect(runWrk(loadOf('http://127.0.0.1:1'))).rejects.toThrow(/^wrk failed: .*127.0.0.1/)
  })
})
