import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { listen } from '../../src/http/server.ts'
import { createLog } from '../../src/base/log.ts'
import { startTestService } from '../support/service.ts'
import { ask, quick } from '../api/support.ts'

let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-tls-'))
  for (const name of ['first', 'second']) makeCertificate(name)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

function makeCertificate(name: string): void {
  const args = [
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    `/CN=${name}`,
    '-addext',
    'subjectAltName=IP:127.0.0.1',
    '-days',
    '2',
    '-keyout',
    path(`${name}.key`),
    '-out',
    path(`${name}.pem`),
  ]
  execFileSync('openssl', args, { stdio: 'pipe' })
}

const path = (name: string): string => join(directory, name)

/** Puts a file under a name as certificate renewal does: whole, by rename. */
function install(from: string, to: string): void {
  execFileSync('cp', [path(from), path(`${to}.new`)])
  renameSync(path(`${to}.new`), path(to))
}

const logged: string[] = []
const log = createLog({
  level: 'debug',
  name: 'test',
  destination: { write: (line) => void logged.push(line) },
})

async function subjectServed(port: number, options: object = {}): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connect(
      { port, host: '127.0.0.1', rejectUnauthorized: false, ...options },
      () => {
        resolve(socket.getPeerCertificate().subject.CN?.toString())
        socket.destroy()
      },
    )
    socket.once('error', reject)
  })
}

async function metricsOf(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    httpsGet(`${url}/metrics`, { rejectUnauthorized: false }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('end', () => resolve(text))
    }).on('error', reject)
  })
}

async function tlsServer() {
  install('first.pem', 'tls.pem')
  install('first.key', 'tls.key')
  const listening = await listen((_request, response) => response.end('ok'), {
    host: '127.0.0.1',
    port: 0,
    tls: { certificateFile: path('tls.pem'), keyFile: path('tls.key') },
    requestTimeoutMs: 1000,
    log,
    tlsLookIntervalMs: 20,
  })
  return { ...listening, port: Number(new URL(listening.url).port) }
}

describe('TLS', () => {
  test('speaks HTTPS, and nothing older than TLS 1.2', async () => {
    const server = await tlsServer()
    try {
      expect(server.url).toMatch(/^https:\/\/127\.0\.0\.1:\d+$/)
      expect(await subjectServed(server.port)).toBe('first')
      await expect(
        subjectServed(server.port, {
          minVersion: 'TLSv1',
          maxVersion: 'TLSv1.1',
          ciphers: 'ALL@SECLEVEL=0',
        }),
      ).rejects.toThrow()
    } finally {
      await server.close(1000)
    }
  })

  test('files that change are read again, half-replaced ones change nothing', async () => {
    const server = await tlsServer()
    try {
      install('second.pem', 'tls.pem')
      await expect.poll(() => logged.some((line) => line.includes('tls.reload-failed'))).toBe(true)
      expect(await subjectServed(server.port)).toBe('first')
      install('second.key', 'tls.key')
      await expect.poll(async () => subjectServed(server.port), { timeout: 5000 }).toBe('second')
      expect(logged.join('')).not.toContain('PRIVATE KEY')
    } finally {
      await server.close(1000)
    }
  })

  test.for([
    { name: 'a key of another certificate', certificate: 'first.pem', key: 'second.key' },
    { name: 'no such file', certificate: 'none.pem', key: 'first.key' },
    { name: 'rubbish', certificate: 'rubbish', key: 'first.key' },
    { name: 'key and certificate exchanged', certificate: 'first.key', key: 'first.pem' },
  ])('$name: the start is refused, naming the files', async ({ certificate, key }) => {
    writeFileSync(path('rubbish'), 'rubbish')
    const tls = { certificateFile: path(certificate), keyFile: path(key) }
    const options = { host: '127.0.0.1', port: 0, requestTimeoutMs: 1000, log, tls }
    await expect(listen(() => undefined, options)).rejects.toMatchObject({
      code: 'configuration',
      message: expect.stringContaining(path(certificate)) as string,
    })
  })

  test('the whole service over HTTPS', async () => {
    const service = await startTestService({
      awaitReady: false,
      configuration: {
        ...(quick.configuration as Record<string, Record<string, unknown>>),
        listen: {
          port: 0,
          tls_certificate_file: path('first.pem'),
          tls_key_file: path('first.key'),
        },
      },
    })
    try {
      expect(await subjectServed(Number(new URL(service.url).port))).toBe('first')
      const metric = /^tts_tls_certificate_expiry_timestamp_seconds (\d+)$/m.exec(
        await metricsOf(service.url),
      )
      expect(Number(metric?.[1])).toBeGreaterThan(Date.now() / 1000 + 3600)
    } finally {
      await service.stop()
    }
  })
})

