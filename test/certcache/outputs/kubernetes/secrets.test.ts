import { readFile } from 'node:fs/promises'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createKubernetesApi } from '../../../../src/certcache/outputs/kubernetes/api.ts'
import {
  inspectSecret,
  writeSecret,
} from '../../../../src/certcache/outputs/kubernetes/secret-output.ts'
import { writeSecrets } from '../../../../src/certcache/outputs/kubernetes/secrets-of-proxy.ts'
import { ProxyFiles } from '../../../../src/certcache/outputs/proxy-files.ts'
import type { HeldProxy } from '../../../../src/certcache/proxy-engine.ts'
import { secretSettings } from '../../../../src/certcache/settings/kubernetes-settings.ts'
import { createLog } from '../../../../src/base/log.ts'
import {
  type Fault,
  type Json,
  type KubernetesStandIn,
  refused,
  startKubernetesStandIn,
} from '../../../support/kubernetes-stand-in.ts'
import { settingsIn, temporaryDirectory } from '../../engine-support.ts'
import { makeHeldProxy } from '../../server-support.ts'

const path = '/api/v1/namespaces/physics/secrets/worker'
const workload = '/apis/apps/v1/namespaces/physics/deployments/worker'
const noon = new Date('2026-11-24T12:00:00.250Z')
const later = (minutes: number): Date => new Date(noon.getTime() + minutes * 60_000)

let server: KubernetesStandIn
let proxy: HeldProxy
let newer: HeldProxy
beforeAll(async () => {
  server = await startKubernetesStandIn()
  proxy = await makeHeldProxy({ now: noon })
  newer = {
    ...(await makeHeldProxy({ now: later(60), text: 'the newer proxy' })),
    obtainedAt: later(60),
  }
})
beforeEach(() => server.reset())
afterAll(async () => server.close())

const writerAt = (now: Date) => ({ api: createKubernetesApi(server), now: () => now })
const settingsOf = (more: Json = {}) => secretSettings.parse({ name: 'worker', ...more })
const base64 = ({ pem }: HeldProxy): string => pem.toString('base64')

/** Puts a Secret there. */
function put(
  more: { data?: Json; labels?: Json; annotations?: Json; immutable?: boolean } = {},
): void {
  const { data, labels, annotations, ...others } = more
  const metadata = { name: 'worker', resourceVersion: '7', labels, annotations }
  server.objects.set(path, { kind: 'Secret', metadata, data, ...others })
}

const ours = { 'certcache/managed': 'true' }
const present = () =>
  server.objects.get(path) as { metadata: { annotations: Json; labels: Json }; data: Json }

async function refusalOf(settings = settingsOf(), now = noon) {
  const error = await writeSecret(writerAt(now), settings, proxy).catch((caught: unknown) => caught)
  const { message, remedy, code, check } = error as Record<string, unknown>
  expect(check).toBe('kubernetes')
  return { code, message, remedy }
}

