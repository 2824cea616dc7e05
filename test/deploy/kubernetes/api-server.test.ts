/**
 * certcache and the charts with a real Kubernetes API server: whether the Role of the chart is enough and not too much,
 * what the API really refuses, and whether it accepts every object. Building the server takes long, so these tests run
 * only with TTS_TEST_KUBERNETES=1.
 */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { createKubernetesApi } from '../../../src/certcache/outputs/kubernetes/api.ts'
import { writeSecret } from '../../../src/certcache/outputs/kubernetes/secret-output.ts'
import { writeSecrets } from '../../../src/certcache/outputs/kubernetes/secrets-of-proxy.ts'
import type { HeldProxy } from '../../../src/certcache/proxy-engine.ts'
import { secretSettings } from '../../../src/certcache/settings/kubernetes-settings.ts'
import { delegating, logIn } from '../../api/delegation-support.ts'
import { makeHeldProxy } from '../../certcache/server-support.ts'
import { findProgram } from '../../support/grid-tools.ts'
import { programPath } from '../../support/programs.ts'
import { useTestService } from '../../support/service.ts'
import { type ApiServer, buildApiServer, startApiServer } from './api-server.ts'
import {
  buildChartTools,
  type ChartTools,
  documentsOf,
  type KubernetesDocument,
  openChartTools,
} from './chart-tools.ts'
import { secretsOnly, valueSets } from './chart-values.ts'

const NAME = 'with a real Kubernetes API server'
const isWanted = process.env['TTS_TEST_KUBERNETES'] === '1'
const server = isWanted ? await buildApiServer() : undefined
const tools = isWanted ? await buildChartTools() : undefined
const problem =
  server === undefined || tools === undefined
    ? { missing: 'TTS_TEST_KUBERNETES=1 is not set', isFault: false }
    : 'missing' in server
      ? server
      : 'missing' in tools
        ? tools
        : undefined

if (problem !== undefined || server === undefined || tools === undefined) {
  const { missing = '', isFault = false } = problem ?? {}
  const required = isFault && process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(NAME, () => {
    test(`NOT RUN: ${missing}`, () => {
      expect.fail(missing)
    })
  })
} else {
  const directories = [server, tools].map((each) => ('directory' in each ? each.directory : ''))
  describe(NAME, () => apiServerCases(directories[0] ?? '', directories[1] ?? ''))
}

