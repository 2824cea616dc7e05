/** Values of both charts that tests render, and what is mounted for them. */
import type { Chart, Values } from './chart-tools.ts'

export interface ValueSet {
  readonly chart: Chart
  readonly name: string
  readonly values: Values
  /** Kinds and names of the objects, sorted. */
  readonly objects: readonly string[]
  /** Secrets that the pod uses. */
  readonly mounts: readonly string[]
}

const image = { repository: 'registry.example.org/tts' }
const config = {
  listen: { public_url: 'https://tts.example.org' },
  ca: { crl_url: 'http://tts.example.org/ca/crl.der' },
  providers: {
    iam: {
      issuer: 'https://iam.example.org/',
      audiences: ['https://tts.example.org'],
      client_id: 'tts',
      client_secret_file: '/etc/tts/secrets/iam/client-secret',
    },
  },
  services: {
    x509: { authz: { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] } },
  },
}
export const service = { image, trustedProxies: ['10.42.0.0/16'] }
export const onPostgresql = {
  ...service,
  database: { kind: 'postgresql', urlSecret: { name: 'tts-database' } },
  ca: { secret: 'tts-ca' },
  masterKeys: { secret: 'tts-master-keys' },
}
const scheduling = {
  imagePullSecrets: [{ name: 'registry' }],
  nodeSelector: { 'kubernetes.io/arch': 'amd64' },
  tolerations: [{ key: 'grid', operator: 'Exists', effect: 'NoSchedule' }],
  affinity: { nodeAffinity: {} },
  podAnnotations: { note: 'text' },
  podLabels: { team: 'grid' },
  env: [{ name: 'HTTPS_PROXY', value: 'http://proxy.example.org:3128' }],
}
const peers = [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'ingress' } } }]

export const cache = {
  image,
  serviceUrl: 'https://tts.example.org',
  source: { secret: 'certcache-delegation' },
  server: { tlsSecret: 'certcache-tls', clientSecret: 'certcache-secret' },
}
export const secretsOnly = {
  ...cache,
  server: { enabled: false },
  proxySecrets: [{ name: 'grid-proxy' }],
}

const serviceObjects = [
  'ConfigMap site',
  'NetworkPolicy site',
  'Service site',
  'ServiceAccount site',
]
const cacheObjects = serviceObjects.map((object) => `${object}-proxies`)

