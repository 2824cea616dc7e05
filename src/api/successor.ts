/**
 * POST /v1/proxies/successor: the holder of a valid proxy from this service gets a new one, if the operator allows it.
 */
import { createHash } from 'node:crypto'
import { Router, type RequestHandler } from 'express'
import { CaError } from '../../ca/errors.ts'
import { readPem } from '../../ca/pem.ts'
import { MAX_PROXY_FILE_LENGTH } from '../../ca/proxy-file.ts'
import { issue, type IssueDependencies, requireCertificate } from '../domain/issuing/issue.ts'
import { renewalDisabled } from '../domain/possession/possession.ts'
import { successorText } from '../domain/possession/possession-proof.ts'
import type { PresentedProxy } from '../domain/possession/presented-proxy.ts'
import { TtsError } from '../base/errors.ts'
import { clientCertificates } from '../http/client-certificates.ts'
import type { Metrics } from '../service/metrics.ts'
import { readRequestBody, requestParameters } from './body.ts'
import { withinSignal } from './deadline.ts'
import { sendCredential, wantsJson } from './native.ts'
import { readProxyChain } from './presented-proxy.ts'
import { contextOf, routeName } from './request.ts'

export interface SuccessorDependencies {
  readonly issuing: IssueDependencies
  readonly metrics: Metrics
  readonly maxBodyBytes: number
}

export function successorRoutes(dependencies: SuccessorDependencies): Router {
  const router = Router()
  router.post('/proxies/successor', routeName('/v1/proxies/successor'), succeed(dependencies))
  return router
}

function succeed({ issuing, metrics, maxBodyBytes }: SuccessorDependencies): RequestHandler {
  return async function succeed(request, response) {
    if (issuing.possession === undefined) throw renewalDisabled()
    const asJson = wantsJson(request)
    // The body must be read before the caller is known, because it has the proof of possession.
    const body = await readRequestBody(request, response, maxBodyBytes)
    const { proxy: proxyPem, at, signature, ...parameters } = requestParameters(request, body)
    const tlsCertificates = clientCertificates(request.socket)
    const chain = proxyPem === undefined ? [] : readProxyChain('proxy', proxyPem)
    const proxy: PresentedProxy =
      tlsCertificates.length > 0
        ? // The chain may also be in the body, because a resumed TLS session has only the first certificate.
          { certificates: [...tlsCertificates, ...chain], proof: 'tls' }
        : { certificates: chain, proof: readProof({ at, signature, csr: parameters['csr'] }) }
    const { log, origin: from, signal } = contextOf(response)
    const origin = { ...from, interface: 'possession' }
    const read = () => ({ serviceId: undefined, parameters })
    const application = { proxy, serviceId: undefined, read, origin, signal, log }
    const credential = requireCertificate(await withinSignal(issue(issuing, application), signal))
    metrics.credentialIssued(credential.serviceId)
    sendCredential(response, credential, { asJson })
  }
}

/** @throws {TtsError} `missing_token`, `invalid_request` */
function readProof(fields: {
  readonly at: unknown
  readonly signature: unknown
  readonly csr: unknown
}): Exclude<PresentedProxy['proof'], 'tls'> {
  const { at, signature, csr } = fields
  if (at === undefined && signature === undefined) {
    throw new TtsError(
      'missing_token',
      'present the proxy as TLS client certificate, or sign the request with its key (csr, proxy, at, signature)',
      { check: 'possession' },
    )
  }
  if (typeof at !== 'string' || typeof signature !== 'string' || typeof csr !== 'string') {
    throw new TtsError(
      'invalid_request',
      'a signed request needs csr, proxy, at and signature, all of them strings',
    )
  }
  const csrDigest = createHash('sha256').update(decodeCsr(csr)).digest('hex')
  return {
    at,
    text: successorText(at, csrDigest),
    signature: Buffer.from(signature, 'base64'),
  }
}

function decodeCsr(csr: string): Buffer {
  try {
    const [block] = readPem(csr, 'CSR', MAX_PROXY_FILE_LENGTH)
    if (block !== undefined) return block.der
  } catch (error) {
    if (!(error instanceof CaError)) throw error
  }
  throw new TtsError('invalid_csr', 'csr: must be a PKCS#10 request in PEM', { check: 'malformed' })
}