function apiServerCases(serverPrograms: string, chartPrograms: string): void {
  const directory = mkdtempSync(join(tmpdir(), 'kubernetes-test-'))
  let api: ApiServer
  let charts: ChartTools
  let proxy: HeldProxy
  let newer: HeldProxy
  beforeAll(async () => {
    charts = openChartTools(chartPrograms, directory)
    const now = new Date()
    proxy = await makeHeldProxy({ now })
    newer = {
      ...proxy,
      pem: Buffer.concat([proxy.pem, Buffer.from('\n')]),
      obtainedAt: new Date(now.getTime() + 1000),
    }
    api = await startApiServer(serverPrograms)
  }, 90_000)
  afterAll(async () => {
    await api.stop()
    rmSync(directory, { recursive: true, force: true })
  })

  const service = useTestService(delegating())
  let count = 0
  /** A namespace of its own, with the objects of the chart; `change` alters them before. */
  async function install(
    values: object,
    change?: (object: KubernetesDocument) => KubernetesDocument,
  ) {
    count += 1
    const namespace = `grid-${count}`
    await create('/api/v1/namespaces', { metadata: { name: namespace } })
    const rendered = await charts.render('certcache', { ...secretsOnly, ...values }, [
      '--namespace',
      namespace,
    ])
    expect(rendered.code).toBe(0)
    for (const object of documentsOf(rendered.out)) {
      const { kind } = object
      if (['ServiceAccount', 'Role', 'RoleBinding', 'Secret'].includes(kind))
        await create(collectionOf(object, namespace), change?.(object) ?? object)
    }
    return podIn(namespace)
  }

  /** certcache as it runs in the pod of the chart. */
  async function podIn(namespace: string) {
    const accountDirectory = mkdtempSync(join(directory, 'account-'))
    const put = (name: string, content: string) =>
      writeFileSync(join(accountDirectory, name), content)
    put('token', await api.tokenOf(namespace, 'site-proxies'))
    put('namespace', namespace)
    copyFileSync(api.caFile, join(accountDirectory, 'ca.crt'))
    const client = createKubernetesApi({ environment: api.environment, accountDirectory })
    return {
      namespace,
      accountDirectory,
      put,
      client,
      writer: { api: client, now: () => new Date() },
      path: `/api/v1/namespaces/${namespace}/secrets/grid-proxy`,
    }
  }

  async function create(collection: string, body: object): Promise<Record<string, never>> {
    const answer = await api.ask(`${collection}?fieldValidation=Strict`, { method: 'POST', body })
    expect({ status: answer.status, message: answer.body['message'] }).toEqual({ status: 201 })
    return answer.body
  }

  const settings = (more: object = {}) => secretSettings.parse({ name: 'grid-proxy', ...more })
  const messageOf = async (result: Promise<unknown>): Promise<string> =>
    result.then(
      () => 'succeeded',
      (error: unknown) => (error as Error).message,
    )

  /** A Deployment that nothing runs. */
  async function makeWorkload(namespace: string, name: string): Promise<string> {
    const labels = { app: name }
    const containers = [{ name: 'x', image: 'registry.example.org/x' }]
    const template = { metadata: { labels, annotations: { mine: 'x' } }, spec: { containers } }
    const body = { metadata: { name }, spec: { selector: { matchLabels: labels }, template } }
    await create(`/apis/apps/v1/namespaces/${namespace}/deployments`, body)
    return `/apis/apps/v1/namespaces/${namespace}/deployments/${name}`
  }

  test('certcache writes with the Role of the chart, and changes only what is its own', async () => {
    const { writer, path } = await install({})
    expect((await writeSecret(writer, settings(), proxy)).written).toBe(true)
    expect((await writeSecret(writer, settings(), proxy)).written).toBe(false)
    expect((await writeSecret(writer, settings(), newer)).written).toBe(true)
    const { body } = await api.ask(path)
    expect(body).toMatchObject({
      type: 'Opaque',
      data: { proxy: newer.pem.toString('base64') },
      metadata: {
        labels: { 'app.kubernetes.io/managed-by': 'Helm', 'certcache/managed': 'true' },
        annotations: {
          'helm.sh/resource-policy': 'keep',
          'certcache/not-after': newer.notAfter.toISOString(),
        },
      },
    })
    const { managedFields } = body['metadata'] as unknown as {
      managedFields: { manager: string }[]
    }
    expect(managedFields.map(({ manager }) => manager)).toContain('certcache')
  })

  test.skipIf(findProgram('bwrap') === undefined)(
    'the program itself, where a pod has its service account',
    async () => {
      const { accountDirectory, namespace, path } = await install({})
      const state = mkdtempSync(join(directory, 'state-'))
      const settings = join(state, 'certcache.yaml')
      const proxies = { gwms_proxy: { kubernetes_secrets: [{ name: 'grid-proxy' }] } }
      writeFileSync(settings, JSON.stringify({ service: { url: service().url }, proxies }))
      const at = '/run/secrets/kubernetes.io/serviceaccount'
      const certcache = async (...words: readonly string[]) => {
        const mounts = ['--bind', '/', '/', '--tmpfs', '/run', '--ro-bind', accountDirectory, at]
        const command = [process.execPath, programPath('src/certcache/main.ts'), ...words]
        const env = {
          PATH: process.env['PATH'],
          ...api.environment,
          CERTCACHE_CONFIG: settings,
          CERTCACHE_STATE__DIRECTORY: state,
          CERTCACHE_SOURCE__KIND: 'token',
          BEARER_TOKEN: await logIn(service()),
        }
        return promisify(execFile)('bwrap', [...mounts, '--', ...command], {
          env,
          timeout: 60_000,
        }).then(
          ({ stdout }) => ({ code: 0, text: stdout }),
          ({ code, stderr }: { code: number; stderr: string }) => ({ code, text: stderr }),
        )
      }
      expect(await certcache('refresh')).toMatchObject({ code: 0 })
      const written = readFileSync(join(state, 'gwms_proxy')).toString('base64')
      expect((await api.ask(path)).body).toMatchObject({ data: { proxy: written } })
      expect(await certcache('status', '--state', state)).toMatchObject({
        text: expect.not.stringContaining('Secret') as string,
      })
      await api.ask(path, { method: 'PATCH', body: { data: { proxy: null } } })
      expect(await certcache('status', '--state', state)).toMatchObject({ code: 1 })
      const role = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles/site-proxies`
      await api.ask(role, { method: 'DELETE' })
      const { code, text } = await certcache('refresh')
      expect(code).toBe(2)
      expect(text).toContain(`the service account may not get the Secret ${namespace}/grid-proxy`)
      expect(text).toContain('resourceNames: [grid-proxy], verbs: [get, patch]')
    },
  )

  test('an upgrade of the release leaves the proxy in the Secret', async () => {
    const { writer, path, namespace } = await install({})
    await writeSecret(writer, settings(), proxy)
    const { out } = await charts.render('certcache', secretsOnly, ['--namespace', namespace])
    const body = documentsOf(out).find(({ kind }) => kind === 'Secret')
    // As Helm 4 does: server-side apply.
    const contentType = 'application/apply-patch+yaml'
    const query = 'fieldManager=helm&force=true'
    const applied = await api.ask(`${path}?${query}`, { method: 'PATCH', contentType, body })
    expect(applied.status).toBe(200)
    expect(applied.body).toMatchObject({ data: { proxy: proxy.pem.toString('base64') } })
  })

  describe('the Role is the least', () => {
    const restart = ['deployment/web']
    const values = { proxySecrets: [{ name: 'grid-proxy', restart }] }
    /** Removes a verb from the rules for a resource. */
    const without = (resource: string, verb: string) => (object: KubernetesDocument) =>
      object.kind !== 'Role'
        ? object
        : {
            ...object,
            rules: (object['rules'] as { resources: string[]; verbs: string[] }[]).map((rule) =>
              rule.resources.includes(resource)
                ? { ...rule, verbs: rule.verbs.filter((each) => each !== verb) }
                : rule,
            ),
          }

    test('with all of it, Secret and restart work', async () => {
      const { writer, namespace } = await install(values)
      const path = await makeWorkload(namespace, 'web')
      const later = { ...writer, now: () => new Date(Date.now() + 5000) }
      expect(await messageOf(writeSecrets(later, [settings({ restart })], proxy))).toBe('succeeded')
      const { body } = await api.ask(path)
      expect(body).toMatchObject({ metadata: { generation: 2 } })
    })

    test.for([
      ['secrets', 'get', 'the service account may not get the Secret'],
      ['secrets', 'patch', 'the service account may not patch the Secret'],
      ['deployments', 'get', 'the service account may not get the Deployment'],
      ['deployments', 'patch', 'the service account may not patch the Deployment'],
    ] as const)('without %s %s it fails', async ([resource, verb, message]) => {
      const { writer, namespace } = await install(values, without(resource, verb))
      await makeWorkload(namespace, 'web')
      const later = { ...writer, now: () => new Date(Date.now() + 5000) }
      const failed = await messageOf(writeSecrets(later, [settings({ restart })], proxy))
      expect(failed).toContain(`the Kubernetes API answers 403: ${message} ${namespace}/`)
      expect(failed).toContain(
        `User "system:serviceaccount:${namespace}:site-proxies" cannot ${verb}`,
      )
    })

    test('nothing else is permitted', async () => {
      const { namespace, path } = await install(values)
      const other = await install(values)
      const token = await api.tokenOf(namespace, 'site-proxies')
      const workload = await makeWorkload(namespace, 'web')
      const secrets = `/api/v1/namespaces/${namespace}/secrets`
      await create(secrets, { metadata: { name: 'other' }, stringData: { password: 'x' } })
      const status = async (method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE', at: string) =>
        (await api.ask(at, { method, token, body: method === 'GET' ? undefined : {} })).status
      const statuses = {
        'its Secret': await status('GET', path),
        'another Secret': await status('GET', `${secrets}/other`),
        'patch another Secret': await status('PATCH', `${secrets}/other`),
        'all Secrets': await status('GET', secrets),
        'watch its Secret': await status(
          'GET',
          `${secrets}?watch=1&fieldSelector=metadata.name%3Dgrid-proxy`,
        ),
        'a new Secret': await status('POST', secrets),
        'replace its Secret': await status('PUT', path),
        'delete its Secret': await status('DELETE', path),
        'the Secret of another namespace': await status('GET', other.path),
        'scale its Deployment': await status('PATCH', `${workload}/scale`),
        'delete its Deployment': await status('DELETE', workload),
        pods: await status('GET', `/api/v1/namespaces/${namespace}/pods`),
        'a token': await status(
          'POST',
          `/api/v1/namespaces/${namespace}/serviceaccounts/site-proxies/token`,
        ),
        roles: await status(
          'GET',
          `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles`,
        ),
      }
      expect(Object.entries(statuses).filter(([, each]) => each !== 403)).toEqual([
        ['its Secret', 200],
      ])
    })
  })

  test('`create: true` needs one more rule, and says which', async () => {
    const { writer, namespace } = await install({})
    const missing = settings({ name: 'new', create: true })
    // Without a rule for this name, the API does not even say that it does not exist.
    expect(await messageOf(writeSecret(writer, missing, proxy))).toContain('may not get the Secret')
    const rule = (verbs: string[], more: object) => ({
      apiGroups: [''],
      resources: ['secrets'],
      verbs,
      ...more,
    })
    const role = `/apis/rbac.authorization.k8s.io/v1/namespaces/${namespace}/roles/site-proxies`
    const named = rule(['get', 'patch'], { resourceNames: ['new'] })
    await api.ask(role, { method: 'PATCH', body: { rules: [named] } })
    const refused = writeSecret(writer, missing, proxy)
    await expect(refused).rejects.toMatchObject({
      message: expect.stringContaining(`may not create the Secret ${namespace}/new`) as string,
      remedy: `Add to its Role in the namespace ${namespace}: {apiGroups: [""], resources: [secrets], verbs: [create]}`,
    })
    await api.ask(role, { method: 'PATCH', body: { rules: [named, rule(['create'], {})] } })
    expect(await writeSecret(writer, missing, proxy)).toMatchObject({ written: true })
    expect((await writeSecret(writer, missing, newer)).written).toBe(true)
  })

  test('a rotated token is used, and one that is not valid here is explained', async () => {
    const { writer, put, namespace } = await install({})
    put('token', 'an old token')
    expect(await messageOf(writeSecret(writer, settings(), proxy))).toBe(
      'the Kubernetes API answers 401: the token of the service account is not accepted (Unauthorized)',
    )
    put('token', await api.tokenOf(namespace, 'site-proxies'))
    expect((await writeSecret(writer, settings(), proxy)).written).toBe(true)
    put('token', await api.tokenOf(namespace, 'site-proxies', ['https://vault.example.org']))
    expect(await messageOf(writeSecret(writer, settings(), newer))).toContain('answers 401')
  })

  test('several certcaches write and restart once', async () => {
    const restart = ['deployment/web']
    const { namespace, path } = await install({ proxySecrets: [{ name: 'grid-proxy', restart }] })
    const workload = await makeWorkload(namespace, 'web')
    const pods = await Promise.all([1, 2, 3, 4].map(async () => podIn(namespace)))
    const write = async (held: HeldProxy, aheadMs: number) =>
      Promise.all(
        pods.map(async ({ writer }) => {
          const now = () => new Date(Date.now() + aheadMs)
          return writeSecrets({ ...writer, now }, [settings({ restart })], held)
        }),
      )
    expect((await write(proxy, 2000)).filter(Boolean)).toHaveLength(1)
    expect((await write(newer, 4000)).filter(Boolean)).toHaveLength(1)
    // The one with the older proxy does not write it back.
    expect((await write(proxy, 6000)).filter(Boolean)).toEqual([])
    expect((await api.ask(path)).body).toMatchObject({
      data: { proxy: newer.pem.toString('base64') },
    })
    expect((await api.ask(workload)).body).toMatchObject({
      metadata: { generation: 3 },
      spec: { template: { metadata: { annotations: { mine: 'x' } } } },
    })
  })

  test.for([
    [
      'immutable',
      { immutable: true, metadata: { labels: { 'certcache/managed': 'true' } } },
      'is immutable and cannot be kept fresh',
    ],
    [
      'of somebody else',
      { metadata: { labels: { 'certcache/managed': null } }, data: { password: 'eA==' } },
      'was not made for certcache and is not overwritten',
    ],
    [
      'too large',
      { stringData: { other: 'x'.repeat(1024 * 1024 - 200) } },
      'the Kubernetes API answers 422: the Secret',
    ],
    ['nearly too large', { stringData: { other: 'x'.repeat(700 * 1024) } }, 'succeeded'],
  ] as const)('a Secret that is %s', async ([, change, message]) => {
    const { writer, path } = await install({})
    // The answer has the whole Secret, which is more than the client of this test reads.
    await api.ask(path, { method: 'PATCH', body: change }).catch(() => undefined)
    expect(await messageOf(writeSecret(writer, settings(), proxy))).toContain(message)
  })

  test('what the API finds invalid is explained', async () => {
    const { client, writer, path } = await install({})
    await writeSecret(writer, settings(), proxy)
    // Between the read and the write of certcache, somebody makes it immutable.
    let isFirst = true
    const racing: typeof client = {
      ...client,
      send: async (request) => {
        if (request.method !== 'PATCH' || !isFirst) return client.send(request)
        isFirst = false
        await api.ask(path, { method: 'PATCH', body: { immutable: true } })
        const body = { ...(request.body as object), metadata: {} }
        return client.send({ ...request, body })
      },
    }
    expect(await messageOf(writeSecret({ ...writer, api: racing }, settings(), newer))).toMatch(
      /^the Kubernetes API answers 422: the Secret grid-\d+\/grid-proxy would not be valid \(.*field is immutable/,
    )
  })

  describe('the API accepts every object of the charts, and their pods in a restricted namespace', () => {
    test.for(valueSets)('$chart: $name', async ({ chart, values }) => {
      count += 1
      const namespace = `chart-${count}`
      const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
      await create('/api/v1/namespaces', { metadata: { name: namespace, labels } })
      await api.ask('/api/v1/namespaces', {
        method: 'POST',
        body: { metadata: { name: 'physics' } },
      })
      onTestFinished(async () => {
        await api.ask('/api/v1/namespaces/physics/secrets/elsewhere', { method: 'DELETE' })
      })
      const { out } = await charts.render(chart, values, ['--namespace', namespace])
      // The types of the Prometheus operator are not part of the API.
      const objects = documentsOf(out).filter(
        ({ apiVersion }) => !apiVersion.startsWith('monitoring'),
      )
      for (const object of objects) {
        const at = object.metadata.namespace ?? namespace
        const collection = collectionOf(object, at)
        if (at !== namespace)
          await api.ask(`${collection}/${object.metadata.name}`, { method: 'DELETE' })
        await create(collection, object)
      }
      const pod = podTemplateOf(objects)
      const pods = `/api/v1/namespaces/${namespace}/pods`
      const priorityClass = { metadata: { name: 'important' }, value: 1000 }
      await api.ask('/apis/scheduling.k8s.io/v1/priorityclasses', {
        method: 'POST',
        body: priorityClass,
      })
      await create(pods, { ...pod, metadata: { ...pod.metadata, name: 'pod' } })
    })

    test('which refuses a pod with rights', async () => {
      count += 1
      const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' }
      const name = `chart-${count}`
      await create('/api/v1/namespaces', { metadata: { name, labels } })
      await create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } })
      const body = { metadata: { name: 'pod' }, spec: { containers: [{ name: 'x', image: 'x' }] } }
      const answer = await api.ask(`/api/v1/namespaces/${name}/pods`, { method: 'POST', body })
      expect(answer.status).toBe(403)
      expect(answer.body['message']).toContain('violates PodSecurity')
    })
  })
}

/** Path that objects of this kind are created at. */
function collectionOf({ apiVersion, kind }: KubernetesDocument, namespace: string): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const word = kind.toLowerCase()
  const plural = word.endsWith('y')
    ? `${word.slice(0, -1)}ies`
    : word.endsWith('s')
      ? `${word}es`
      : `${word}s`
  return `${root}/namespaces/${namespace}/${plural}`
}

interface PodTemplate {
  readonly metadata: object
  readonly spec: { readonly volumes: readonly object[] }
}

/** The template of the one workload, with the volumes that a StatefulSet adds to its pods. */
function podTemplateOf(objects: readonly KubernetesDocument[]): PodTemplate {
  const workload = objects.find(({ kind }) => /^(Deployment|StatefulSet)$/.test(kind))
  const { template, volumeClaimTemplates = [] } = (workload as KubernetesDocument)['spec'] as {
    template: PodTemplate
    volumeClaimTemplates?: readonly KubernetesDocument[]
  }
  const claimed = volumeClaimTemplates.map(({ metadata: { name } }) => ({
    name,
    persistentVolumeClaim: { claimName: `${name}-site-0` },
  }))
  return {
    ...template,
    spec: { ...template.spec, volumes: [...template.spec.volumes, ...claimed] },
  }
}
