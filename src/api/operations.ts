/** /healthz, /readyz, /metrics: for those who watch the service. */
import { Router } from 'express'
import type { Store } from '../domain/store.ts'
import type { RequestsInFlight } from '../http/requests-in-flight.ts'
import type { Metrics } from '../service/metrics.ts'
import type { ProviderStatus } from '../tokens/providers.ts'
import { routeName } from './request.ts'

export interface OperationsDependencies {
  readonly store: Pick<Store, 'ping'>
  readonly providers: () => readonly ProviderStatus[]
  readonly inFlight: Pick<RequestsInFlight, 'count' | 'isFull'>
  readonly stopping: () => boolean
  readonly metrics: Metrics
}

/** However often somebody asks, the work behind an answer is done once in this time. */
const REMEMBERED_MS = 250

export function operationsRoutes(dependencies: OperationsDependencies): Router {
  const { store, metrics } = dependencies
  const router = Router()
  const probe = routeName('probe')
  const records = rememberedFor(REMEMBERED_MS, () =>
    store.ping().then(
      () => 'ok',
      () => 'the database cannot be reached or written',
    ),
  )
  const exposition = rememberedFor(REMEMBERED_MS, () => metrics.registry.metrics())

  // Alive means that this process answers; nothing outside of it counts, or a database outage would restart all replicas.
  router.get('/healthz', probe, (_request, response) => {
    response.setHeader('Cache-Control', 'no-store').json({ status: 'ok' })
  })

  router.get('/readyz', probe, async (_request, response) => {
    const readiness = readinessOf(dependencies, await records())
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

interface Readiness {
  readonly ready: boolean
  readonly [detail: string]: unknown
}

function readinessOf(
  { providers, stopping, inFlight }: OperationsDependencies,
  records: string,
): Readiness {
  const states = providers().map(({ id, ready, usingCached, lastError }) => ({
    id,
    ready,
    using_cached: usingCached,
    ...(lastError === undefined ? {} : { problem: lastError }),
  }))
  // One provider down is no reason to take the service away from the users of the others.
  const someProvider = states.length === 0 || states.some((state) => state.ready)
  const ready = !stopping() && records === 'ok' && someProvider && !inFlight.isFull
  return {
    ready,
    stopping: stopping(),
    // Everybody is refused until requests are answered: a load balancer should send people elsewhere meanwhile.
    saturated: inFlight.isFull,
    requests_in_flight: inFlight.count,
    store: records,
    providers: states,
  }
}

/** Answers what `work` gave at most `ms` milliseconds ago; callers at the same time share one run. */
function rememberedFor<Result>(ms: number, work: () => Promise<Result>): () => Promise<Result> {
  let run: { readonly atMs: number; readonly result: Promise<Result> } | undefined
  return () => {
    if (run === undefined || performance.now() - run.atMs >= ms)
      run = { atMs: performance.now(), result: work() }
    return run.result
  }
}
