/**
 * The Kubernetes API as a pod with a service account reaches it. By our own HTTP client, because certcache needs four
 * requests, and the official client is a generated one for all resources, with sixteen dependencies.
 *
 * @see https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
 */
import { readFile } from 'node:fs/promises'
import { isIPv6 } from 'node:net'
import { join } from 'node:path'
import { connectionReason } from '../../../client/http-client.ts'
import { sendHttp } from '../../../client/http-request.ts'
import type { Environment } from '../../../config/settings-tree.ts'
import { TtsError } from '../../../base/errors.ts'
import { fileErrorReason } from '../../../base/system-error.ts'

export interface KubernetesRequest {
  readonly method: 'GET' | 'POST' | 'PATCH'
  /** With the leading slash; a query is part of it. */
  readonly path: string
  /** Sent as JSON; that of a PATCH is a JSON merge patch (RFC 7396). */
  readonly body?: unknown
}

export interface KubernetesResponse {
  readonly status: number
  /** Parsed JSON. */
  readonly body: unknown
}

export interface KubernetesApi {
  /** Returns the namespace of this pod. @throws {TtsError} `configuration`, check `kubernetes` */
  namespace(): Promise<string>
  /**
   * Sends one request. Status codes of refusals are returned, not thrown.
   *
   * @throws {TtsError} check `kubernetes`: `configuration` (this is no pod with a service account),
   * `provider_unavailable` (the API cannot be reached, did not answer in time, or answers without JSON)
   */
  send(request: KubernetesRequest): Promise<KubernetesResponse>
}

export interface KubernetesApiOptions {
  readonly environment: Environment
  /** Directory with token, CA and namespace of the service account. Default: where Kubernetes mounts it. */
  readonly accountDirectory?: string
  /** Default 10000. */
  readonly timeoutMs?: number
}

const ACCOUNT_DIRECTORY = '/var/run/secrets/kubernetes.io/serviceaccount'
const TIMEOUT_MS = 10_000

/** Returns the API of the cluster that this pod runs in. Reads no file before the first request. */
export function createKubernetesApi(options: KubernetesApiOptions): KubernetesApi {
  const { environment, accountDirectory = ACCOUNT_DIRECTORY, timeoutMs = TIMEOUT_MS } = options
  const read = async (name: string): Promise<string> => {
    const path = join(accountDirectory, name)
    try {
      const text = (await readFile(path, 'utf8')).trim()
      if (text === '') throw notInPod(`${path} is empty`)
      return text
    } catch (error) {
      if (error instanceof TtsError) throw error
      throw notInPod(`${path} cannot be read: ${fileErrorReason(error)}`)
    }
  }
  const findServer = () => {
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
    if (!host) throw notInPod('KUBERNETES_SERVICE_HOST is not set')
    return { host, port }
  }
  return {
    async namespace() {
      // First what says the most outside of a pod.
      findServer()
      return read('namespace')
    },
    async send(request) {
      const { host, port } = findServer()
      // Read each time: the kubelet replaces the token within the hour, and the CA when it is rotated.
      const [token, ca] = await Promise.all([read('token'), read('ca.crt')])
      const address = `${isIPv6(host) ? `[${host}]` : host}:${port}`
      return sendTo(address, { ...request, host, port, token, ca, timeoutMs })
    },
  }
}

interface AddressedRequest extends KubernetesRequest {
  readonly host: string
  readonly port: string
  readonly token: string
  readonly ca: string
  readonly timeoutMs: number
}

async function sendTo(address: string, request: AddressedRequest): Promise<KubernetesResponse> {
  const { method, path, host, port, token, ca, timeoutMs } = request
  const content = request.body === undefined ? undefined : JSON.stringify(request.body)
  const signal = AbortSignal.timeout(timeoutMs)
  const headers = {
    authorization: `Bearer ${token}`,
    accept: 'application/json',
    'user-agent': 'certcache',
    ...(content !== undefined && {
      'content-type': method === 'PATCH' ? 'application/merge-patch+json' : 'application/json',
      'content-length': Buffer.byteLength(content),
    }),
  }
  // No agent: the API of the cluster is never reached through the HTTP proxy of other connections.
  const connection = { secure: true, agent: false, host, port, ca, method, path, headers, signal }
  const { status, body } = await sendHttp(connection, content).catch((cause: unknown) => {
    throw signal.aborted ? timedOut(address, timeoutMs) : unreachable(address, cause)
  })
  try {
    return { status, body: JSON.parse(body) as unknown }
  } catch {
    // Without the parser's error, which quotes the answer.
    throw notKubernetes(address, status)
  }
}

const unavailable = (message: string, remedy: string, cause?: unknown): TtsError =>
  new TtsError('provider_unavailable', message, { check: 'kubernetes', remedy, cause })

const notInPod = (reason: string): TtsError =>
  new TtsError('configuration', `the Kubernetes API cannot be used: ${reason}`, {
    check: 'kubernetes',
    remedy:
      'kubernetes_secrets need a pod with a service account: set serviceAccountName and automountServiceAccountToken: true.',
  })

const RETRIES = 'certcache tries again every minute.'

const timedOut = (address: string, timeoutMs: number): TtsError =>
  unavailable(
    `the Kubernetes API at ${address} did not answer within ${timeoutMs / 1000} seconds`,
    `Check the NetworkPolicy of this pod and the load of the API server. ${RETRIES}`,
  )

const unreachable = (address: string, cause: unknown): TtsError =>
  unavailable(
    `the request to the Kubernetes API at ${address} failed: ${connectionReason(cause as Error)}`,
    `Check the NetworkPolicy of this pod and the API server. ${RETRIES}`,
    cause,
  )

const notKubernetes = (address: string, status: number): TtsError =>
  unavailable(
    `${address} answers ${status} without JSON: it is not the Kubernetes API, or a proxy in front of it fails`,
    `Check KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT of this pod. ${RETRIES}`,
  )