export const valueSets: readonly ValueSet[] = [
  {
    chart: 'tts',
    name: 'defaults, with what is required',
    values: service,
    mounts: [],
    objects: [...serviceObjects, 'StatefulSet site'],
  },
  {
    chart: 'tts',
    name: 'SQLite on a claim that exists, TLS in the pod, the CA from a Secret',
    values: {
      image,
      tls: { secret: 'tts-tls' },
      persistence: { existingClaim: 'tts-data' },
      ca: { secret: 'tts-ca' },
      listenAddress: '::',
      networkPolicy: { enabled: false },
    },
    mounts: ['tts-tls', 'tts-ca'],
    objects: ['ConfigMap site', 'Service site', 'ServiceAccount site', 'StatefulSet site'],
  },
  {
    chart: 'tts',
    name: 'PostgreSQL',
    values: onPostgresql,
    mounts: ['tts-ca', 'tts-master-keys', 'tts-database'],
    objects: [...serviceObjects, 'Deployment site', 'PodDisruptionBudget site'],
  },
  {
    chart: 'tts',
    name: 'an Ingress',
    values: {
      ...service,
      ingress: { enabled: true, host: 'tts.example.org', tlsSecret: 'tts-tls' },
    },
    mounts: [],
    objects: [...serviceObjects, 'StatefulSet site', 'Ingress site'],
  },
  {
    chart: 'tts',
    name: 'everything',
    values: {
      ...onPostgresql,
      ...scheduling,
      config,
      tls: { secret: 'tts-tls' },
      sshCa: { secret: 'tts-ssh-ca' },
      secrets: ['iam'],
      autoscaling: { enabled: true, requestsInFlight: 200 },
      service: { type: 'LoadBalancer', annotations: { note: 'text' } },
      ingress: {
        enabled: true,
        className: 'nginx',
        annotations: { note: 'text' },
        host: 'tts.example.org',
        tlsSecret: 'tts-tls',
        publicHost: 'tts.example.org',
      },
      serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
      prometheusRule: { enabled: true, labels: { release: 'prometheus' } },
      podDisruptionBudget: { maxUnavailable: '25%' },
      networkPolicy: { tokensFrom: peers, publicFrom: peers, egressTo: peers },
      priorityClassName: 'important',
      serviceAccount: { annotations: { note: 'text' } },
    },
    mounts: ['tts-ca', 'tts-ssh-ca', 'tts-master-keys', 'tts-database', 'tts-tls', 'iam'],
    objects: [
      ...serviceObjects,
      'Deployment site',
      'HorizontalPodAutoscaler site',
      'Ingress site',
      'Ingress site-public',
      'PodDisruptionBudget site',
      'PrometheusRule site',
      'ServiceMonitor site',
    ],
  },
  {
    chart: 'certcache',
    name: 'defaults, with what is required',
    values: cache,
    mounts: ['certcache-delegation', 'certcache-tls', 'certcache-secret'],
    objects: [...cacheObjects, 'Deployment site-proxies'],
  },
  {
    chart: 'certcache',
    name: 'a token that something else keeps fresh, into Secrets alone',
    values: { ...secretsOnly, source: { kind: 'token', secret: 'token' } },
    mounts: ['token'],
    objects: [
      ...cacheObjects.filter((object) => !object.startsWith('Service ')),
      'Deployment site-proxies',
      'Role site-proxies',
      'RoleBinding site-proxies',
      'Secret grid-proxy',
    ],
  },
  {
    chart: 'certcache',
    name: 'a rotating refresh token, on a volume',
    values: {
      ...cache,
      source: { kind: 'refresh', secret: 'iam-client', issuer: 'https://iam.example.org/' },
      state: { kind: 'volume', storageClassName: 'fast' },
      server: { ...cache.server, allow: ['10.0.0.0/8'], listenAddress: '::' },
    },
    mounts: ['iam-client', 'certcache-tls', 'certcache-secret'],
    objects: [...cacheObjects, 'StatefulSet site-proxies'],
  },
  {
    chart: 'certcache',
    name: 'everything',
    values: {
      ...cache,
      ...scheduling,
      state: { kind: 'postgresql', secret: 'certcache-database' },
      replicas: 3,
      config: { proxies: { gwms_proxy: {}, limited: { type: 'limited' } } },
      proxySecrets: [
        { name: 'grid-proxy', key: 'x509up', restart: ['deployment/web', 'statefulset/db'] },
        { name: 'limited', proxy: 'limited', restart: ['daemonset/agent', 'deployment/web'] },
        { name: 'elsewhere', namespace: 'physics' },
      ],
      serviceMonitor: { enabled: true, caSecret: { name: 'certcache-tls', key: 'ca.crt' } },
      prometheusRule: { enabled: true },
      networkPolicy: { from: peers, egressTo: peers },
    },
    mounts: ['certcache-delegation', 'certcache-database', 'certcache-tls', 'certcache-secret'],
    objects: [
      ...cacheObjects,
      'Deployment site-proxies',
      'PodDisruptionBudget site-proxies',
      'PrometheusRule site-proxies',
      'Role site-proxies',
      'Role site-proxies',
      'RoleBinding site-proxies',
      'RoleBinding site-proxies',
      'Secret elsewhere',
      'Secret grid-proxy',
      'Secret limited',
      'ServiceMonitor site-proxies',
    ],
  },
]

export interface BadValues {
  readonly chart: Chart
  readonly name: string
  readonly values: Values
  /** What Helm says, from the place of the fault on. */
  readonly message: string
}

const withConfig = (config: Values): Values => ({ ...service, config })
const forPostgresql = (missing: string): Values => ({ ...onPostgresql, [missing]: {} })

/** As the schema has it. */
const WORKLOAD =
  "'^(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$'"

