/** The MyProxy server (GGF GFD-E.54): it only parses, calls the domain and answers. */
import { randomUUID } from 'node:crypto'
import { unlessAborted } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import type { TrustAnchors } from '../../domain/revocation/trust-anchors.ts'
import type { AdmittedRequest } from '../../http/requests-in-flight.ts'
import { toTtsError } from '../problem.ts'
import { admit, type RequestOptions } from '../request.ts'
import { type MyProxyConnection, type MyProxyContext, startDeadline } from './context.ts'
import { answerGet, type GetDependencies } from './get.ts'
import { informationAnswer, type InformationDependencies } from './information.ts'
import { type MyProxyRequest, readMyProxyRequest } from './request.ts'
import { errorResponse, okResponse } from './responses.ts'
import { trustRootFiles } from './trust-roots.ts'

export interface MyProxyDependencies extends GetDependencies {
  readonly certificates: InformationDependencies['certificates']
  readonly trustAnchors: Pick<TrustAnchors, 'ofPublished'>
  readonly requests: RequestOptions
}

/** Answers the request of a connection. Never throws. */
export type MyProxyApp = (connection: MyProxyConnection) => Promise<void>

export function createMyProxyApp(dependencies: MyProxyDependencies): MyProxyApp {
  const { requests } = dependencies
  const trustRoots = dependencies.trustAnchors.ofPublished((files) =>
    okResponse(trustRootFiles(files)),
  )
  const parts = { ...dependencies, trustRoots }
  return async function answer({ request, closed, address, ...connection }) {
    const startedMs = performance.now()
    const id = randomUUID()
    const log = requests.log.child({ request: id })
    const origin = { requestId: id, address, interface: 'myproxy' }
    const { end, ...deadline } = startDeadline(closed, requests.timeoutMs)
    let asked: MyProxyRequest | undefined
    let admitted: AdmittedRequest | undefined
    let failure: TtsError | undefined
    // What is made after the deadline is on record, and sent to nobody.
    const send = (message: Buffer): void => {
      if (failure === undefined) connection.send(message)
    }
    try {
      admitted = admit(requests, { address, path: '' })
      if (request instanceof TtsError) throw request
      asked = readMyProxyRequest(request)
      const context = { ...connection, ...deadline, send, admitted, origin, log }
      await unlessAborted(answerRequest(parts, asked, context), deadline.signal)
    } catch (error) {
      failure = toTtsError(error)
      const { code, check } = failure
      requests.metrics.refused(code, check)
      if (code === 'internal')
        log.error({ event: 'request.failed', err: error }, 'a request failed')
      connection.send(errorResponse(failure))
    } finally {
      end()
      const fields = { event: 'myproxy.request', command: asked?.command ?? 'none', address }
      const refusal = failure && { code: failure.code, check: failure.check }
      const ms = Math.round((performance.now() - startedMs) * 10) / 10
      log.info({ ...fields, ...refusal, ms }, 'request')
      // Until the client has read the answer, the request keeps its place in the limits.
      admitted?.waiting(connection.drop)
      await connection.sent()
      admitted?.release()
    }
  }
}

async function answerRequest(
  dependencies: MyProxyDependencies & { readonly trustRoots: () => Promise<Buffer> },
  request: MyProxyRequest,
  context: MyProxyContext,
): Promise<void> {
  const { trustRoots } = dependencies
  switch (request.command) {
    case 'GET': {
      const ok = async () => (request.wantsTrustRoots ? trustRoots() : okResponse())
      return answerGet(dependencies, request, { ...context, ok })
    }
    case 'INFO':
      return context.send(await informationAnswer(dependencies, context))
    case 'TRUSTROOTS':
      return context.send(await trustRoots())
    case 'PUT':
    case 'DESTROY':
    case 'CHANGE_PASSPHRASE':
    case 'STORE':
    case 'RETRIEVE':
      throw new TtsError(
        'invalid_request',
        'this server stores no credentials; it issues one for an access token (myproxy-logon)',
        { check: 'command' },
      )
    default:
      return request.command satisfies never
  }
}
