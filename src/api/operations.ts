/** /healthz, /readyz, /metrics: for those who watch the service. */
import { Router } from 'express'
import type { Store } from '../domain/records.ts'
import type { Metrics } from '../metrics.ts'
import type { ProviderStatus } from '../tokens/providers.ts'
import { routeName } from './request.ts'

export interface OperationsDependencies {
  readonly store: Pick<Store, 'ping'>
  readonly providers: () => readonly ProviderStatus[]
  readonly stopping: () => boolean
  readonly metrics: Metrics
}

export function operationsRoutes({
  store,
  providers,
  stopping,
  metrics,
}: OperationsDependencies): Router {
  const router = Router()
  const probe = routeName('probe')

  // Alive means that this process answers; nothing outside of it counts, or a database outage would restart all replicas.
  router.get('/healthz', probe, (_request, response) => {
    response.setHeader('Cache-Control', 'no-store').json({ status: 'ok' })
  })

  router.get('/readyz', probe, async (_request, response) => {
    const records = await store.ping().then(
      () => 'ok',
      () => 'the database cannot be reached or written',
    )
    const states = providers().map(({ id, ready, usingCached, lastError }) => ({
      id,
      ready,
      using_cached: usingCached,
      ...(lastError === undefined ? {} : { problem: lastError }),
    }))
    // One provider down is no reason to take the service away from the users of the others.
    const ready =
      !stopping() &&
      records === 'ok' &&
      (states.length === 0 || states.some((state) => state.ready))
    response
      .status(ready ? 200 : 503)
      .setHeader('Cache-Control', 'no-store')
      .json({ ready, stopping: stopping(), store: records, providers: states })
  })

  router.get('/metrics', probe, async (_request, response) => {
    response.setHeader('Content-Type', metrics.registry.contentType)
    response.send(await metrics.registry.metrics())
  })
  return router
}
