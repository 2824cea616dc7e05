/** The Helm charts: rendered by Helm, decoded strictly by the types of the API, and loaded by the programs in them. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadSettings } from '../../../src/certcache/settings/load-settings.ts'
import { loadConfiguration } from '../../../src/config/load.ts'
import { deployed, manifestFiles } from '../example-files.ts'
import {
  buildChartTools,
  chartJudges,
  chartPath,
  charts,
  type ChartTools,
  documentsOf,
  type KubernetesDocument,
  openChartTools,
} from './chart-tools.ts'
import { badValues, cache, onPostgresql, secretsOnly, service, valueSets } from './chart-values.ts'
import { mountedSecrets, podOf } from './rendered-pods.ts'

const NAME = `the Helm charts ${chartJudges}`
const built = await buildChartTools()

if ('missing' in built) {
  const required = built.isFault && process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'
  describe.skipIf(!required)(NAME, () => {
    test(`NOT RUN: ${built.missing}`, () => {
      expect.fail(built.missing)
    })
  })
} else {
  describe(NAME, () => {
    const directory = mkdtempSync(join(tmpdir(), 'helm-'))
    let tools: ChartTools
    beforeAll(() => {
      tools = openChartTools(built.directory, directory)
    })
    afterAll(() => rmSync(directory, { recursive: true, force: true }))

    test.for(charts)('%s: helm lint, strict', async (chart) => {
      const values = join(directory, `${chart}.json`)
      writeFileSync(values, JSON.stringify(chart === 'tts' ? onPostgresql : cache))
      const { code, out } = await tools.helm([
        'lint',
        '--strict',
        '--values',
        values,
        chartPath(chart),
      ])
      expect({ code, out }).toEqual({ code: 0, out: expect.stringContaining('0 chart(s) failed') })
    })

    test.for(charts)('%s: the schema knows every value, and every value has a default', (chart) => {
      const values = parse(readFileSync(join(chartPath(chart), 'values.yaml'), 'utf8')) as object
      const text = readFileSync(join(chartPath(chart), 'values.schema.json'), 'utf8')
      const { properties } = JSON.parse(text) as { properties: object }
      // `global` is set by charts that include this one.
      expect([...Object.keys(values), 'global'].toSorted()).toEqual(
        Object.keys(properties).toSorted(),
      )
      const about = readFileSync(join(chartPath(chart), 'README.md'), 'utf8')
      for (const name of Object.keys(values)) expect(about).toContain(`\`${name}`)
    })

    describe.for(valueSets)('$chart: $name', ({ chart, values, objects, mounts }) => {
      let yaml = ''
      let documents: readonly KubernetesDocument[] = []
      beforeAll(async () => {
        const { code, out, err } = await tools.render(chart, values)
        expect({ code, err: err.replace(/^level=INFO .*\n/gm, '') }).toEqual({ code: 0, err: '' })
        yaml = out
        documents = documentsOf(out)
      })

      test('has these objects, which the API decodes strictly, and restricted pods', async () => {
        const found = documents.map(({ kind, metadata }) => `${kind} ${metadata.name}`)
        expect(found.toSorted()).toEqual(objects.toSorted())
        const problems = await tools.problems(yaml)
        expect(problems).toHaveLength(objects.length)
        expect(problems.filter((each) => each.problems.length > 0)).toEqual([])
      })

      test('holds no secret, and mounts those that the values name', () => {
        for (const { kind, ...object } of documents)
          if (kind === 'Secret') expect(object).not.toHaveProperty('data')
        expect(new Set(mountedSecrets(podOf(documents)))).toEqual(new Set(mounts))
      })

      test('confines its containers, probes them, and spreads them', () => {
        const pod = podOf(documents)
        expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, fsGroup: 1000 })
        const variables = pod.containers.flatMap(({ env = [] }) => env)
        // Files of volumes belong to that group, and the programs must be told.
        const groups = variables.filter(({ name }) => name.endsWith('_TRUSTED_GROUP'))
        expect(groups.map(({ value }) => value)).toEqual(['1000'])
        for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
          expect(container.securityContext).toMatchObject({ readOnlyRootFilesystem: true })
          expect(container.resources?.['limits']).toHaveProperty('memory')
        }
        for (const { livenessProbe } of pod.containers) expect(livenessProbe).toBeDefined()
        // A token of the API only where it is needed.
        const needsApi = documents.some(({ kind }) => kind === 'Role')
        expect(pod.automountServiceAccountToken).toBe(needsApi)
        const { replicas = 1 } = workloadOf(documents)['spec'] as { replicas?: number }
        if (replicas > 1) expect(pod.topologySpreadConstraints?.length).toBeGreaterThan(0)
      })

      test('the program accepts its configuration', async () => {
        const root = mkdtempSync(join(directory, 'root-'))
        const { file, environment } = layOut(root, documents)
        if (chart === 'tts') {
          const { configuration } = await loadConfiguration(file, environment)
          const { listenAddress: host = '0.0.0.0' } = values as { listenAddress?: string }
          expect(configuration.listen).toMatchObject({
            host,
            port: 8443,
            plain: { host, port: 8080 },
          })
          expect(configuration.store.url !== undefined).toBe('database' in values)
        } else {
          const { settings } = await loadSettings(file, { environment, uid: 1000 })
          expect(settings.service.url).toBe('https://tts.example.org')
          const secrets = Object.values(settings.proxies).flatMap((each) => each.kubernetes_secrets)
          const named = documents.filter(({ kind }) => kind === 'Secret')
          expect(secrets.map(({ name }) => name).toSorted()).toEqual(
            named.map(({ metadata }) => metadata.name).toSorted(),
          )
        }
      })
    })

    test('a proxy of its own for each Secret, and the Role for exactly these objects', async () => {
      const set = valueSets.find(
        ({ chart, name }) => chart === 'certcache' && name === 'everything',
      )
      const { out } = await tools.render('certcache', set?.values ?? {})
      const documents = documentsOf(out)
      const { data } = documents.find(({ kind }) => kind === 'ConfigMap') as unknown as {
        data: Record<string, string>
      }
      expect(parse(data['certcache.yaml'] ?? '')).toEqual({
        proxies: {
          gwms_proxy: {
            kubernetes_secrets: [
              { name: 'grid-proxy', key: 'x509up', restart: ['deployment/web', 'statefulset/db'] },
              { name: 'elsewhere', namespace: 'physics' },
            ],
          },
          limited: {
            type: 'limited',
            kubernetes_secrets: [
              { name: 'limited', restart: ['daemonset/agent', 'deployment/web'] },
            ],
          },
        },
      })
      const roles = documents.filter(({ kind }) => kind === 'Role')
      const apps = (resources: string, name: string) => ({
        apiGroups: ['apps'],
        resources: [resources],
        resourceNames: [name],
        verbs: ['get', 'patch'],
      })
      const secrets = (...resourceNames: string[]) => ({
        apiGroups: [''],
        resources: ['secrets'],
        resourceNames,
        verbs: ['get', 'patch'],
      })
      expect(roles.map(({ metadata, rules }) => [metadata.namespace, rules])).toEqual([
        [
          'grid',
          [
            secrets('grid-proxy', 'limited'),
            apps('deployments', 'web'),
            apps('statefulsets', 'db'),
            apps('daemonsets', 'agent'),
          ],
        ],
        ['physics', [secrets('elsewhere')]],
      ])
    })

    test('a change of the configuration replaces the pods', async () => {
      const podAnnotations = async (values: object) => {
        const { out } = await tools.render('certcache', { ...cache, ...values })
        const { template } = workloadOf(documentsOf(out))['spec'] as {
          template: KubernetesDocument
        }
        return template.metadata['annotations']
      }
      expect(await podAnnotations({})).toEqual(await podAnnotations({}))
      expect(await podAnnotations({ config: { log_level: 'debug' } })).not.toEqual(
        await podAnnotations({}),
      )
    })

    test('certcache: who may fetch, by the network and by the secret', async () => {
      const rendered = async (values: object) => {
        const { out } = await tools.render('certcache', { ...cache, ...values })
        return documentsOf(out)
      }
      const peersOf = (documents: readonly KubernetesDocument[]): unknown => {
        const policies = documents.filter(({ kind }) => kind === 'NetworkPolicy')
        const specs = policies.map(({ spec }) => spec as { ingress: { from: unknown }[] })
        return specs.flatMap(({ ingress }) => ingress.map(({ from }) => from))
      }
      const byDefault = await rendered({})
      expect(peersOf(byDefault)).toEqual([[{ podSelector: {} }]])
      const from = [{ namespaceSelector: { matchLabels: { name: 'monitoring' } } }]
      expect(peersOf(await rendered({ networkPolicy: { from } }))).toEqual([from])
      expect(JSON.stringify(byDefault)).not.toContain('anyone_who_reaches_the_port')
      // Nobody would reach a Service of a pod without a server.
      const none = await rendered({ ...secretsOnly, state: { kind: 'volume' } })
      expect(none.map(({ kind }) => kind)).not.toContain('Service')
    })

    test('tts: the CRL is served by plain http, also where the host has a certificate', async () => {
      const ingress = { enabled: true, host: 'x.org', tlsSecret: 'x', publicHost: 'x.org' }
      const { out } = await tools.render('tts', {
        ...service,
        trustedProxies: ['10.0.0.0/8'],
        ingress,
      })
      const found = documentsOf(out).find(({ metadata }) => metadata.name === 'site-public')
      expect(found?.metadata['annotations']).toEqual({
        'nginx.ingress.kubernetes.io/ssl-redirect': 'false',
      })
      expect(found?.['spec']).not.toHaveProperty('tls')
    })

    test.for(charts)('%s: the notes name what there is', async (chart) => {
      const values = chart === 'tts' ? service : secretsOnly
      const words = [
        'install',
        'site',
        chartPath(chart),
        '--namespace',
        'grid',
        '--dry-run=client',
        '--values',
        '-',
      ]
      const file = join(directory, `${chart}-notes.json`)
      writeFileSync(file, JSON.stringify(values))
      const { code, out } = await tools.helm([...words.slice(0, -1), file])
      expect(code).toBe(0)
      const notes = out.slice(out.indexOf('NOTES:'))
      expect(notes).toContain(
        chart === 'tts'
          ? 'statefulset/site -- tts check'
          : 'deploy/site-proxies -- certcache status',
      )
    })

    test.for(badValues)('$chart refuses $name', async ({ chart, values, message }) => {
      const { code, out, err } = await tools.render(chart, values)
      expect({ code, out }).toEqual({ code: 1, out: '' })
      const lines = err
        .split('\n')
        .map((line) => line.replace(/^- |^Error: execution error at \([^)]*\): /, ''))
      expect(lines).toContain(message)
    })

    test('the examples of deploy/kubernetes are decoded strictly, too', async () => {
      for (const file of manifestFiles) {
        const problems = await tools.problems(deployed(`kubernetes/${file}`))
        expect(problems.length).toBeGreaterThan(0)
        expect(problems.flatMap((each) => each.problems)).toEqual([])
      }
    })

    test.for([
      [
        'an unknown field',
        'kind: ServiceAccount\napiVersion: v1\nautomount: true',
        'unknown field "automount"',
      ],
      [
        'a field twice',
        'kind: Secret\napiVersion: v1\ntype: a\ntype: b',
        'key "type" already set in map',
      ],
      [
        'an unknown kind',
        'kind: Deployment\napiVersion: apps/v1beta1',
        'no kind "Deployment" is registered for version "apps/v1beta1"',
      ],
      [
        'a wrong type',
        'kind: Service\napiVersion: v1\nspec: { ports: 8 }',
        'cannot unmarshal number',
      ],
      [
        'an unknown field of a monitor',
        'kind: ServiceMonitor\napiVersion: monitoring.coreos.com/v1\nspec: { endpoints: [{ ports: x }] }',
        'unknown field "spec.endpoints[0].ports"',
      ],
      [
        'a pod with rights',
        'kind: Deployment\napiVersion: apps/v1\nspec: { template: { spec: { containers: [{ name: a }] } } }',
        'not restricted: allowPrivilegeEscalation != false',
      ],
    ] as const)('the decoder finds %s', async ([, yaml, problem]) => {
      const [found] = await tools.problems(yaml)
      expect(found?.problems.join('\n')).toContain(problem)
    })
  })
}

const workloadOf = (documents: readonly KubernetesDocument[]): KubernetesDocument => {
  const found = documents.find(({ kind }) => kind === 'Deployment' || kind === 'StatefulSet')
  if (found === undefined) throw new Error('a chart has a workload')
  return found
}

/** Contents of the keys of Secrets that programs read when they load their configuration. */
const contents: Readonly<Record<string, string>> = {
  url: 'postgres://tts:hush@db.example.org/tts',
  key: Buffer.alloc(32, 7).toString('base64'),
  'master-keys': `first:${Buffer.alloc(32, 7).toString('base64')}`,
}

