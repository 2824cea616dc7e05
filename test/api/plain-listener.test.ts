import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { serve } from '../../src/service/serve.ts'
import { useTestService } from '../support/service.ts'

const service = useTestService({ configuration: { listen: { port: 0, plain: { port: 0 } } } })

describe('the plain listener', () => {
  const plain = (path: string): string => `${service().running.plainUrl}${path}`

  test.for([
    '/healthz',
    '/readyz',
    '/metrics',
    '/problems',
    '/problems/not_found',
    '/ca/ca.pem',
    '/ca/crl.der',
    '/ca/trust-anchors.tar.gz',
  ])('serves %s', async (path) => {
    const answer = await fetch(plain(path))
    await answer.arrayBuffer()
    expect(answer.status).toBe(200)
  })

  test.for([
    ['POST', '/v1/proxies'],
    ['POST', '/v1/certificates'],
    ['GET', '/v1/credentials'],
    ['GET', '/openapi.json'],
    ['POST', '/oauth2/token'],
    ['GET', '/oauth2/jwks'],
  ] as const)('knows no %s %s, whatever token comes', async ([method, path]) => {
    const authorization = `Bearer ${service().token()}`
    const answer = await fetch(plain(path), { method, headers: { authorization } })
    expect(answer.status).toBe(404)
    expect(await answer.json()).toMatchObject({ code: 'not_found' })
  })
})

test('when the plain port is taken, the start fails and nothing goes on listening', async () => {
  const other = createServer()
  await new Promise<void>((resolve) => other.listen({ host: '127.0.0.1', port: 0 }, resolve))
  const { port } = other.address() as AddressInfo
  const free = createServer()
  await new Promise<void>((resolve) => free.listen({ host: '127.0.0.1', port: 0 }, resolve))
  const mainPort = (free.address() as AddressInfo).port
  await new Promise((resolve) => free.close(resolve))
  const directory = await mkdtemp(join(tmpdir(), 'tts-plain-'))
  const loaded = await loadConfiguration(undefined, {
    TTS_DATA_DIR: directory,
    TTS_CA__KEY_KIND: 'ec-p256',
    TTS_LISTEN__PORT: String(mainPort),
    TTS_LISTEN__PLAIN__PORT: String(port),
  })
  try {
    await expect(serve(loaded, createLog({ level: 'silent', name: 'tts' }))).rejects.toMatchObject({
      code: 'configuration',
      message: `cannot listen on 127.0.0.1 port ${port}: another program listens there`,
    })
    await expect(fetch(`http://127.0.0.1:${mainPort}/healthz`)).rejects.toThrow()
  } finally {
    await new Promise((resolve) => other.close(resolve))
    await rm(directory, { recursive: true, force: true })
  }
})