describe('writes', () => {
  test('into an empty Secret, and takes it over', async () => {
    put()
    expect(await writeSecret(writerAt(noon), settingsOf(), proxy)).toEqual({
      written: true,
      writtenAt: noon,
    })
    expect(present()).toMatchObject({
      metadata: {
        labels: ours,
        annotations: {
          'certcache/not-after': proxy.notAfter.toISOString(),
          'certcache/obtained-at': noon.toISOString(),
          'certcache/written-at': noon.toISOString(),
        },
      },
      data: { proxy: base64(proxy) },
    })
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      `GET ${path}`,
      `PATCH ${path}?fieldManager=certcache`,
    ])
    // The patch holds only what is ours, and the version that was read.
    expect(Object.keys(server.requests[1]?.body ?? {})).toEqual(['metadata', 'data'])
    expect(server.requests[1]?.body?.['metadata']).toMatchObject({ resourceVersion: '7' })
  })

  test('nothing when it is there already', async () => {
    put()
    await writeSecret(writerAt(noon), settingsOf(), proxy)
    server.requests.length = 0
    const again = await writeSecret(writerAt(later(5)), settingsOf(), proxy)
    expect(again).toEqual({ written: false, writtenAt: noon })
    expect(server.requests.map(({ method }) => method)).toEqual(['GET'])
  })

  test('a newer proxy, and leaves the other keys and annotations alone', async () => {
    put({
      data: { proxy: 'b2xk', other: 'eA==' },
      labels: { ...ours, app: 'x' },
      annotations: { mine: 'y' },
    })
    await writeSecret(writerAt(noon), settingsOf(), proxy)
    await writeSecret(writerAt(later(60)), settingsOf(), newer)
    expect(present().data).toEqual({ proxy: base64(newer), other: 'eA==' })
    expect(present().metadata).toMatchObject({ labels: { app: 'x' }, annotations: { mine: 'y' } })
  })

  test('not an older proxy over that of another certcache', async () => {
    put()
    await writeSecret(writerAt(later(60)), settingsOf(), newer)
    expect((await writeSecret(writerAt(later(61)), settingsOf(), proxy)).written).toBe(false)
    expect(present().data).toEqual({ proxy: base64(newer) })
  })

  test.for([
    ['a time that is no date', 'yesterday'],
    ['a time far in the future', later(24 * 60).toISOString()],
  ] as const)('over %s', async ([, time]) => {
    put({ data: { proxy: 'b2xk' }, labels: ours, annotations: { 'certcache/obtained-at': time } })
    expect((await writeSecret(writerAt(noon), settingsOf(), proxy)).written).toBe(true)
  })

  test('with its own key, in its own namespace', async () => {
    const other = '/api/v1/namespaces/batch/secrets/x509'
    server.objects.set(other, { metadata: { resourceVersion: '1' } })
    const settings = settingsOf({ name: 'x509', namespace: 'batch', key: 'x509up' })
    await writeSecret(writerAt(noon), settings, proxy)
    expect(server.objects.get(other)?.['data']).toEqual({ x509up: base64(proxy) })
  })

  test('a new Secret, if it may create it', async () => {
    await writeSecret(writerAt(noon), settingsOf({ create: true }), proxy)
    expect(server.objects.get(path)).toMatchObject({
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: {
        name: 'worker',
        namespace: 'physics',
        labels: { ...ours, 'app.kubernetes.io/managed-by': 'certcache' },
      },
      data: { proxy: base64(proxy) },
    })
  })

  test('again when another client changes the Secret in between', async () => {
    put()
    let conflicts = 2
    server.fault = ({ method }) => {
      if (method !== 'PATCH' || conflicts === 0) return undefined
      conflicts -= 1
      put({ annotations: { changed: String(conflicts) } })
      return refused(409, 'Conflict', 'the object has been modified')
    }
    await writeSecret(writerAt(noon), settingsOf(), proxy)
    expect(present().metadata.annotations).toMatchObject({ changed: '0' })
    expect(present().data).toEqual({ proxy: base64(proxy) })
  })

  test('once, when another certcache writes the same proxy at the same moment', async () => {
    put()
    const two = [writerAt(noon), writerAt(later(0))]
    const states = await Promise.all(two.map((writer) => writeSecret(writer, settingsOf(), proxy)))
    expect(states.filter(({ written }) => written)).toHaveLength(1)
  })
})

