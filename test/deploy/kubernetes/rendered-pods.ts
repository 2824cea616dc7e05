/** The pods of rendered charts. */
import type { KubernetesDocument } from './chart-tools.ts'

export interface RenderedContainer {
  readonly name: string
  readonly args?: readonly string[]
  readonly env?: readonly {
    readonly name: string
    readonly value?: string
    readonly valueFrom?: { readonly secretKeyRef: { readonly name: string } }
  }[]
  readonly securityContext?: Readonly<Record<string, unknown>>
  readonly resources?: Readonly<Record<string, unknown>>
  readonly livenessProbe?: unknown
}

export interface RenderedPod {
  readonly automountServiceAccountToken: boolean
  readonly securityContext: Readonly<Record<string, unknown>>
  readonly topologySpreadConstraints?: readonly unknown[]
  readonly volumes: readonly {
    readonly name: string
    readonly secret?: { readonly secretName: string }
  }[]
  readonly initContainers?: readonly RenderedContainer[]
  readonly containers: readonly RenderedContainer[]
}

/** Returns the pod of the one workload. */
export function podOf(documents: readonly KubernetesDocument[]): RenderedPod {
  const pods = documents.flatMap(({ spec }) => {
    const { template } = (spec ?? {}) as { template?: { spec: RenderedPod } }
    return template === undefined ? [] : [template.spec]
  })
  if (pods.length !== 1 || pods[0] === undefined) throw new Error('a chart has one workload')
  return pods[0]
}

/** Returns the names of the Secrets that a pod mounts or has in its environment. */
export function mountedSecrets({ volumes, containers }: RenderedPod): readonly string[] {
  const inVariables = containers.flatMap(({ env = [] }) =>
    env.flatMap(({ valueFrom }) => valueFrom?.secretKeyRef.name ?? []),
  )
  return [...volumes.flatMap(({ secret }) => secret?.secretName ?? []), ...inVariables]
}
