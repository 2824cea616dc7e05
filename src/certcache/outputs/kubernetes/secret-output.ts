/**
 * Keeps a Secret fresh for the pods that mount it. Only the key of the proxy and our annotations are changed, and the
 * Secret is never deleted or replaced, so a pod always finds a proxy in it. Kubelets update mounted volumes within a
 * minute or two, but neither `subPath` mounts nor environment variables.
 */
import { z } from 'zod'
import { TtsError } from '../../../base/errors.ts'
import type { HeldProxy } from '../../proxy-engine.ts'
import type { SecretSettings } from '../../settings/kubernetes-settings.ts'
import type { KubernetesApi } from './api.ts'
import { describeObject, type KubernetesObject, kubernetesRefusal } from './refusals.ts'

/** Label of a Secret that certcache may write. Not `managed-by`, which belongs to Helm where Helm made the Secret. */
const MANAGED_LABEL = 'certcache/managed'
/** Annotation: when the proxy ends; for people and for monitoring. */
const NOT_AFTER = 'certcache/not-after'
/** Annotation: when the proxy was obtained. By this, several certcaches agree on which proxy is the newest. */
const OBTAINED_AT = 'certcache/obtained-at'
/** Annotation: when the proxy was written. Pods that started earlier have an older one. */
const WRITTEN_AT = 'certcache/written-at'

/** What a write depends on. */
export interface SecretWriter {
  readonly api: KubernetesApi
  readonly now: () => Date
}

export interface SecretState {
  /** Whether this call wrote the proxy. */
  readonly written: boolean
  /** When the present content was written; undefined if nobody noted it. */
  readonly writtenAt: Date | undefined
}

const texts = z.record(z.string(), z.string()).default({})

/** The part of a Secret that matters here. */
const secretSchema = z.object({
  metadata: z.object({ resourceVersion: z.string(), labels: texts, annotations: texts }),
  immutable: z.boolean().default(false),
  data: texts,
})

type Secret = z.output<typeof secretSchema>

/** A write is tried again when another client changed the Secret between our two requests. */
const ATTEMPTS = 4
/** Difference between the clocks of two certcaches that is taken for normal. */
const CLOCK_TOLERANCE_MS = 300_000

/**
 * Writes the proxy into the Secret, unless it holds this proxy or a newer one.
 *
 * @throws {TtsError} check `kubernetes`: `configuration` (no such Secret, not ours, not permitted),
 * `provider_unavailable`
 */
export async function writeSecret(
  writer: SecretWriter,
  settings: SecretSettings,
  proxy: HeldProxy,
): Promise<SecretState> {
  const object = await secretObject(writer.api, settings)
  for (let attempt = 1; ; attempt += 1) {
    const secret = await readSecret(writer.api, object)
    if (secret !== undefined && holds(secret, { key: settings.key, proxy, now: writer.now() }))
      return { written: false, writtenAt: dateOf(secret, WRITTEN_AT) }
    const now = writer.now()
    const request = requestFor(object, secret, { settings, proxy, now })
    const response = await writer.api.send(request)
    if (response.status === 200 || response.status === 201) return { written: true, writtenAt: now }
    if (response.status !== 409 || attempt === ATTEMPTS)
      throw kubernetesRefusal(object, secret === undefined ? 'create' : 'patch', response)
  }
}

/**
 * Checks without writing that the Secret holds the proxy.
 *
 * @returns the problem; undefined if there is none
 */
export async function inspectSecret(
  { api, now }: SecretWriter,
  settings: SecretSettings,
  proxy: HeldProxy,
): Promise<TtsError | undefined> {
  try {
    const object = await secretObject(api, settings)
    const secret = await readSecret(api, object)
    if (secret !== undefined && holds(secret, { key: settings.key, proxy, now: now() }))
      return undefined
    return failure(
      `${describeObject(object)} does not hold the newest proxy`,
      'Run `certcache refresh`, or start `certcache serve`: both write it again.',
    )
  } catch (error) {
    if (error instanceof TtsError) return error
    throw error
  }
}

async function secretObject(
  api: KubernetesApi,
  { name, namespace }: SecretSettings,
): Promise<KubernetesObject> {
  return { kind: 'Secret', name, namespace: namespace ?? (await api.namespace()) }
}