describe('is refused', () => {
  const forbidden =
    (verb: string): Fault =>
    ({ method }) =>
      method === (verb === 'get' ? 'GET' : verb === 'patch' ? 'PATCH' : 'POST')
        ? refused(
            403,
            'Forbidden',
            `secrets "worker" is forbidden: User "system:serviceaccount:physics:c" cannot ${verb}`,
          )
        : undefined
  const cases: readonly {
    readonly name: string
    readonly prepare?: () => void
    readonly fault?: Fault
    readonly settings?: Json
    /** Default: `configuration`. */
    readonly code?: string
    readonly message: string
    readonly remedy: string
  }[] = [
    {
      name: '401',
      fault: () => refused(401, 'Unauthorized', 'Unauthorized'),
      message:
        'the Kubernetes API answers 401: the token of the service account is not accepted (Unauthorized)',
      remedy:
        'Check that the pod has the token of this cluster, and that its service account still exists.',
    },
    {
      name: '403 for get',
      fault: forbidden('get'),
      message:
        'the Kubernetes API answers 403: the service account may not get the Secret physics/worker (secrets "worker" is forbidden: User "system:serviceaccount:physics:c" cannot get)',
      remedy:
        'Add to its Role in the namespace physics: {apiGroups: [""], resources: [secrets], resourceNames: [worker], verbs: [get, patch]}',
    },
    {
      name: '403 for patch',
      prepare: () => put(),
      fault: forbidden('patch'),
      message:
        'the Kubernetes API answers 403: the service account may not patch the Secret physics/worker (secrets "worker" is forbidden: User "system:serviceaccount:physics:c" cannot patch)',
      remedy:
        'Add to its Role in the namespace physics: {apiGroups: [""], resources: [secrets], resourceNames: [worker], verbs: [get, patch]}',
    },
    {
      name: '403 for create',
      settings: { create: true },
      fault: forbidden('create'),
      message:
        'the Kubernetes API answers 403: the service account may not create the Secret physics/worker (secrets "worker" is forbidden: User "system:serviceaccount:physics:c" cannot create)',
      remedy:
        'Add to its Role in the namespace physics: {apiGroups: [""], resources: [secrets], verbs: [create]}',
    },
    {
      name: '404',
      message: 'the Kubernetes API answers 404: the Secret physics/worker does not exist',
      remedy:
        'Create it empty (kubectl create secret generic worker -n physics), or set `create: true`.',
    },
    {
      name: '404 of the namespace',
      settings: { create: true },
      fault: ({ method }) =>
        method === 'POST'
          ? refused(404, 'NotFound', 'namespaces "physics" not found', { kind: 'namespaces' })
          : undefined,
      message:
        'the Kubernetes API answers 404: the namespace physics does not exist (namespaces "physics" not found)',
      remedy: 'Create it, or correct `namespace`: kubectl create namespace physics',
    },
    {
      name: '409 at every attempt',
      prepare: () => put(),
      fault: ({ method }) =>
        method === 'PATCH' ? refused(409, 'Conflict', 'has been modified') : undefined,
      message:
        'the Kubernetes API answers 409: others keep changing the Secret physics/worker (has been modified)',
      remedy:
        'Only certcache may write this key: find the other writer with kubectl get --show-managed-fields.',
    },
    {
      name: '422',
      prepare: () => put(),
      fault: ({ method }) =>
        method === 'PATCH' ? refused(422, 'Invalid', 'data: Too long') : undefined,
      message:
        'the Kubernetes API answers 422: the Secret physics/worker would not be valid (data: Too long)',
      remedy: 'An immutable Secret cannot be kept fresh, and a Secret holds at most 1 MiB.',
    },
    {
      name: '500 without a Status',
      fault: () => ({ status: 500, body: ['what?'] }),
      code: 'provider_unavailable',
      message: 'the Kubernetes API answers 500: the Secret physics/worker could not be read',
      remedy:
        'Look at the log of the API server and at its admission webhooks. certcache tries again every minute.',
    },
    {
      name: 'another object than a Secret',
      fault: () => ({
        status: 200,
        body: { kind: 'Secret', metadata: {}, data: { proxy: 'aHVzaA==' } },
      }),
      message: 'the Kubernetes API answers something that is not the Secret physics/worker',
      remedy: 'Check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of this pod.',
    },
    {
      name: 'an immutable Secret',
      prepare: () => put({ labels: ours, data: { proxy: 'b2xk' }, immutable: true }),
      message: 'the Secret physics/worker is immutable and cannot be kept fresh',
      remedy: 'Delete it and create it again without `immutable`.',
    },
    {
      name: 'the Secret of somebody else',
      prepare: () => put({ data: { password: 'aHVzaA==' } }),
      message: 'the Secret physics/worker was not made for certcache and is not overwritten',
      remedy:
        'If certcache may write it, label it (kubectl label secret worker -n physics certcache/managed=true), or set `overwrite: true`.',
    },
  ]
  test.for(cases)('$name', async ({ code = 'configuration', message, remedy, ...given }) => {
    given.prepare?.()
    server.fault = given.fault
    expect(await refusalOf(settingsOf(given.settings))).toEqual({ code, message, remedy })
    // What was there is still there.
    expect(server.objects.get(path)?.['data']).not.toEqual({ proxy: base64(proxy) })
  })

  test('a key in the message of an admission webhook is not repeated', async () => {
    put()
    const quoted = `denied: ${base64(proxy)}`
    server.fault = ({ method }) =>
      method === 'PATCH' ? refused(400, 'BadRequest', quoted) : undefined
    expect((await refusalOf()).message).toBe(
      'the Kubernetes API answers 400: the Secret physics/worker could not be changed (its message is not shown, because it may hold a key)',
    )
    server.fault = () => refused(400, 'BadRequest', proxy.pem.toString())
    expect((await refusalOf()).message).not.toContain('BEGIN')
  })

  test('the Secret of somebody else is overwritten when the settings say so', async () => {
    put({ data: { password: 'aHVzaA==' } })
    await writeSecret(writerAt(noon), settingsOf({ overwrite: true }), proxy)
    expect(present().data).toEqual({ password: 'aHVzaA==', proxy: base64(proxy) })
  })
})

