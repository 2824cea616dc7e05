/**
 * A stand-in for the Kubernetes API, for faults that a real API server does not show on request. It keeps objects with
 * a resourceVersion and applies JSON merge patches. It has no RBAC, no validation and no defaults: the tests in
 * test/deploy/kubernetes use the real one for those.
 */
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { makePrivateCa } from './private-ca.ts'

export type Json = Readonly<Record<string, unknown>>

export interface SeenRequest {
  readonly method: string
  readonly path: string
  readonly token: string | undefined
  readonly contentType: string | undefined
  readonly body: Json | undefined
}

/** Answers a request in place of the stand-in; undefined: it answers itself. */
export type Fault = (
  request: SeenRequest,
  response: ServerResponse,
) => { readonly status: number; readonly body: unknown } | 'handled' | undefined

export interface KubernetesStandIn {
  /** KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. */
  readonly environment: Readonly<Record<string, string>>
  /** Directory with token, ca.crt and namespace, as in a pod. */
  readonly accountDirectory: string
  readonly requests: SeenRequest[]
  /** Objects by their path. */
  readonly objects: Map<string, Json>
  fault: Fault | undefined
  /** Removes all objects, requests and faults. */
  reset(): void
  close(): Promise<void>
}

export async function startKubernetesStandIn(): Promise<KubernetesStandIn> {
  const directory = mkdtempSync(join(tmpdir(), 'kubernetes-stand-in-'))
  const ca = makePrivateCa(directory)
  const objects = new Map<string, Json>()
  const requests: SeenRequest[] = []
  let version = 0
  const store = (path: string, object: Json): Json => {
    version += 1
    const metadata = { ...(object['metadata'] as Json), resourceVersion: String(version) }
    const stored = { ...object, metadata }
    objects.set(path, stored)
    return stored
  }
  const answer = ({ method, path, body }: SeenRequest) => {
    const at = path.replace(/\?.*/, '')
    if (method === 'POST') {
      const { name } = (body ?? {})['metadata'] as { name: string }
      const created = `${at}/${name}`
      if (objects.has(created)) return refused(409, 'AlreadyExists', 'already exists')
      return { status: 201, body: store(created, body ?? {}) }
    }
    const found = objects.get(at)
    if (found === undefined) return refused(404, 'NotFound', 'not found')
    if (method === 'GET') return { status: 200, body: found }
    const wanted = (body?.['metadata'] as Json | undefined)?.['resourceVersion']
    if (wanted !== undefined && wanted !== (found['metadata'] as Json)['resourceVersion'])
      return refused(409, 'Conflict', 'the object has been modified')
    return { status: 200, body: store(at, merge(found, body ?? {})) }
  }
  const { key, cert } = ca.issue('127.0.0.1')
  const server = createServer({ key, cert }, (request, response) => {
    void (async () => {
      const seen = await seenOf(request)
      requests.push(seen)
      const outcome = standIn.fault?.(seen, response) ?? answer(seen)
      if (outcome === 'handled') return
      response.writeHead(outcome.status, { 'content-type': 'application/json' })
      const { body } = outcome
      response.end(typeof body === 'string' ? body : JSON.stringify(body))
    })()
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const port = String((server.address() as AddressInfo).port)
  for (const [name, content] of Object.entries({ token: 'token-1\n', namespace: 'physics' }))
    writeFileSync(join(directory, name), content)
  copyFileSync(ca.file, join(directory, 'ca.crt'))
  const standIn: KubernetesStandIn = {
    environment: { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port },
    accountDirectory: directory,
    requests,
    objects,
    fault: undefined,
    reset: () => {
      objects.clear()
      requests.length = 0
      standIn.fault = undefined
    },
    close: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
      rmSync(directory, { recursive: true, force: true })
    },
  }
  return standIn
}

/** A Status, as the API refuses with. */
export const refused = (code: number, reason: string, message: string, details: Json = {}) => ({
  status: code,
  body: { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason, details, code },
})

async function seenOf(request: IncomingMessage): Promise<SeenRequest> {
  const content = await text(request)
  return {
    method: request.method ?? '',
    path: request.url ?? '',
    token: request.headers.authorization,
    contentType: request.headers['content-type'],
    body: content === '' ? undefined : (JSON.parse(content) as Json),
  }
}

/** JSON merge patch (RFC 7396). */
function merge(target: Json, patch: Json): Json {
  const merged: Record<string, unknown> = { ...target }
  for (const [name, value] of Object.entries(patch))
    if (value === null) delete merged[name]
    else if (typeof value === 'object' && !Array.isArray(value))
      merged[name] = merge((target[name] ?? {}) as Json, value as Json)
    else merged[name] = value
  return merged
}
