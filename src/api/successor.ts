/** POST /v1/proxies/successor: a still valid proxy of ours gets the next one, when the operator allows it. */
import { createHash } from 'node:crypto'
import { TLSSocket } from 'node:tls'
import { Router, type Request, type RequestHandler } from 'express'
import { MAX_CHAIN_LENGTH } from '../../ca/chain-link.ts'
import { CaError } from '../../ca/errors.ts'
import { readPem } from '../../ca/pem.ts'
import { MAX_PROXY_FILE_LENGTH } from '../../ca/proxy-file.ts'
import { issue, type IssueDependencies, requireCertificate } from '../domain/issuing/issue.ts'
import { type PresentedProxy, switchedOff } from '../domain/possession/possession.ts'
import { TtsError } from '../base/errors.ts'
import type { Metrics } from '../service/metrics.ts'
import { bodyOf, requestParameters } from './body.ts'
import { withinSignal } from './deadline.ts'
import { sendCredential, wantsJson } from './native.ts'
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
    if (issuing.possession === undefined) throw switchedOff()
    const asJson = wantsJson(request)
    // The body holds the evidence itself, so that it must be read first.
    const body = await bodyOf(request, response, maxBodyBytes)
    const { proxy: above, at, signature, ...parameters } = requestParameters(request, body)
    const shown = shownByTls(request)
    const chain = above === undefined ? [] : readChain(above)
    const proxy: PresentedProxy =
      shown.length > 0
        ? // The chain may stand in the body too: a resumed TLS session remembers the first certificate only.
          { certificates: [...shown, ...chain], shownBy: 'tls' }
        : { certificates: chain, shownBy: readProof({ at, signature, csr: parameters['csr'] }) }
    const { log, origin: from, signal } = contextOf(response)
    const origin = { ...from, interface: 'possession' }
    const read = () => ({ serviceId: undefined, parameters })
    const asked = { proxy, serviceId: undefined, read, origin, signal, log }
    const credential = requireCertificate(await withinSignal(issue(issuing, asked), signal))
    metrics.credentialIssued(credential.serviceId)
    sendCredential(response, credential, { asJson })
  }
}

/** What the client showed in the TLS handshake, the first certificate with proof that its key is there. */
function shownByTls({ socket }: Request): readonly Buffer[] {
  if (!(socket instanceof TLSSocket)) return []
  const shown: Buffer[] = []
  let next = socket.getPeerX509Certificate()
  // The last one of a chain may name itself as its issuer. One more than is taken is enough to refuse a chain.
  while (next !== undefined && shown.length <= MAX_CHAIN_LENGTH) {
    const { raw } = next
    if (shown.some((der) => der.equals(raw))) break
    shown.push(raw)
    next = next.issuerCertificate
  }
  return shown
}

/** @throws {TtsError} `invalid_request` */
function readChain(text: unknown): readonly Buffer[] {
  if (typeof text !== 'string') throw new TtsError('invalid_request', PROXY_WANTED)
  try {
    const blocks = readPem(text, 'proxy', MAX_PROXY_FILE_LENGTH)
    if (blocks.some(({ label }) => label !== 'CERTIFICATE'))
      throw new TtsError('invalid_request', PROXY_WANTED)
    return blocks.map(({ der }) => der)
  } catch (error) {
    if (error instanceof CaError) throw new TtsError('invalid_request', PROXY_WANTED)
    throw error
  }
}

const PROXY_WANTED = 'proxy: must be the certificates of the proxy file in PEM, without its key'

/** @throws {TtsError} `missing_token`, `invalid_request` */
function readProof(fields: {
  readonly at: unknown
  readonly signature: unknown
  readonly csr: unknown
}): Exclude<PresentedProxy['shownBy'], 'tls'> {
  const { at, signature, csr } = fields
  if (at === undefined && signature === undefined) {
    throw new TtsError(
      'missing_token',
      'show the proxy as TLS client certificate, or sign the request with its key (csr, proxy, at, signature)',
      { check: 'possession' },
    )
  }
  if (typeof at !== 'string' || typeof signature !== 'string' || typeof csr !== 'string') {
    throw new TtsError(
      'invalid_request',
      'a signed request has csr, proxy, at and signature, all of them texts',
    )
  }
  return {
    at,
    signature: Buffer.from(signature, 'base64'),
    csrDigest: createHash('sha256').update(derOf(csr)).digest('hex'),
  }
}

function derOf(csr: string): Buffer {
  try {
    const [block] = readPem(csr, 'CSR', MAX_PROXY_FILE_LENGTH)
    if (block !== undefined) return block.der
  } catch (error) {
    if (!(error instanceof CaError)) throw error
  }
  throw new TtsError('invalid_csr', 'csr: must be a PKCS#10 request in PEM', { check: 'malformed' })
}