/** Puts what is mounted below a directory. Returns the settings file and the environment, with paths below it. */
function layOut(root: string, documents: readonly KubernetesDocument[]) {
  const container = podOf(documents).containers[0]
  const { data } = documents.find(({ kind }) => kind === 'ConfigMap') as unknown as {
    data: Record<string, string>
  }
  const put = (path: string, content: string): string => {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content, { mode: 0o600 })
    return join(root, path)
  }
  const below = (text: string): string =>
    text.replaceAll(/\/(etc\/(tts|certcache)|data|state)\b/g, `${root}$&`)
  const [name = ''] = Object.keys(data)
  const file = put(`/etc/${name.replace('.yaml', '')}/${name}`, below(data[name] ?? ''))
  for (const path of below(`${JSON.stringify(container?.env)}${data[name]}`).match(
    /\/etc\/[\w/.-]+/g,
  ) ?? []) {
    const key = path.split('/').at(-1) ?? ''
    put(path, contents[key] ?? 'a secret of at least sixteen characters')
  }
  const environment = Object.fromEntries(
    (container?.env ?? [])
      .filter(({ name }) => /^(TTS|CERTCACHE)_/.test(name))
      .map(({ name, value }) => [name, value === undefined ? 'from-a-secret' : below(value)]),
  )
  // Here, this process has none of the groups of the pod.
  const group = String(process.getgid?.())
  const prefix = name.replace('.yaml', '').toUpperCase()
  return { file, environment: { HOME: root, ...environment, [`${prefix}_TRUSTED_GROUP`]: group } }
}
