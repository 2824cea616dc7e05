/** Restarts workloads whose pods read the proxy only at their start, as `kubectl rollout restart` does. */
import { z } from 'zod'
import { TtsError } from '../../../base/errors.ts'
import type { KubernetesApi } from './api.ts'
import { describeObject, type KubernetesObject, kubernetesRefusal } from './refusals.ts'

/** The annotation of kubectl. A change of it replaces the pods, by the update strategy of the workload. */
const RESTARTED_AT = 'kubectl.kubernetes.io/restartedAt'

const kinds = {
  deployment: { kind: 'Deployment', plural: 'deployments' },
  statefulset: { kind: 'StatefulSet', plural: 'statefulsets' },
  daemonset: { kind: 'DaemonSet', plural: 'daemonsets' },
} as const

/** What a setting such as `deployment/worker` names. */
export interface Workload extends KubernetesObject {
  readonly path: string
}

/** @param text `deployment/NAME`, `statefulset/NAME` or `daemonset/NAME`, checked by the schema */
export function workloadOf(text: string, namespace: string): Workload {
  const [word = '', name = ''] = text.split('/')
  const { kind, plural } = kinds[word as keyof typeof kinds]
  return { kind, name, namespace, path: `/apis/apps/v1/namespaces/${namespace}/${plural}/${name}` }
}

/** The part of a workload that matters here. */
const workloadSchema = z.object({
  metadata: z.object({ creationTimestamp: z.string() }),
  spec: z.object({
    template: z.object({
      metadata: z.object({ annotations: z.record(z.string(), z.string()).optional() }).optional(),
    }),
  }),
})

/**
 * Restarts the workload, unless it was made or restarted since then. The annotation gets the time of the write, not the
 * present one: when several certcaches do this, or one does it twice, the pods are replaced once.
 *
 * @param writtenAt when the Secret was written
 * @throws {TtsError} `configuration` or `provider_unavailable`, check `kubernetes`
 */
export async function restartIfOlder(
  api: KubernetesApi,
  workload: Workload,
  writtenAt: Date,
): Promise<boolean> {
  const { path } = workload
  const response = await api.send({ method: 'GET', path })
  if (response.status !== 200) throw kubernetesRefusal(workload, 'get', response)
  const parsed = workloadSchema.safeParse(response.body)
  if (!parsed.success) throw foreignAnswer(workload)
  const { metadata, spec } = parsed.data
  const restartedAt = spec.template.metadata?.annotations?.[RESTARTED_AT]
  // A text that is no date is not later than anything.
  const times = [metadata.creationTimestamp, restartedAt ?? ''].map((text) => Date.parse(text))
  if (times.some((time) => time >= writtenAt.getTime())) return false
  const annotations = { [RESTARTED_AT]: writtenAt.toISOString() }
  const body = { spec: { template: { metadata: { annotations } } } }
  const query = 'fieldManager=certcache'
  const patched = await api.send({ method: 'PATCH', path: `${path}?${query}`, body })
  if (patched.status !== 200) throw kubernetesRefusal(workload, 'patch', patched)
  return true
}

const foreignAnswer = (workload: Workload): TtsError =>
  new TtsError(
    'configuration',
    `the Kubernetes API answers something that is not ${describeObject(workload)}`,
    {
      check: 'kubernetes',
      remedy: 'Check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of this pod.',
    },
  )
