import { cpSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createKubernetesApi } from '../../../../src/certcache/outputs/kubernetes/api.ts'
import { freePort } from '../../../support/free-port.ts'
import {
  type KubernetesStandIn,
  startKubernetesStandIn,
} from '../../../support/kubernetes-stand-in.ts'
import { makePrivateCa } from '../../../support/private-ca.ts'
import { temporaryDirectory } from '../../engine-support.ts'

let server: KubernetesStandIn
beforeAll(async () => {
  server = await startKubernetesStandIn()
})
beforeEach(() => server.reset())
afterAll(async () => server.close())

const path = '/api/v1/namespaces/physics/secrets/worker'
const get = { method: 'GET', path } as const

/** A copy of the service account, which a test may change. */
async function account(): Promise<string> {
  const directory = await temporaryDirectory()
  cpSync(server.accountDirectory, directory, { recursive: true })
  return directory
}

test('token and CA are read for each request, and the namespace is that of the pod', async () => {
  const accountDirectory = await account()
  const api = createKubernetesApi({ ...server, accountDirectory })
  expect(await api.namespace()).toBe('physics')
  expect((await api.send(get)).status).toBe(404)
  writeFileSync(join(accountDirectory, 'token'), 'token-2')
  await api.send({ method: 'PATCH', path, body: { data: {} } })
  await api.send({ method: 'POST', path, body: { metadata: { name: 'x' } } })
  expect(server.requests.map(({ token }) => token)).toEqual([
    'Bearer token-1',
    'Bearer token-2',
    'Bearer token-2',
  ])
  expect(server.requests.map(({ contentType }) => contentType)).toEqual([
    undefined,
    'application/merge-patch+json',
    'application/json',
  ])
  rmSync(join(accountDirectory, 'ca.crt'))
  await expect(api.send(get)).rejects.toThrow(
    `the Kubernetes API cannot be used: ${accountDirectory}/ca.crt cannot be read: the file or its directory does not exist`,
  )
})

describe('what goes wrong', () => {
  const remedies = {
    pod: 'kubernetes_secrets need a pod with a service account: set serviceAccountName and automountServiceAccountToken: true.',
    network:
      'Check the NetworkPolicy of this pod and the API server. certcache tries again every minute.',
    load: 'Check the NetworkPolicy of this pod and the load of the API server. certcache tries again every minute.',
    address:
      'Check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of this pod. certcache tries again every minute.',
  }

  async function refusalOf(options: Partial<Parameters<typeof createKubernetesApi>[0]>) {
    const api = createKubernetesApi({ ...server, ...options })
    const error = await api.send(get).catch((caught: unknown) => caught)
    const { message, remedy, code, check } = error as Record<string, unknown>
    expect(check).toBe('kubernetes')
    const port = server.environment['KUBERNETES_SERVICE_PORT'] ?? ''
    return { code, message: String(message).replace(port, 'PORT'), remedy }
  }

  test('outside of a pod', async () => {
    expect(await refusalOf({ environment: {} })).toEqual({
      code: 'configuration',
      message: 'the Kubernetes API cannot be used: KUBERNETES_SERVICE_HOST is not set',
      remedy: remedies.pod,
    })
  })

  test('without the token of a service account, or with an empty one', async () => {
    const accountDirectory = await account()
    writeFileSync(join(accountDirectory, 'token'), '\n')
    expect((await refusalOf({ accountDirectory })).message).toBe(
      `the Kubernetes API cannot be used: ${accountDirectory}/token is empty`,
    )
    rmSync(join(accountDirectory, 'token'))
    expect(await refusalOf({ accountDirectory })).toEqual({
      code: 'configuration',
      message: `the Kubernetes API cannot be used: ${accountDirectory}/token cannot be read: the file or its directory does not exist`,
      remedy: remedies.pod,
    })
    expect(server.requests).toEqual([])
  })

  test('no answer in time', async () => {
    server.fault = () => 'handled'
    expect(await refusalOf({ timeoutMs: 50 })).toEqual({
      code: 'provider_unavailable',
      message: 'the Kubernetes API at 127.0.0.1:PORT did not answer within 0.05 seconds',
      remedy: remedies.load,
    })
  })

  test('an answer that does not end', async () => {
    server.fault = (_request, response) => {
      response.writeHead(200).write('{')
      return 'handled'
    }
    expect((await refusalOf({ timeoutMs: 50 })).message).toContain('did not answer within')
  })

  test('nobody listens', async () => {
    const port = String(await freePort())
    const environment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port }
    expect(await refusalOf({ environment })).toEqual({
      code: 'provider_unavailable',
      message: `the request to the Kubernetes API at 127.0.0.1:${port} failed: it refuses connections`,
      remedy: remedies.network,
    })
  })

  test('a server of another CA is not sent the token', async () => {
    const accountDirectory = await account()
    const foreign = makePrivateCa(await temporaryDirectory())
    cpSync(foreign.file, join(accountDirectory, 'ca.crt'))
    const { message } = await refusalOf({ accountDirectory })
    expect(message).toMatch(
      /^the request to the Kubernetes API at 127\.0\.0\.1:PORT failed: .*certificate/,
    )
    expect(server.requests).toEqual([])
  })

  test('an answer that is not JSON is not quoted', async () => {
    server.fault = () => ({ status: 502, body: '<h1>Bad gateway</h1>' })
    expect(await refusalOf({})).toEqual({
      code: 'provider_unavailable',
      message:
        '127.0.0.1:PORT answers 502 without JSON: it is not the Kubernetes API, or a proxy in front of it fails',
      remedy: remedies.address,
    })
  })

  test('an answer without bounds', async () => {
    server.fault = () => ({ status: 200, body: JSON.stringify('x'.repeat(4 * 1024 * 1024)) })
    expect((await refusalOf({})).message).toBe(
      'the request to the Kubernetes API at 127.0.0.1:PORT failed: the answer is too long',
    )
  })
})
