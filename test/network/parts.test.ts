/** Parts that send requests, with a proxy and a private CA, in this process. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Notifier } from '../../src/domain/delegations/watch.ts'
import { currentNetwork, useNetwork } from '../../src/network/network.ts'
import { webhookNotifier } from '../../src/notices/webhook-notice.ts'
import { createRefreshHelper } from '../../src/refresh-helper/helper.ts'
import { newKey } from '../../src/refresh-helper/spool.ts'
import { NOTHING_WAS_SENT, failureOf } from '../../src/grants/refusals.ts'
import { createLimitedFetch } from '../../src/tokens/limited-fetch.ts'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts'
import { makePrivateCa } from '../support/private-ca.ts'

const HOST = 'hooks.example.org'
const PASSWORD = 's3cret-of-the-proxy'

let directory = ''
let server: Server
let proxy: ConnectProxy
let environment: Record<string, string> = {}
let received: string[] = []
/** Called while the server has the request and the client waits. */
let whileWaiting = (): void => undefined
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-parts-'))
  const ca = makePrivateCa(directory)
  server = createServer(ca.issue(HOST), (request, response) => {
    received.push(`${request.method} ${request.url}`)
    whileWaiting()
    response.end('{"access_token":"a"}')
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  proxy = await startConnectProxy({
    ports: { [`${HOST}:443`]: port },
    credentials: `u:${PASSWORD}`,
  })
  environment = {
    HTTPS_PROXY: `http://u:${PASSWORD}@127.0.0.1:${proxy.port}`,
    SSL_CERT_FILE: ca.file,
  }
})
afterEach(() => {
  use({})
  received = []
  whileWaiting = () => undefined
})
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await proxy.stop()
  rmSync(directory, { recursive: true, force: true })
})

const use = (variables: Record<string, string>): void =>
  useNetwork({ environment: variables, trustGridAuthorities: false, warn: () => undefined })

describe('webhooks', () => {
  const notify = async (host = HOST) =>
    webhookNotifier(
      `https://${host}/secret-path`,
      3000,
    )({ event: 'test' } as unknown as Parameters<Notifier>[0])

  test('reach a server of a private CA through the proxy', async () => {
    use(environment)
    await notify()
    expect(received).toEqual(['POST /secret-path'])
  })

  test('say that the proxy refuses, without the path', async () => {
    use(environment)
    const error: unknown = await notify('other.example.org').catch((cause: unknown) => cause)
    expect(error).toMatchObject({
      message: `the webhook for notices of delegations cannot be reached: the proxy 127.0.0.1:${proxy.port} does not connect to other.example.org (HTTP 403)`,
      remedy:
        'Allow other.example.org in the proxy, or add other.example.org to NO_PROXY to connect without it.',
    })
  })

  test('fail without proxy and CA', async () => {
    await expect(notify()).rejects.toMatchObject({ check: 'notice_webhook' })
    const { HTTPS_PROXY = '' } = environment
    use({ HTTPS_PROXY })
    await expect(notify()).rejects.toMatchObject({ check: 'notice_webhook' })
    expect(received).toEqual([])
  })
})

describe('the refresh helper', () => {
  const refresh = async (host = HOST): Promise<Response> => {
    const helper = createRefreshHelper({ directory: join(directory, 'spool'), environment })
    const attempt = { owner: 'd1', key: newKey() }
    const send = helper.fetchFor(attempt, { timeoutMs: 10_000, providerId: 'iam' })
    const limits = { timeoutMs: 10_000, maxBodyBytes: 10_000, sendAgain: false }
    const { fetch } = createLimitedFetch(send, limits)
    try {
      return await fetch(`https://${host}/token`, { method: 'POST', body: 'grant_type=x' })
    } finally {
      await helper.forget('d1')
    }
  }

  test('gets proxy and CAs from its parent, and the password not by its environment', async () => {
    use(environment)
    let environments: readonly string[] = []
    whileWaiting = () => {
      environments = helperEnvironments()
    }
    expect((await refresh()).status).toBe(200)
    expect(received).toEqual(['POST /token'])
    expect(environments).toHaveLength(1)
    expect(environments[0]).toContain('SSL_CERT_FILE=')
    expect(environments[0]).not.toContain(PASSWORD)
  })

  test('a request that the proxy refuses has certainly not reached the provider', async () => {
    use(environment)
    const error: unknown = await refresh('other.example.org').catch((cause: unknown) => cause)
    expect(failureOf(error, 'iam', true)).toMatchObject({
      check: NOTHING_WAS_SENT,
      remedy: `Check the provider iam: the proxy 127.0.0.1:${proxy.port} does not connect to other.example.org (HTTP 403). Allow other.example.org in the proxy, or add other.example.org to NO_PROXY to connect without it.`,
    })
  })

  test('fails without proxy', async () => {
    await expect(refresh()).rejects.toThrow('fetch failed')
    expect(received).toEqual([])
  })

  /** Environments of the helpers of this test. */
  function helperEnvironments(): readonly string[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .flatMap((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8')
          if (!words.includes(join(directory, 'spool'))) return []
          return [readFileSync(`/proc/${pid}/environ`, 'utf8')]
        } catch {
          return []
        }
      })
  }
})

test('without settings nothing stays in use', async () => {
  use(environment)
  use({})
  expect(currentNetwork()).toEqual({ proxy: undefined, authorities: [] })
  await expect(fetch(`https://${HOST}/`)).rejects.toThrow('fetch failed')
})