export const badValues: readonly BadValues[] = [
  {
    chart: 'tts',
    name: 'neither TLS nor a proxy',
    values: {},
    message: 'tls.secret or trustedProxies must be set: tokens never cross a network in clear',
  },
  {
    chart: 'tts',
    name: 'PostgreSQL without a connection string',
    values: { ...onPostgresql, database: { kind: 'postgresql' } },
    message:
      'database.urlSecret.name: the Secret with the connection string must be set for postgresql',
  },
  {
    chart: 'tts',
    name: 'PostgreSQL without a CA',
    values: forPostgresql('ca'),
    message: 'ca.secret: the Secret with the CA must be set for postgresql',
  },
  {
    chart: 'tts',
    name: 'PostgreSQL without master keys',
    values: forPostgresql('masterKeys'),
    message: 'masterKeys.secret: the Secret with the master keys must be set for postgresql',
  },
  {
    chart: 'tts',
    name: 'an Ingress without its certificate',
    values: { ...service, ingress: { enabled: true, host: 'x.org' } },
    message: 'ingress.tlsSecret: the Secret with the certificate of ingress.host must be set',
  },
  {
    chart: 'tts',
    name: 'an Ingress without a host',
    values: { ...service, ingress: { enabled: true, tlsSecret: 'x' } },
    message: 'ingress.host must be set',
  },
  {
    chart: 'tts',
    name: 'an Ingress that is not trusted',
    values: { tls: { secret: 'x' }, ingress: { enabled: true, host: 'x.org', tlsSecret: 'x' } },
    message:
      'trustedProxies: the networks of the pods of the ingress controller must be set for ingress.enabled',
  },
  {
    chart: 'tts',
    name: 'a master key in the values',
    values: withConfig({ master_key: 'x' }),
    message:
      'config.master_key: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)',
  },
  {
    chart: 'tts',
    name: 'a connection string in the values',
    values: withConfig({ store: { url: 'postgres://x:y@z' } }),
    message:
      'config.store.url: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)',
  },
  {
    chart: 'tts',
    name: 'a passphrase in the values',
    values: withConfig({ ca: { passphrase: 'x' } }),
    message:
      'config.ca.passphrase: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)',
  },
  {
    chart: 'tts',
    name: 'a client secret in the values',
    values: withConfig({ providers: { iam: { client_secret: 'x' } } }),
    message:
      'config.providers.iam.client_secret: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)',
  },
  {
    chart: 'tts',
    name: 'a client secret for delegations in the values',
    values: withConfig({ providers: { iam: { delegation: { client_secret: 'x' } } } }),
    message:
      'config.providers.iam.delegation.client_secret: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)',
  },
  {
    chart: 'tts',
    name: 'the URL of a webhook in the values',
    values: withConfig({ delegations: { notice: { webhook_url: 'https://hooks.example.org/x' } } }),
    message:
      'config.delegations.notice.webhook_url: a ConfigMap must not hold a secret; name a file of a Secret (values `secrets`)',
  },
  {
    chart: 'tts',
    name: 'a value that does not exist',
    values: { ...service, replica: 2 },
    message: "at '': additional properties 'replica' not allowed",
  },
  {
    chart: 'tts',
    name: 'a value that does not exist, below another',
    values: { ...service, image: { ...image, name: 'x' } },
    message: "at '/image': additional properties 'name' not allowed",
  },
  {
    chart: 'tts',
    name: 'another database',
    values: { ...service, database: { kind: 'mysql' } },
    message: "at '/database/kind': value must be one of 'sqlite', 'postgresql'",
  },
  {
    chart: 'tts',
    name: 'no replica',
    values: { ...service, replicas: 0 },
    message: "at '/replicas': minimum: got 0, want 1",
  },
  {
    chart: 'tts',
    name: 'a tag and no digest',
    values: { ...service, image: { ...image, digest: 'latest' } },
    message: "at '/image/digest': 'latest' does not match pattern '^(sha256:[0-9a-f]{64})?$'",
  },
  {
    chart: 'tts',
    name: 'a data directory of its own',
    values: withConfig({ data_dir: '/x' }),
    message: "at '/config': 'not' failed",
  },
  {
    chart: 'certcache',
    name: 'no service',
    values: { ...cache, serviceUrl: '' },
    message: 'serviceUrl: the URL of the Token Translation Service must be set',
  },
  {
    chart: 'certcache',
    name: 'a namespace without a name',
    values: { ...secretsOnly, proxySecrets: [{ name: 'a', namespace: '' }] },
    message: `at '/proxySecrets/0/namespace': '' does not match pattern '^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$'`,
  },
  {
    chart: 'certcache',
    name: 'a key that leads out of the volume',
    values: { ...secretsOnly, proxySecrets: [{ name: 'a', key: '..' }] },
    message: `at '/proxySecrets/0/key': '..' does not match pattern '^([-_a-zA-Z0-9]|[.][-_a-zA-Z0-9])[-._a-zA-Z0-9]{0,251}$'`,
  },
  {
    chart: 'certcache',
    name: 'a workload that no API has',
    values: { ...secretsOnly, proxySecrets: [{ name: 'a', restart: ['deployment/a..b'] }] },
    message: `at '/proxySecrets/0/restart/0': 'deployment/a..b' does not match pattern ${WORKLOAD}`,
  },
  {
    chart: 'certcache',
    name: 'nothing to renew with',
    values: { ...cache, source: {} },
    message: 'source.secret: the Secret that certcache renews with must be set',
  },
  {
    chart: 'certcache',
    name: 'a refresh token without its provider',
    values: { ...cache, source: { kind: 'refresh', secret: 'x' }, state: { kind: 'volume' } },
    message: 'source.issuer: the issuer URL of the provider must be set for source.kind refresh',
  },
  {
    chart: 'certcache',
    name: 'a refresh token in memory alone',
    values: { ...cache, source: { kind: 'refresh', secret: 'x', issuer: 'https://x.org' } },
    message:
      'source.kind: refresh needs state.kind volume or postgresql: a rotated refresh token would be lost with the pod',
  },
  {
    chart: 'certcache',
    name: 'replicas without a database',
    values: { ...cache, replicas: 2 },
    message:
      'replicas above 1 need state.kind: postgresql: a state in files is for a single certcache',
  },
  {
    chart: 'certcache',
    name: 'a database without its Secret',
    values: { ...cache, state: { kind: 'postgresql' } },
    message: 'state.secret: the Secret with url and key of the database must be set',
  },
  {
    chart: 'certcache',
    name: 'a server without TLS',
    values: { ...cache, server: { clientSecret: 'x' } },
    message: 'server.tlsSecret must be set: private keys are served over TLS only',
  },
  {
    chart: 'certcache',
    name: 'a server for everybody',
    values: { ...cache, server: { tlsSecret: 'x' } },
    message:
      'server.clientSecret or server.allow must be set: whoever fetches a proxy can act as its owner',
  },
  {
    chart: 'certcache',
    name: 'nobody who would get a proxy',
    values: { ...cache, server: { enabled: false } },
    message: 'server.enabled is false and there are no proxySecrets: nobody would get a proxy',
  },
  {
    chart: 'certcache',
    name: 'metrics without a server',
    values: { ...secretsOnly, serviceMonitor: { enabled: true } },
    message:
      'serviceMonitor.enabled needs server.enabled: without the server certcache listens inside its pod only',
  },
  {
    chart: 'certcache',
    name: 'a token in the values',
    values: { ...cache, config: { source: { token: 'x' } } },
    message:
      'config.source.token: a ConfigMap must not hold a secret; name a Secret by source, state and server',
  },
  {
    chart: 'certcache',
    name: 'a client secret in the values',
    values: { ...cache, config: { access: { secret: 'x' } } },
    message:
      'config.access.secret: a ConfigMap must not hold a secret; name a Secret by source, state and server',
  },
  {
    chart: 'certcache',
    name: 'a Secret twice',
    values: { ...cache, proxySecrets: [{ name: 'a' }, { name: 'a', namespace: 'grid' }] },
    message: 'proxySecrets: grid/a is named twice',
  },
  {
    chart: 'certcache',
    name: 'a Secret of a proxy that is not there',
    values: { ...cache, proxySecrets: [{ name: 'a', proxy: 'b' }] },
    message: 'proxySecrets: config.proxies has no proxy b',
  },
  {
    chart: 'certcache',
    name: 'a Secret without a name',
    values: { ...cache, proxySecrets: [{ key: 'a' }] },
    message: "at '/proxySecrets/0': missing property 'name'",
  },
  {
    chart: 'certcache',
    name: 'a restart of what cannot be restarted',
    values: { ...cache, proxySecrets: [{ name: 'a', restart: ['job/x'] }] },
    message: `at '/proxySecrets/0/restart/0': 'job/x' does not match pattern ${WORKLOAD}`,
  },
  {
    chart: 'certcache',
    name: 'another source',
    values: { ...cache, source: { kind: 'magic', secret: 'x' } },
    message: "at '/source/kind': value must be one of 'delegation', 'token', 'refresh'",
  },
  {
    chart: 'certcache',
    name: 'a value that does not exist',
    values: { ...cache, server: { ...cache.server, tls: true } },
    message: "at '/server': additional properties 'tls' not allowed",
  },
]