const collectionPath = ({ namespace }: KubernetesObject): string =>
  `/api/v1/namespaces/${namespace}/secrets`

/** Returns undefined if it does not exist. */
async function readSecret(
  api: KubernetesApi,
  object: KubernetesObject,
): Promise<Secret | undefined> {
  const response = await api.send({
    method: 'GET',
    path: `${collectionPath(object)}/${object.name}`,
  })
  if (response.status === 404) return undefined
  if (response.status !== 200) throw kubernetesRefusal(object, 'get', response)
  const parsed = secretSchema.safeParse(response.body)
  // Without the error of the parser: it may quote the Secret.
  if (!parsed.success)
    throw failure(
      `the Kubernetes API answers something that is not ${describeObject(object)}`,
      'Check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of this pod.',
    )
  return parsed.data
}

interface Comparison {
  readonly key: string
  readonly proxy: HeldProxy
  readonly now: Date
}

/** Whether the Secret holds this proxy, or a newer one that another certcache of the cluster wrote. */
function holds(secret: Secret, { key, proxy, now }: Comparison): boolean {
  const present = secret.data[key]
  if (present === undefined) return false
  if (present === proxy.pem.toString('base64')) return true
  const obtainedAt = dateOf(secret, OBTAINED_AT)
  // A time in the future comes from a wrong clock and proves nothing.
  if (obtainedAt === undefined || obtainedAt.getTime() > now.getTime() + CLOCK_TOLERANCE_MS)
    return false
  return isOurs(secret) && obtainedAt > proxy.obtainedAt
}

const isOurs = ({ metadata }: Secret): boolean => metadata.labels[MANAGED_LABEL] === 'true'

function dateOf({ metadata }: Secret, annotation: string): Date | undefined {
  const date = new Date(metadata.annotations[annotation] ?? '')
  return Number.isNaN(date.getTime()) ? undefined : date
}

interface Content {
  readonly settings: SecretSettings
  readonly proxy: HeldProxy
  readonly now: Date
}

function requestFor(
  object: KubernetesObject,
  secret: Secret | undefined,
  { settings, proxy, now }: Content,
): Parameters<KubernetesApi['send']>[0] {
  const annotations = {
    [NOT_AFTER]: proxy.notAfter.toISOString(),
    [OBTAINED_AT]: proxy.obtainedAt.toISOString(),
    [WRITTEN_AT]: now.toISOString(),
  }
  const data = { [settings.key]: proxy.pem.toString('base64') }
  const query = 'fieldManager=certcache'
  if (secret === undefined) {
    if (!settings.create) throw kubernetesRefusal(object, 'get', { status: 404, body: undefined })
    const labels = { [MANAGED_LABEL]: 'true', 'app.kubernetes.io/managed-by': 'certcache' }
    const metadata = { name: object.name, namespace: object.namespace, labels, annotations }
    const body = { apiVersion: 'v1', kind: 'Secret', type: 'Opaque', metadata, data }
    return { method: 'POST', path: `${collectionPath(object)}?${query}`, body }
  }
  refuseForeign(object, secret, settings)
  // With the version, the API refuses the patch when the Secret was changed after it was read.
  const { resourceVersion } = secret.metadata
  const labels = { [MANAGED_LABEL]: 'true' }
  const body = { metadata: { resourceVersion, labels, annotations }, data }
  return { method: 'PATCH', path: `${collectionPath(object)}/${object.name}?${query}`, body }
}

/** An empty Secret is taken over: there is nothing in it to lose. */
function refuseForeign(
  object: KubernetesObject,
  secret: Secret,
  { overwrite }: SecretSettings,
): void {
  const shown = describeObject(object)
  if (secret.immutable)
    throw failure(
      `${shown} is immutable and cannot be kept fresh`,
      'Delete it and create it again without `immutable`.',
    )
  if (overwrite || isOurs(secret) || Object.keys(secret.data).length === 0) return
  throw failure(
    `${shown} was not made for certcache and is not overwritten`,
    `If certcache may write it, label it (kubectl label secret ${object.name} -n ${object.namespace} ${MANAGED_LABEL}=true), or set \`overwrite: true\`.`,
  )
}

const failure = (message: string, remedy: string): TtsError =>
  new TtsError('configuration', message, { check: 'kubernetes', remedy })
