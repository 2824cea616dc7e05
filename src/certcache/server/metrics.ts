/** The metrics of certcache. Labels are of bounded sets: names of the settings, paths that exist, statuses. */
import { Counter, Gauge, Registry } from 'prom-client'
import { type RefusalReason, refusalReasons } from './access.ts'
import type { ProxyEngine } from '../proxy-engine.ts'
import { secondsUntil } from '../words.ts'

/** What requests are counted under. */
export type CountedPath =
  '/get_proxy' | '/cgi-bin/get_proxy' | '/health' | '/metrics' | '/status' | 'other'

/** Counts of what the server did; plain numbers, since they are raised with every request. */
export interface Tally {
  request(path: CountedPath, status: number): void
  refusal(reason: RefusalReason): void
  readonly requests: ReadonlyMap<string, number>
  readonly refusals: ReadonlyMap<RefusalReason, number>
}

/** An empty tally. */
export function createTally(): Tally {
  const requests = new Map<string, number>()
  const refusals = new Map<RefusalReason, number>(refusalReasons.map((reason) => [reason, 0]))
  return {
    requests,
    refusals,
    request: (path, status) => {
      const key = `${path} ${status}`
      requests.set(key, (requests.get(key) ?? 0) + 1)
    },
    refusal: (reason) => {
      refusals.set(reason, (refusals.get(reason) ?? 0) + 1)
    },
  }
}

export interface CertcacheMetricsParts {
  readonly engine: Pick<ProxyEngine, 'status'>
  readonly tally: Tally
  readonly now: () => Date
  /** End of the EEC below a proxy, as far as one is in hand. */
  readonly endEntityNotAfter: (name: string) => Date | undefined
  readonly waiting: () => number
  readonly connections: () => Promise<number>
  readonly version: string
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}
interface Series {
  readonly type: 'gauge' | 'counter'
  readonly name: string
  readonly help: string
  readonly labels: readonly string[]
  readonly read: () => readonly Sample[] | Promise<readonly Sample[]>
}

/** A registry that reads everything when it is asked. */
export function createCertcacheMetrics(parts: CertcacheMetricsParts): Registry {
  const registry = new Registry()
  const series = [...proxySeries(parts), ...sourceSeries(parts), ...doorSeries(parts)]
  for (const one of series) register(registry, one)
  return registry
}

function register(registry: Registry, { type, name, help, labels, read }: Series): void {
  const common = { name, help, labelNames: [...labels], registers: [registry] }
  if (type === 'gauge') {
    new Gauge({
      ...common,
      async collect() {
        this.reset()
        for (const { labels, value } of await read()) this.set(labels, value)
      },
    })
    return
  }
  new Counter({
    ...common,
    async collect() {
      this.reset()
      for (const { labels, value } of await read()) this.inc(labels, value)
    },
  })
}

function proxySeries({ engine, now, endEntityNotAfter }: CertcacheMetricsParts): readonly Series[] {
  const each = (
    read: (status: ReturnType<ProxyEngine['status']>['proxies'][number]) => number | undefined,
  ): readonly Sample[] =>
    engine.status().proxies.flatMap((status) => {
      const value = read(status)
      return value === undefined ? [] : [{ labels: { proxy: status.name }, value }]
    })
  const gauge = { type: 'gauge', labels: ['proxy'] } as const
  const left = (date: Date | undefined): number =>
    date ? Math.max(0, secondsUntil(date, now())) : 0
  return [
    {
      ...gauge,
      name: 'certcache_proxy_remaining_seconds',
      help: 'Life that the proxy in hand has left, by the earliest end of all its certificates; 0 when there is none.',
      read: () => each(({ proxy }) => left(proxy?.notAfter)),
    },
    {
      ...gauge,
      name: 'certcache_end_entity_remaining_seconds',
      help: 'Life that the end-entity certificate below the proxy has left.',
      read: () =>
        each(({ name }) => {
          const end = endEntityNotAfter(name)
          return end && left(end)
        }),
    },
    {
      ...gauge,
      name: 'certcache_last_success_timestamp_seconds',
      help: 'When the proxy was last renewed, in seconds since 1970.',
      read: () => each(({ lastSuccessAt }) => lastSuccessAt && lastSuccessAt.getTime() / 1000),
    },
    {
      ...gauge,
      name: 'certcache_next_attempt_timestamp_seconds',
      help: 'When the next renewal is due, in seconds since 1970.',
      read: () => each(({ nextAttemptAt }) => nextAttemptAt && nextAttemptAt.getTime() / 1000),
    },
    {
      ...gauge,
      name: 'certcache_renewal_failing',
      help: '1 when the newest attempt to renew the proxy failed.',
      read: () => each(({ lastError }) => (lastError ? 1 : 0)),
    },
    {
      type: 'counter',
      labels: ['proxy', 'result'],
      name: 'certcache_renewals_total',
      help: 'Attempts to renew, by result.',
      read: () =>
        engine.status().proxies.flatMap(({ name: proxy, attempts }) => [
          { labels: { proxy, result: 'succeeded' }, value: attempts.succeeded },
          { labels: { proxy, result: 'failed' }, value: attempts.failed },
        ]),
    },
  ]
}

function sourceSeries({ engine, now, version }: CertcacheMetricsParts): readonly Series[] {
  const gauge = { type: 'gauge', labels: [] } as const
  return [
    {
      ...gauge,
      name: 'certcache_delegation_remaining_seconds',
      help: 'Time for which renewal goes on by itself, as far as can be told.',
      read: () => {
        const until = engine.status().source.renewsUntil
        return until ? [{ labels: {}, value: Math.max(0, secondsUntil(until, now())) }] : []
      },
    },
    {
      ...gauge,
      name: 'certcache_renewal_ended',
      help: '1 when renewal is over for good and somebody must bring a new token.',
      read: () => [{ labels: {}, value: engine.status().source.ended === undefined ? 0 : 1 }],
    },
    {
      type: 'gauge',
      labels: ['kind', 'version'],
      name: 'certcache_info',
      help: 'Where the right to renew comes from, and the version of certcache.',
      read: () => [{ labels: { kind: engine.status().source.kind, version }, value: 1 }],
    },
  ]
}

function doorSeries({ tally, waiting, connections }: CertcacheMetricsParts): readonly Series[] {
  return [
    {
      type: 'counter',
      labels: ['path', 'status'],
      name: 'certcache_http_requests_total',
      help: 'Requests that were answered, by path and status.',
      read: () =>
        [...tally.requests].map(([key, value]) => {
          const [path = '', status = ''] = key.split(' ')
          return { labels: { path, status }, value }
        }),
    },
    {
      type: 'counter',
      labels: ['reason'],
      name: 'certcache_refused_total',
      help: 'Requests that were not let in, by reason.',
      read: () => [...tally.refusals].map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      type: 'gauge',
      labels: [],
      name: 'certcache_waiting_requests',
      help: 'Requests that wait for a first proxy.',
      read: () => [{ labels: {}, value: waiting() }],
    },
    {
      type: 'gauge',
      labels: [],
      name: 'certcache_connections',
      help: 'Connections that are open.',
      read: async () => [{ labels: {}, value: await connections() }],
    },
  ]
}
