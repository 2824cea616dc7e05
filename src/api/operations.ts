/** /healthz, /readyz and /metrics, for monitoring. */
import { Router } from 'express'
import type { Store } from '../domain/store.ts'
import type { RequestsInFlight } from '../http/requests-in-flight.ts'
import type { Metrics } from '../service/metrics.ts'
import type { ProviderStatus } from '../tokens/providers.ts'
import type { Answer } from './openapi/answers.ts'
import { routeName } from './request.ts'

export interface OperationsDependencies {
  readonly store: Pick<Store, 'ping'>
  readonly providers: () => readonly ProviderStatus[]
  readonly inFlight: Pick<RequestsInFlight, 'count' | 'isFull'>
  readonly stopping: () => boolean
  readonly metrics: Metrics
  /** `ok`, or why the CA cannot issue. */
  readonly authorityStatus: () => Promise<string>
}

/** Answers are cached for this time, so that frequent probes cannot load the database. */
const CACHE_MS = 250

export function operationsRoutes(dependencies: OperationsDependencies): Router {
  const { store, metrics } = dependencies
  const router = Router()
  const probe = routeName('probe')
  const unreachable = 'the database cannot be reached or written'
  const status = cacheResult(CACHE_MS, async () => {
    const [database, authority] = await Promise.all([
      store.ping().then(
        () => 'ok',
        () => unreachable,
      ),
      dependencies.authorityStatus().catch(() => 'unknown, because the database cannot be reached'),
    ])
    return { store: database, ca: authority }
  })
  const exposition = cacheResult(CACHE_MS, () => metrics.registry.metrics())

  // Alive means that this process answers. If the database counted, its outage would restart all replicas.
  router.get('/healthz', probe, (_request, response) => {
    response.setHeader('Cache-Control', 'no-store').json({ status: 'ok' })
  })

  router.get('/readyz', probe, async (_request, response) => {
    const readiness = readinessOf(dependencies, await status())
    response
      .status(readiness.ready ? 200 : 503)
      .setHeader('Cache-Control', 'no-store')
      .json(readiness)
  })

  router.get('/metrics', probe, async (_request, response) => {
    const text = await exposition()
    response.setHeader('Content-Type', metrics.registry.contentType)
    response.send(text)
  })
  return router
}

function readinessOf(
  { providers, stopping, inFlight }: OperationsDependencies,
  status: { readonly store: string; readonly ca: string },
): Answer<'Readiness'> {
  const states = providers().map(({ id, ready, usingCached, lastError }) => ({
    id,
    ready,
    using_cached: usingCached,
    ...(lastError === undefined ? {} : { problem: lastError }),
  }))
  // An outage of one provider must not affect users of the others.
  const isSomeProviderReady = states.length === 0 || states.some((state) => state.ready)
  const isUsable = status.store === 'ok' && status.ca === 'ok'
  const ready = !stopping() && isUsable && isSomeProviderReady && !inFlight.isFull
  return {
    ready,
    stopping: stopping(),
    // A full instance refuses all new requests, so a load balancer should use another one.
    saturated: inFlight.isFull,
    requests_in_flight: inFlight.count,
    ...status,
    providers: states,
  }
}

/** Returns a function that runs `work` at most once in `ms` milliseconds; concurrent callers share one run. */
function cacheResult<Result>(ms: number, work: () => Promise<Result>): () => Promise<Result> {
  let run: { readonly atMs: number; readonly result: Promise<Result> } | undefined
  return () => {
    if (run === undefined || performance.now() - run.atMs >= ms)
      run = { atMs: performance.now(), result: work() }
    return run.result
  }
}