describe('listening', () => {
  test('a port that is taken: a configuration error that says so', async () => {
    const taken = createServer()
    await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
    const { port } = taken.address() as { port: number }
    try {
      await expect(
        listen(() => undefined, {
          host: '127.0.0.1',
          port,
          tls: undefined,
          requestTimeoutMs: 1000,
          log,
        }),
      ).rejects.toMatchObject({
        code: 'configuration',
        message: `cannot listen on 127.0.0.1 port ${port}: another program listens there`,
      })
    } finally {
      taken.close()
    }
  })
})

const configuration = quick.configuration as Record<string, Record<string, unknown>>

describe('stop', () => {
  test('what was begun is finished, though clients keep their connections', async () => {
    const service = await startTestService({
      ...quick,
      // Longer than a test may take: connections on which nothing happens are not waited for.
      configuration: {
        ...configuration,
        limits: { ...configuration['limits'], shutdown_seconds: 300 },
      },
    })
    const agent = new Agent({ keepAlive: true })
    // One connection that stays open and idle, and several that are in the middle of a request.
    await new Promise<void>((resolve, reject) => {
      httpGet(`${service.url}/healthz`, { agent }, (response: IncomingMessage) => {
        response.resume().once('end', resolve)
      }).once('error', reject)
    })
    const asked = Array.from({ length: 4 }, async () =>
      ask(service, '/v1/proxies?key_type=rsa-2048'),
    )
    const { inFlight } = service.running.service
    await expect.poll(() => inFlight.count, { interval: 1, timeout: 20_000 }).toBe(4)
    const stopped = service.running.stop()
    const answers = await Promise.all(asked)
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    for (const answer of answers) {
      expect(answer.headers.get('connection')).toBe('close')
      expect(await answer.text()).toContain('END CERTIFICATE')
    }
    await stopped
    agent.destroy()
    await expect(ask(service, '/healthz', { method: 'GET' })).rejects.toThrow()
    // Twice, and once more, is harmless.
    await service.running.stop()
    await service.stop()
    expect(service.logged.filter((line) => line.includes('service.stopped'))).toHaveLength(1)
  })

  test('a new request on an old connection is told 503', async () => {
    const service = await startTestService(quick)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const statuses: (number | string)[] = []
    const request = async (): Promise<void> =>
      new Promise((resolve) => {
        const sent = httpGet(`${service.url}/ca/ca.pem`, { agent }, (response: IncomingMessage) => {
          statuses.push(response.statusCode ?? 0)
          response.resume().once('end', resolve)
        })
        sent.once('error', (error: NodeJS.ErrnoException) => {
          statuses.push(error.code ?? 'error')
          resolve()
        })
      })
    await request()
    const pending = ask(service, '/v1/proxies?key_type=rsa-2048')
    await new Promise((resolve) => setTimeout(resolve, 20))
    const stopped = service.running.stop()
    await request()
    await request()
    expect((await pending).status).toBe(200)
    await stopped
    agent.destroy()
    await service.stop()
    expect(statuses[0]).toBe(200)
    for (const status of statuses.slice(1))
      expect([503, 'ECONNRESET', 'ECONNREFUSED']).toContain(status)
  })

  test('a client that never finishes is cut off at the deadline', async () => {
    const service = await startTestService({
      configuration: {
        ...configuration,
        limits: { ...configuration['limits'], shutdown_seconds: 1 },
      },
    })
    const { request } = await import('node:http')
    const endless = request(`${service.url}/v1/proxies`, {
      method: 'POST',
      headers: { authorization: `Bearer ${service.token()}`, 'content-length': '1000' },
    })
    const cut = once(endless, 'error')
    endless.write('{')
    await new Promise((resolve) => setTimeout(resolve, 50))
    await service.stop()
    await cut
  })
})
