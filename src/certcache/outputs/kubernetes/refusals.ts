/** Explains refusals of the Kubernetes API, with the rule or command that helps. */
import { z } from 'zod'
import { TtsError } from '../../../base/errors.ts'
import { redactText } from '../../../base/redact.ts'
import type { KubernetesResponse } from './api.ts'

/** The object that a request was about. */
export interface KubernetesObject {
  readonly kind: 'Secret' | 'Deployment' | 'StatefulSet' | 'DaemonSet'
  readonly name: string
  readonly namespace: string
}

/** A Status of the API. @see https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/ */
const statusSchema = z.object({
  kind: z.literal('Status'),
  message: z.string().optional().catch(undefined),
  details: z
    .object({ kind: z.string().optional().catch(undefined) })
    .optional()
    .catch(undefined),
})

type Status = z.output<typeof statusSchema>

export type Verb = 'get' | 'patch' | 'create'

/** Names an object in messages. */
export const describeObject = ({ kind, namespace, name }: KubernetesObject): string =>
  `the ${kind} ${namespace}/${name}`

/** Returns the error for a refused request. */
export function kubernetesRefusal(
  object: KubernetesObject,
  verb: Verb,
  { status, body }: KubernetesResponse,
): TtsError {
  const parsed = statusSchema.safeParse(body)
  const answer: Status = parsed.success ? parsed.data : { kind: 'Status' }
  const { problem, remedy } = explain(object, verb, { status, answer })
  const said = statusMessage(answer)
  const message = `the Kubernetes API answers ${status}: ${problem}${said && ` (${said})`}`
  // Too many requests, and faults of the server: a later attempt may succeed.
  const code = status === 429 || status >= 500 ? 'provider_unavailable' : 'configuration'
  return new TtsError(code, message, { check: 'kubernetes', remedy })
}

interface Explanation {
  readonly problem: string
  readonly remedy: string
}

function explain(
  object: KubernetesObject,
  verb: Verb,
  { status, answer }: { readonly status: number; readonly answer: Status },
): Explanation {
  const shown = describeObject(object)
  switch (status) {
    case 401:
      return {
        problem: 'the token of the service account is not accepted',
        remedy:
          'Check that the pod has the token of this cluster, and that its service account still exists.',
      }
    case 403:
      return {
        problem: `the service account may not ${verb} ${shown}`,
        remedy: ruleFor(object, verb),
      }
    case 404:
      return answer.details?.kind === 'namespaces'
        ? {
            problem: `the namespace ${object.namespace} does not exist`,
            remedy: `Create it, or correct \`namespace\`: kubectl create namespace ${object.namespace}`,
          }
        : { problem: `${shown} does not exist`, remedy: howToCreate(object) }
    case 409:
      return {
        problem: `others keep changing ${shown}`,
        remedy:
          'Only certcache may write this key: find the other writer with kubectl get --show-managed-fields.',
      }
    case 422:
      return {
        problem: `${shown} would not be valid`,
        remedy: 'An immutable Secret cannot be kept fresh, and a Secret holds at most 1 MiB.',
      }
    default:
      return {
        problem: `${shown} could not be ${{ get: 'read', patch: 'changed', create: 'created' }[verb]}`,
        remedy:
          'Look at the log of the API server and at its admission webhooks. certcache tries again every minute.',
      }
  }
}

/** `create` cannot be limited to a name: the name of a new object is not known when a request is authorised. */
function ruleFor({ kind, namespace, name }: KubernetesObject, verb: Verb): string {
  const group = kind === 'Secret' ? '' : 'apps'
  const names = verb === 'create' ? '' : `, resourceNames: [${name}]`
  const verbs = verb === 'create' ? 'create' : 'get, patch'
  const resources = `${kind.toLowerCase()}s`
  return `Add to its Role in the namespace ${namespace}: {apiGroups: ["${group}"], resources: [${resources}]${names}, verbs: [${verbs}]}`
}

function howToCreate({ kind, namespace, name }: KubernetesObject): string {
  return kind === 'Secret'
    ? `Create it empty (kubectl create secret generic ${name} -n ${namespace}), or set \`create: true\`.`
    : `Correct \`restart\`, or create the ${kind}.`
}

/** An admission webhook may quote what it refuses. */
const KEY_MATERIAL = /PRIVATE KEY|[A-Za-z0-9+/=]{64}/

function statusMessage({ message = '' }: Status): string {
  if (KEY_MATERIAL.test(message)) return 'its message is not shown, because it may hold a key'
  return redactText(message.replace(/\p{Cc}+/gu, ' ').slice(0, 300)).trim()
}
