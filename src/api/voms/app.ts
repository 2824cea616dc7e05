/** The application of the VOMS server of one VO. It only parses, calls the domain and answers. */
import type { RequestListener } from 'node:http'
import express, { type ErrorRequestHandler, type RequestHandler, type Response } from 'express'
import {
  serveAttributes,
  type ServeAttributesDependencies,
  type ServedRequest,
  type ServedAttributes,
} from '../../domain/voms/serve-attributes.ts'
import { TtsError } from '../../base/errors.ts'
import { clientCertificates } from '../../http/client-certificates.ts'
import type { Metrics } from '../../service/metrics.ts'
import { toTtsError } from '../problem.ts'
import { contextOf, requestContext, type RequestOptions, routeName } from '../request.ts'
import { attributesAnswer, refusalAnswer, type VomsAnswer } from './answers.ts'
import { LEGACY_HEADER, legacyAnswer } from './legacy.ts'
import { readVomsRequest, type ReadVomsRequest } from './read-request.ts'

export interface VomsAppDependencies {
  /** The VO; requests are refused if it is not configured any more. */
  readonly vo: string
  readonly serving: ServeAttributesDependencies
  readonly requests: RequestOptions
  readonly metrics: Metrics
}

const ROUTE = '/generate-ac'

export function createVomsApp(dependencies: VomsAppDependencies): RequestListener {
  const { vo, metrics } = dependencies
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', false)
  app.use((_request, response, next) => {
    // A connection carries one request, so that nothing can hide behind it: the parser is lenient here.
    response.setHeader('Connection', 'close')
    next()
  })
  app.use(requestContext(dependencies.requests))
  app.get(ROUTE, routeName(ROUTE), generate(dependencies))
  app.use(() => {
    throw new TtsError('not_found', `this is the VOMS server of ${vo}: ask GET ${ROUTE}`, {
      check: 'path',
    })
  })
  app.use(answerErrors(vo, metrics))
  return app
}

function generate({ vo, serving, metrics }: VomsAppDependencies): RequestHandler {
  return async function generate(request, response) {
    const { log, origin } = contextOf(response)
    let asked: ReadVomsRequest | undefined
    const read = (): ServedRequest => {
      asked = readVomsRequest(request.originalUrl, vo)
      return asked.request
    }
    const certificates = clientCertificates(request.socket)
    const from = { ...origin, interface: 'voms' }
    const served = await serveAttributes(serving, certificates, { read, origin: from, log })
    metrics.attributesIssued(vo)
    send(response, attributesAnswer(served.der, warningsOf(vo, served, asked)))
  }
}

/** The warnings of a VOMS server, in its words, which clients look for. */
function warningsOf(
  vo: string,
  served: ServedAttributes,
  asked: ReadVomsRequest | undefined,
): readonly string[] {
  // Times are cut to whole seconds.
  const wanted = (asked?.request.lifetimeSeconds ?? 0) - 5
  return [
    ...(served.lifetimeSeconds < wanted
      ? [
          `${vo}: The validity of this VOMS AC in your proxy is shortened to ${served.lifetimeSeconds} seconds!`,
        ]
      : []),
    ...(served.isSubset
      ? [
          `${vo} : your certificate already contains attributes, only a subset of them can be issued.`,
        ]
      : []),
    ...(asked?.hasUnknown === true ? ['Unknown parameters in the request were ignored!'] : []),
  ]
}

function answerErrors(vo: string, metrics: Metrics): ErrorRequestHandler {
  // oxlint-disable-next-line max-params -- Express knows an error handler by its four parameters
  return function answerErrors(error: unknown, _request, response, next) {
    const failure = toTtsError(error)
    const { code, check } = failure
    metrics.refused(code, check)
    response.locals['refusal'] = { code, check }
    if (response.headersSent) {
      next(error)
      return
    }
    if (code === 'internal')
      contextOf(response).log.error({ event: 'request.failed', err: error }, 'a request failed')
    send(response, refusalAnswer(vo, failure))
  }
}

/** Sends an answer in one piece: clients in C++ read once. */
function send(response: Response, answer: VomsAnswer): void {
  const isLegacy = response.req.get(LEGACY_HEADER) !== undefined
  response
    .status(answer.status)
    .setHeader('Content-Type', 'text/xml; charset=utf-8')
    .setHeader('Cache-Control', 'no-store')
    .end(isLegacy ? legacyAnswer(answer) : answer.body)
}
