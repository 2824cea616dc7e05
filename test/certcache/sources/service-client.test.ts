/** Whether the service is there, which is asked before the provider is asked for a token. */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createServiceClient } from '../../../src/certcache/sources/service-client.ts'
import { createLog } from '../../../src/base/log.ts'

const servers: Server[] = []
afterEach(async () => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

/** A server that answers this status, or nothing at all; `asked` are the paths. */
async function serverThat(answers: number | 'hangs') {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url} ${request.headers.authorization ?? ''}`.trim())
    if (answers !== 'hangs') response.writeHead(answers).end()
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

const clientOf = (url: string) =>
  createServiceClient({
    url,
    caFile: undefined,
    timeoutMs: 300,
    now: () => new Date(),
    log: createLog({ level: 'silent', name: 'test' }),
  })
const soon = (): AbortSignal => AbortSignal.timeout(5000)

test.for([
  { base: '', path: '/healthz' },
  { base: '/', path: '/healthz' },
  { base: '/tts', path: '/tts/healthz' },
])('asks $path below "$base", and shows no token', async ({ base, path }) => {
  const { url, asked } = await serverThat(200)
  await clientOf(url + base).checkReachable(soon())
  expect(asked).toEqual([`GET ${path}`])
})

test.for([204, 301, 401, 403, 404])('%i: somebody is there', async (status) => {
  const { url } = await serverThat(status)
  await expect(clientOf(url).checkReachable(soon())).resolves.toBeUndefined()
})

test.for([500, 502, 503, 504])('%i: the service is away', async (status) => {
  const { url } = await serverThat(status)
  await expect(clientOf(url).checkReachable(soon())).rejects.toThrow(`HTTP status ${status}`)
})

test('nobody, or an answer that does not come: away, with what to look at', async () => {
  const { url } = await serverThat('hangs')
  const away = {
    code: 'provider_unavailable',
    remedy:
      'Check service.url, service.ca_file and the section tls, and that `tts serve` runs there.',
  }
  await expect(clientOf(url).checkReachable(soon())).rejects.toMatchObject(away)
  await expect(clientOf('http://127.0.0.1:1').checkReachable(soon())).rejects.toMatchObject(away)
})

/** A server whose list of delegations has these pages. */
async function serverWithPages(pages: readonly object[]) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    const page = pages[asked.push(request.url ?? '') - 1]
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(page))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { asked, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}

test('the list of delegations is read to its end, page by page', async () => {
  const listed = (id: string) => ({ id, state: 'active', label: null, client_id: null })
  const pages = [
    { delegations: [listed('c'), listed('b')], next: '2.b' },
    { delegations: [listed('a')], next: null },
  ]
  const { url, asked } = await serverWithPages(pages)
  const found = await clientOf(url).listDelegations('token', soon())
  expect(found.map(({ id }) => id)).toEqual(['c', 'b', 'a'])
  expect(asked).toEqual(['/v1/delegations?limit=500', '/v1/delegations?limit=500&after=2.b'])
})

test('a service without pages gives all at once; one that never ends is left', async () => {
  const old = await serverWithPages([{ delegations: [] }])
  expect(await clientOf(old.url).listDelegations('token', soon())).toEqual([])
  const endless = await serverWithPages(
    Array.from({ length: 30 }, () => ({ delegations: [], next: 'x' })),
  )
  expect(await clientOf(endless.url).listDelegations('token', soon())).toEqual([])
  expect(endless.asked).toHaveLength(20)
})
