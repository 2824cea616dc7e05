/** `tts serve` as a process, with 64 connections that ask for proxies while SIGHUP reloads it again and again. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { wideLimits } from '../api/support.ts'
import { load } from '../support/load.ts'
import { programPath, type Started, startProgram } from '../support/programs.ts'
import { testConfiguration, tokensOf } from '../support/service.ts'

const CONNECTIONS = 64
const RELOADS = 8

let directory = ''
let provider: IdentityProvider
let service: Started
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-reload-'))
  provider = await startIdentityProvider()
})
afterEach(async () => {
  service.child.kill('SIGTERM')
  await service.ended
  await provider.close()
  rmSync(directory, { recursive: true, force: true })
})

test(`${RELOADS} reloads with ${CONNECTIONS} connections: no request is lost, and no connection is closed`, async () => {
  const file = join(directory, 'tts.yaml')
  const settings = { ...testConfiguration(provider), data_dir: join(directory, 'data') }
  const write = (changes: object): void =>
    writeFileSync(file, stringify({ ...settings, limits: wideLimits, ...changes }), { mode: 0o600 })
  write({})
  service = startProgram(programPath('src/cli/main.ts'), ['serve', '--config', file])
  const [, url = ''] = await service.says(/"service\.started","url":"([^"]+)"/)
  const { hostname: host, port } = new URL(url)
  const csr = await createCsr([], createSigner(await generatePrivateKey('ec-p256')))
  const request = Buffer.from(
    [
      'POST /v1/proxies HTTP/1.1',
      `Host: ${host}:${port}`,
      `Authorization: Bearer ${tokensOf(provider)()}`,
      'Content-Type: application/pkcs10',
      `Content-Length: ${Buffer.byteLength(csr)}`,
      '',
      csr,
    ].join('\r\n'),
  )
  const end = new AbortController()
  const reloads = (async () => {
    for (let count = 1; count <= RELOADS; count += 1) {
      // The last one but one cannot be used.
      write(
        count === RELOADS - 1
          ? { services: 'none' }
          : { log: { level: count % 2 ? 'debug' : 'info' } },
      )
      service.child.kill('SIGHUP')
      await service.says(new RegExp(`("event":"service\\.reload(?:ed|-failed)"[^]*?){${count}}`))
      await delay(100)
    }
    end.abort()
  })()
  const results = []
  while (!end.signal.aborted)
    results.push(
      await load({
        host,
        port: Number(port),
        requests: [request],
        connections: CONNECTIONS,
        durationMs: 1000,
      }),
    )
  await reloads
  const failed = results.reduce((sum, result) => sum + result.failed, 0)
  const succeeded = results.reduce((sum, result) => sum + result.succeeded, 0)
  expect({ failed, first: results.find((result) => result.firstFailure)?.firstFailure }).toEqual({
    failed: 0,
    first: undefined,
  })
  expect(succeeded).toBeGreaterThan(CONNECTIONS)
})