describe('restarts', () => {
  const restart = ['deployment/worker']
  const putWorkload = (created: Date, restartedAt?: string): void => {
    const annotations = { mine: 'y', 'kubectl.kubernetes.io/restartedAt': restartedAt }
    server.objects.set(workload, {
      metadata: { creationTimestamp: created.toISOString(), resourceVersion: '3' },
      spec: { replicas: 3, template: { metadata: { annotations }, spec: { containers: [] } } },
    })
  }
  const restartedAt = (): unknown => {
    const { spec } = server.objects.get(workload) as {
      spec: { template: { metadata: { annotations: Json } } }
    }
    return spec.template.metadata.annotations['kubectl.kubernetes.io/restartedAt']
  }
  const patches = () =>
    server.requests.filter((each) => each.method === 'PATCH' && each.path.startsWith(workload))

  test('once for each new proxy, also by several certcaches', async () => {
    put()
    putWorkload(later(-60))
    for (const minutes of [0, 1, 2])
      await writeSecrets(writerAt(later(minutes)), [settingsOf({ restart })], proxy)
    expect(restartedAt()).toBe(noon.toISOString())
    expect(patches()).toHaveLength(1)
    // Only the annotation is changed.
    expect(patches()[0]?.body).toEqual({
      spec: {
        template: {
          metadata: { annotations: { 'kubectl.kubernetes.io/restartedAt': noon.toISOString() } },
        },
      },
    })
    await writeSecrets(writerAt(later(60)), [settingsOf({ restart })], newer)
    expect(restartedAt()).toBe(later(60).toISOString())
    expect(patches()).toHaveLength(2)
  })

  test.for([
    ['that was made after the write', later(1), undefined],
    ['that somebody restarted after the write', later(-60), '2026-11-24T13:05:00+01:00'],
  ] as const)('no workload %s', async ([, created, annotation]) => {
    put()
    await writeSecret(writerAt(noon), settingsOf(), proxy)
    putWorkload(created, annotation)
    await writeSecrets(writerAt(later(10)), [settingsOf({ restart })], proxy)
    expect(patches()).toEqual([])
  })

  test('a workload with two Secrets once, after both', async () => {
    put()
    server.objects.set(`${path}-2`, { metadata: { resourceVersion: '1' } })
    putWorkload(later(-60))
    const secrets = ['worker', 'worker-2'].map((name) => settingsOf({ name, restart }))
    await writeSecrets(writerAt(noon), secrets, proxy)
    expect(patches()).toHaveLength(1)
  })

  test('later, when it failed at first', async () => {
    put()
    const missing = writeSecrets(writerAt(noon), [settingsOf({ restart })], proxy)
    await expect(missing).rejects.toMatchObject({
      message:
        'the Kubernetes API answers 404: the Deployment physics/worker does not exist (not found)',
      remedy: 'Correct `restart`, or create the Deployment.',
    })
    putWorkload(later(-60))
    server.fault = ({ method }) =>
      method === 'PATCH' ? refused(403, 'Forbidden', 'no') : undefined
    const denied = writeSecrets(writerAt(later(1)), [settingsOf({ restart })], proxy)
    await expect(denied).rejects.toMatchObject({
      message:
        'the Kubernetes API answers 403: the service account may not patch the Deployment physics/worker (no)',
      remedy:
        'Add to its Role in the namespace physics: {apiGroups: ["apps"], resources: [deployments], resourceNames: [worker], verbs: [get, patch]}',
    })
    server.fault = undefined
    await writeSecrets(writerAt(later(2)), [settingsOf({ restart })], proxy)
    expect(restartedAt()).toBe(noon.toISOString())
  })
})

