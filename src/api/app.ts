/**
 * Builds the Express application. The order matters: headers, context and limits, routes, and the error handler last.
 */
import express, { type ErrorRequestHandler, type Express, type RequestHandler } from 'express'
import helmet from 'helmet'
import type { Logger } from 'pino'
import type { AccessTokenDependencies } from '../domain/access-tokens/issue-access-token.ts'
import type { CredentialsDependencies } from '../domain/revocation/credentials.ts'
import type { RenewalDependencies } from '../domain/delegations/renewal.ts'
import type { IssueDependencies } from '../domain/issuing/issue.ts'
import { createRateLimiter } from '../limits/rate-limiter.ts'
import type { TrustAnchors } from '../domain/revocation/trust-anchors.ts'
import type { VomsClientFile } from '../domain/voms/client-files.ts'
import type { LimitsSettings } from '../config/schema.ts'
import type { WattsSettings } from '../config/watts-schema.ts'
import { createWeb, wattsSessionsOf } from '../web/compose.ts'
import { errorsForBrowsers } from '../web/pages/error-page.ts'
import { webMethods, webRoutes } from '../web/routes.ts'
import type { WebOptions } from '../web/site.ts'
import type { Web } from '../web/view.ts'
import { TtsError } from '../base/errors.ts'
import type { RequestsInFlight } from '../http/requests-in-flight.ts'
import type { Metrics } from '../service/metrics.ts'
import { authorityRoutes, offeredVomsFiles } from './authority.ts'
import { delegationRoutes } from './delegations.ts'
import { nativeRoutes } from './native.ts'
import { sendOAuthError } from './oauth/answers.ts'
import {
  accessTokenMethods,
  serverMetadataMethods,
  serverMetadataRoutes,
} from './oauth/server-metadata.ts'
import { isTokenPath, tokenRoutes } from './oauth/token-endpoint.ts'
import { crossOrigin } from './cross-origin.ts'
import { createOpenApi } from './openapi/document.ts'
import { operationsRoutes } from './operations.ts'
import { problemRoutes } from './problem-pages.ts'
import { sendProblem, toTtsError } from './problem.ts'
import { contextOf, requestContext, type RequestOptions, routeName } from './request.ts'
import { resourceMetadataMethods, serveResourceMetadata } from './resource-metadata.ts'
import { sshAuthorityRoutes } from './ssh-authority.ts'
import { successorRoutes } from './successor.ts'
import { sendWattsError } from './watts/answers.ts'
import { wattsRoutes } from './watts/routes.ts'

export interface AppDependencies {
  readonly log: Logger
  readonly metrics: Metrics
  readonly inFlight: RequestsInFlight
  /** `ok`, or why the CA cannot issue. */
  readonly authorityStatus: () => Promise<string>
  readonly issuing: IssueDependencies
  readonly credentials: CredentialsDependencies
  readonly delegations: RenewalDependencies
  /** Undefined: the service signs no access tokens. */
  readonly accessTokens: AccessTokenDependencies | undefined
  readonly trustAnchors: TrustAnchors
  /** Files for VOMS clients and relying parties; empty without VOs. */
  readonly vomsFiles: readonly VomsClientFile[]
  readonly limits: LimitsSettings
  readonly watts: WattsSettings
  /** Undefined: there are no web pages, and the WaTTS API accepts no session cookie. */
  readonly web?: WebOptions | undefined
  /** URL under which clients reach the service; undefined when not configured. */
  readonly publicUrl: string | undefined
  readonly trustedProxies: readonly string[]
  /** Origins whose scripts may use the API. */
  readonly corsOrigins: readonly string[]
  readonly stopping: () => boolean
}

