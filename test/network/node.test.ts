/**
 * Node has two implementations of proxies, one for `fetch` and one for `node:https`, which read NO_PROXY differently.
 * With our settings both decide as `usesProxy` does.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import tls from 'node:tls'
import { urlToHttpOptions } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { sendHttp } from '../../src/client/http-request.ts'
import { applyNetwork, findProxyFailure } from '../../src/network/network.ts'
import { readHttpProxy, usesProxy } from '../../src/network/http-proxy.ts'
import { type ConnectProxy, startConnectProxy } from '../support/connect-proxy.ts'

let proxy: ConnectProxy
beforeAll(async () => {
  proxy = await startConnectProxy({ ports: {} })
})
afterEach(() => applyNetwork({ proxy: undefined, authorities: [] }, () => undefined))
afterAll(async () => proxy.stop())

function useProxy(noProxy: string) {
  const environment = { HTTPS_PROXY: `http://127.0.0.1:${proxy.port}`, NO_PROXY: noProxy }
  const { proxy: read } = readHttpProxy(environment)
  applyNetwork({ proxy: read, authorities: [] }, () => undefined)
  return read
}

/** Nothing listens on port 2 of loopback; `fetch` refuses port 1 by itself. */
const byFetch = async (url: string): Promise<unknown> =>
  fetch(url, { signal: AbortSignal.timeout(1000) }).then(
    () => undefined,
    (error: unknown) => error,
  )
const byHttps = async (url: string): Promise<unknown> =>
  sendHttp({
    ...urlToHttpOptions(new URL(url)),
    secure: true,
    signal: AbortSignal.timeout(1000),
  }).catch((error: unknown) => error)

describe.for([
  ['fetch', byFetch],
  ['sendHttp', byHttps],
] as const)('%s', ([, send]) => {
  test.for([
    ['', 'https://idp.invalid/'],
    ['invalid', 'https://idp.invalid/'],
    ['.invalid', 'https://idp.invalid/'],
    ['*.invalid', 'https://idp.invalid/'],
    ['.idp.invalid', 'https://idp.invalid/'],
    ['dp.invalid', 'https://idp.invalid/'],
    ['INVALID', 'https://IDP.invalid/'],
    ['a b invalid', 'https://idp.invalid/'],
    ['a, *', 'https://idp.invalid/'],
    ['idp.invalid:443', 'https://idp.invalid/'],
    ['invalid:8443', 'https://idp.invalid/'],
    ['invalid:8443', 'https://idp.invalid:8443/'],
    ['', 'https://127.0.0.1:2/'],
    ['', 'https://localhost:2/'],
    ['', 'https://[::1]:2/'],
    ['x.invalid', 'https://127.0.0.9:2/'],
    ['127.0.0.9', 'https://127.0.0.9:2/'],
    ['[::2]', 'https://[::2]:2/'],
    ['::2', 'https://[::2]:2/'],
    ['::3', 'https://[::2]:2/'],
  ] as const)('NO_PROXY="%s", %s', async ([noProxy, url]) => {
    const read = useProxy(noProxy)
    const before = proxy.targets.length
    const error = await send(url)
    const wasAsked = proxy.targets.length > before
    expect(wasAsked).toBe(read !== undefined && usesProxy(read, new URL(url)))
    const { host, hostname } = new URL(url)
    expect(findProxyFailure(url, error)).toEqual(
      wasAsked
        ? {
            reason: `the proxy 127.0.0.1:${proxy.port} does not connect to ${host} (HTTP 403)`,
            remedy: `Allow ${host} in the proxy, or add ${hostname} to NO_PROXY to connect without it.`,
          }
        : undefined,
    )
  })
})

test('plain http never uses a proxy, even if HTTP_PROXY is set', async () => {
  vi.stubEnv('HTTP_PROXY', `http://127.0.0.1:${proxy.port}`)
  vi.stubEnv('http_proxy', `http://127.0.0.1:${proxy.port}`)
  try {
    useProxy('')
    const before = proxy.targets.length
    const url = 'http://127.0.0.2:2/'
    expect(await byFetch(url)).toBeInstanceOf(Error)
    await sendHttp({ ...urlToHttpOptions(new URL(url)), secure: false }).catch(() => undefined)
    expect(proxy.targets).toHaveLength(before)
    // oxlint-disable-next-line node/no-process-env -- it must be as it was
    expect(process.env['HTTP_PROXY']).toBe(`http://127.0.0.1:${proxy.port}`)
  } finally {
    vi.unstubAllEnvs()
  }
})

test.for([
  ['setGlobalProxyFromEnv', 'HTTPS_PROXY cannot be used with Node'],
  ['setDefaultCACertificates', 'additional CA certificates cannot be used with Node'],
] as const)('a Node without %s gives an error, not a direct connection', ([name, message]) => {
  const holder = (name === 'setGlobalProxyFromEnv' ? http : tls) as unknown as Record<
    string,
    unknown
  >
  const original = holder[name]
  Object.assign(holder, { [name]: undefined })
  try {
    const authorities = [
      {
        kind: 'file' as const,
        path: caFile(),
        setting: 'tls.ca_file',
        required: true,
      },
    ]
    const { proxy: read } = readHttpProxy({ HTTPS_PROXY: 'http://127.0.0.1:1' })
    const used = name === 'setGlobalProxyFromEnv' ? { authorities: [] } : { authorities }
    expect(() => applyNetwork({ proxy: read, ...used }, () => undefined)).toThrow(message)
  } finally {
    Object.assign(holder, { [name]: original })
  }
})

/** Any certificate of Node is a CA for this. */
function caFile(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'tts-node-')), 'ca.pem')
  writeFileSync(path, tls.getCACertificates('default')[0] ?? '')
  onTestFinished(() => rmSync(dirname(path), { recursive: true }))
  return path
}