describe('beside the other outputs', () => {
  async function filesOf(secrets: readonly Json[], more: Json = {}) {
    const directory = await temporaryDirectory()
    const { proxies } = await settingsIn(directory, {
      proxies: {
        gwms_proxy: { outputs: [{ path: 'file' }], kubernetes_secrets: secrets, ...more },
      },
    })
    const clock = { now: noon }
    const logged: string[] = []
    const log = createLog({
      level: 'debug',
      name: 'certcache',
      destination: { write: (line) => void logged.push(line) },
    })
    const parts = {
      now: () => clock.now,
      log,
      environment: {},
      kubernetesApi: createKubernetesApi(server),
    }
    const settings = proxies['gwms_proxy']
    if (settings === undefined) throw new Error('it is in the settings')
    return { files: new ProxyFiles(settings, parts), clock, logged, file: `${directory}/file` }
  }

  test('a failure does not stop the hook for a file that was written', async () => {
    const hook = ['/bin/sh', '-c', 'echo ran >> "$CERTCACHE_PROXY_FILE.hook"']
    const { files, clock, file } = await filesOf([{ name: 'worker' }], { hook })
    const runs = (): Promise<string> => readFile(`${file}.hook`, 'utf8')
    // From an earlier run, and its file is gone.
    files.publish(proxy, false)
    await files.settled()
    expect(files.error?.message).toContain('the Secret physics/worker does not exist')
    expect(await runs()).toBe('ran\n')
    clock.now = new Date(noon.getTime() + 61_000)
    files.retry(proxy)
    await files.settled()
    expect(await runs()).toBe('ran\n')
    await expect(files.ensure(proxy)).rejects.toThrow('does not exist')
  })

  test('a failure stops neither the file nor the other Secret, and is tried again after a minute', async () => {
    server.objects.set(`${path}-2`, { metadata: { resourceVersion: '1' } })
    const { files, clock, logged, file } = await filesOf([{ name: 'worker' }, { name: 'worker-2' }])
    files.publish(proxy, true)
    await files.settled()
    expect(await readFile(file)).toEqual(proxy.pem)
    expect(server.objects.get(`${path}-2`)?.['data']).toEqual({ proxy: base64(proxy) })
    expect(files.error?.message).toContain('the Secret physics/worker does not exist')
    expect(logged.join()).toContain('output.failed')
    expect(logged.join()).not.toMatch(/PRIVATE KEY|token-1/)
    put()
    clock.now = later(0.5)
    files.retry(proxy)
    await files.settled()
    expect(present().data).toBeUndefined()
    clock.now = later(1.5)
    files.retry(proxy)
    await files.settled()
    expect(present().data).toEqual({ proxy: base64(proxy) })
    expect(files.error).toBeUndefined()
  })

  test('a Secret that somebody empties or deletes is written again within five minutes', async () => {
    put()
    const { files, clock } = await filesOf([{ name: 'worker', create: true }])
    files.publish(proxy, true)
    await files.settled()
    for (const [minutes, spoil] of [
      [6, () => put({ labels: ours })],
      [12, () => server.objects.delete(path)],
    ] as const) {
      spoil()
      clock.now = later(minutes - 2)
      files.retry(proxy)
      await files.settled()
      expect(server.objects.get(path)?.['data']).toBeUndefined()
      clock.now = later(minutes)
      files.retry(proxy)
      await files.settled()
      expect(present().data).toEqual({ proxy: base64(proxy) })
    }
    // In between nothing is asked.
    server.requests.length = 0
    files.retry(proxy)
    await files.settled()
    expect(server.requests).toEqual([])
  })

  test('`status` reads the Secret and writes nothing', async () => {
    const writer = writerAt(noon)
    expect(await inspectSecret(writer, settingsOf(), proxy)).toMatchObject({
      message: 'the Secret physics/worker does not hold the newest proxy',
      remedy: 'Run `certcache refresh`, or start `certcache serve`: both write it again.',
    })
    put()
    await writeSecret(writer, settingsOf(), proxy)
    server.requests.length = 0
    expect(await inspectSecret(writer, settingsOf(), proxy)).toBeUndefined()
    expect(server.requests.map(({ method }) => method)).toEqual(['GET'])
    server.fault = () => refused(401, 'Unauthorized', 'Unauthorized')
    expect((await inspectSecret(writer, settingsOf(), proxy))?.message).toContain('answers 401')
  })
})