/** Returns the application with all paths. */
export function createApp(dependencies: AppDependencies): Express {
  const { limits, issuing, accessTokens } = dependencies
  const app = createShell(dependencies)
  const web = webOf(dependencies)
  const { publicUrl } = dependencies
  const paths = [
    ...methodsByPath,
    ...(web === undefined ? [] : webMethods),
    ...(publicUrl === undefined ? [] : [...resourceMetadataMethods, ...serverMetadataMethods]),
    ...(accessTokens === undefined ? [] : accessTokenMethods),
  ]
  app.use(answerOptions(paths))
  const bounds = {
    maxBodyBytes: limits.body_bytes,
    requestTimeoutMs: limits.request_timeout_seconds * 1000,
  }
  app.use('/v1', nativeRoutes({ ...dependencies, ...bounds }))
  app.use('/v1', delegationRoutes({ ...dependencies, ...bounds }))
  app.use('/v1', successorRoutes({ ...dependencies, ...bounds }))
  app.use(tokenRoutes({ ...dependencies, ...bounds }))
  const { sshAuthority } = issuing
  if (sshAuthority !== undefined)
    app.use('/ca/ssh', sshAuthorityRoutes({ ...issuing, sshAuthority, log: dependencies.log }))
  addWattsRoutes(app, dependencies, web)
  addPublicRoutes(app, dependencies)
  if (publicUrl !== undefined) {
    app.use(serveResourceMetadata(publicUrl, issuing.verifier.providers))
    app.use(serverMetadataRoutes(publicUrl, accessTokens?.tokenKeys))
  }
  if (web !== undefined) app.use(webRoutes(web))
  const voms = offeredVomsFiles(dependencies.vomsFiles)
  const openApiOffers = { publicUrl, accessTokens: accessTokens !== undefined, voms }
  const openApi = Buffer.from(JSON.stringify(createOpenApi(issuing.services, openApiOffers)))
  app.get('/openapi.json', routeName('/openapi.json'), (_request, response) => {
    response.type('application/json').send(openApi)
  })
  app.use(refuseUnknown(paths))
  if (web !== undefined) app.use(errorsForBrowsers(web))
  app.use(handleErrors(dependencies))
  return app
}

function webOf(dependencies: AppDependencies): Web | undefined {
  const { web, issuing, limits } = dependencies
  if (web === undefined) return undefined
  return createWeb({
    ...dependencies,
    ...web,
    now: issuing.now,
    maxBodyBytes: limits.body_bytes,
  })
}

/**
 * Returns the application for the listener without TLS: the public files of the CA, and the probes. None of its paths
 * reads a token.
 */
export function createPublicApp(dependencies: AppDependencies): Express {
  const app = createShell(dependencies)
  app.use(answerOptions(publicMethods))
  addPublicRoutes(app, dependencies)
  app.use(refuseUnknown(publicMethods))
  app.use(handleErrors(dependencies))
  return app
}

/** Burst of the probes, in seconds of their rate. */
const PROBE_BURST_SECONDS = 10

/**
 * Creates an application with everything that comes before the routes: security headers, and the context and limits
 * of each request.
 */
function createShell(dependencies: AppDependencies): Express {
  const { trustedProxies } = dependencies
  const app = express()
  app.disable('x-powered-by')
  app.disable('etag')
  app.set('query parser', 'simple')
  if (trustedProxies.length > 0) app.set('trust proxy', [...trustedProxies])
  // Comes first, so that refusals by the limits also have these headers.
  app.use(helmet())
  // Before the limits, so that a script can read their refusals.
  if (dependencies.corsOrigins.length > 0) app.use(crossOrigin(dependencies.corsOrigins))
  app.use(requestContext(requestOptions(dependencies)))
  return app
}

/** Returns the limits of requests, with counters of their own. */
export function requestOptions(dependencies: AppDependencies): RequestOptions {
  const { log, metrics, inFlight, limits, stopping, issuing } = dependencies
  return {
    log,
    metrics,
    inFlight,
    stopping,
    configuredIds: new Set([
      ...issuing.services.keys(),
      ...issuing.verifier.providers.map(({ id }) => id),
    ]),
    addresses: createRateLimiter({
      perSecond: limits.requests_per_second_per_address,
      burst: limits.burst_per_address,
      nowMs: () => performance.now(),
    }),
    probes: createRateLimiter({
      perSecond: limits.probes_per_second_per_address,
      burst: PROBE_BURST_SECONDS * limits.probes_per_second_per_address,
      nowMs: () => performance.now(),
    }),
    timeoutMs: limits.request_timeout_seconds * 1000,
    bodyTimeoutMs: limits.body_timeout_seconds * 1000,
    maxTokenBytes: limits.token_bytes,
  }
}

/** Adds the paths of WaTTS. One handler serves them all, because their checks have an order of their own. */
function addWattsRoutes(app: Express, dependencies: AppDependencies, web: Web | undefined): void {
  const { limits, watts } = dependencies
  app.use(
    '/api',
    wattsRoutes({
      ...dependencies,
      settings: watts,
      sessions: web && wattsSessionsOf(web),
      requestTimeoutMs: limits.request_timeout_seconds * 1000,
      maxBodyBytes: limits.body_bytes,
    }),
  )
}

function addPublicRoutes(app: Express, dependencies: AppDependencies): void {
  const { issuing, stopping, metrics, inFlight } = dependencies
  app.use('/ca', authorityRoutes(dependencies.trustAnchors, dependencies.vomsFiles))
  app.use('/problems', problemRoutes(dependencies.publicUrl))
  app.use(
    operationsRoutes({
      store: issuing.store,
      providers: () => issuing.verifier.status(),
      inFlight,
      stopping,
      metrics,
      authorityStatus: dependencies.authorityStatus,
    }),
  )
}

/** All paths with their methods, so that a wrong method gets another error than a wrong path. */
const publicMethods: readonly (readonly [RegExp, string])[] = [
  [/^\/(ca(\/.*)?|problems\/?|problems\/[^/]+\/?|healthz|readyz|metrics)$/, 'GET, HEAD'],
]
const methodsByPath: typeof publicMethods = [
  ...publicMethods,
  [/^\/v1\/(proxies|certificates)\/?$/, 'POST'],
  [/^\/v1\/proxies\/successor\/?$/, 'POST'],
  [/^\/oauth2\/token\/?$/, 'POST'],
  [/^\/v1\/delegations\/?$/, 'GET, HEAD, POST'],
  [/^\/v1\/delegations\/[^/]+\/?$/, 'GET, HEAD, DELETE'],
  [/^\/v1\/delegations\/[^/]+\/proxies\/?$/, 'POST'],
  [/^\/v1\/credentials\/?$/, 'GET, HEAD'],
  [/^\/v1\/credentials\/[^/]+\/?$/, 'GET, HEAD, DELETE'],
  [/^\/openapi\.json$/, 'GET, HEAD'],
]

/** Answers OPTIONS on all paths in the same way; Express would answer it on only some of them. */
function answerOptions(paths: typeof methodsByPath): RequestHandler {
  return function answerOptions(request, response, next) {
    const methods =
      request.method === 'OPTIONS'
        ? paths.find(([path]) => path.test(request.path))?.[1]
        : undefined
    if (methods === undefined) next()
    else response.status(204).setHeader('Allow', `${methods}, OPTIONS`).end()
  }
}

function refuseUnknown(paths: typeof methodsByPath): RequestHandler {
  return function refuseUnknown(request, response) {
    const methods = paths.find(([path]) => path.test(request.path))?.[1]
    if (methods !== undefined && !methods.split(', ').includes(request.method)) {
      response.setHeader('Allow', methods)
      throw new TtsError('method_not_allowed', `this path supports only ${methods}`)
    }
    throw new TtsError('not_found', 'this path does not exist; /openapi.json lists all paths', {
      check: 'path',
    })
  }
}

function handleErrors({
  metrics,
  publicUrl,
}: Pick<AppDependencies, 'metrics' | 'publicUrl'>): ErrorRequestHandler {
  // oxlint-disable-next-line max-params -- Express knows an error handler by its four parameters
  return function handleErrors(error: unknown, request, response, next) {
    const failure = toTtsError(error)
    metrics.refused(failure.code, failure.check)
    response.locals['refusal'] = { code: failure.code, check: failure.check }
    const { id, log } = contextOf(response)
    if (response.headersSent) {
      next(error)
      return
    }
    if (failure.code === 'internal')
      log.error({ event: 'request.failed', err: error }, 'a request failed')
    if (request.originalUrl.startsWith('/api/')) sendWattsError(response, failure)
    // The listener without TLS has no such path.
    else if (isTokenPath(request.path) && failure.check !== 'path')
      sendOAuthError(response, failure, { requestId: id, publicUrl })
    else sendProblem(response, failure, { requestId: id, publicUrl })
  }
}
