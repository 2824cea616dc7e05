/** The metrics of certcache. Label values come from fixed sets: proxy names of the settings, known paths, statuses. */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client'
import { type RefusalReason, refusalReasons } from './access.ts'
import type { ProxyEngine } from '../proxy-engine.ts'

/** The `path` labels of the request counter. */
export type CountedPath =
  '/get_proxy' | '/cgi-bin/get_proxy' | '/health' | '/metrics' | '/status' | 'other'

/** The request counters of the server. Plain numbers, because each request increments them. */
export interface Tally {
  request(path: CountedPath, status: number): void
  refusal(reason: RefusalReason): void
  readonly requests: ReadonlyMap<string, number>
  readonly refusals: ReadonlyMap<RefusalReason, number>
}

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
  /** notAfter of the EEC of a proxy; undefined if there is no proxy. */
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

/** Returns a registry that reads all values when it is scraped. */
export function createCertcacheMetrics(parts: CertcacheMetricsParts): Registry {
  const registry = new Registry()
  // CPU, memory, open files, the event loop: the names are those of all Prometheus clients.
  collectDefaultMetrics({ register: registry })
  const series = [...proxySeries(parts), ...sourceSeries(parts), ...serverSeries(parts)]
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

const secondsOf = (date: Date | undefined): number | undefined => date && date.getTime() / 1000

function proxySeries({ engine, endEntityNotAfter }: CertcacheMetricsParts): readonly Series[] {
  const each = (
    read: (status: ReturnType<ProxyEngine['status']>['proxies'][number]) => number | undefined,
  ): readonly Sample[] =>
    engine.status().proxies.flatMap((status) => {
      const value = read(status)
      return value === undefined ? [] : [{ labels: { proxy: status.name }, value }]
    })
  const gauge = { type: 'gauge', labels: ['proxy'] } as const
  return [
    {
      ...gauge,
      name: 'certcache_proxy_expiry_timestamp_seconds',
      help: 'When the proxy ends, by the earliest notAfter in its chain, in seconds since 1970; 0 without a proxy.',
      read: () => each(({ proxy }) => secondsOf(proxy?.notAfter) ?? 0),
    },
    {
      ...gauge,
      name: 'certcache_end_entity_expiry_timestamp_seconds',
      help: 'When the end-entity certificate that issued the proxy ends, in seconds since 1970.',
      read: () => each(({ name }) => secondsOf(endEntityNotAfter(name))),
    },
    {
      ...gauge,
      name: 'certcache_last_success_timestamp_seconds',
      help: 'Time of the last successful renewal, in seconds since 1970.',
      read: () => each(({ lastSuccessAt }) => secondsOf(lastSuccessAt)),
    },
    {
      ...gauge,
      name: 'certcache_next_attempt_timestamp_seconds',
      help: 'Time of the next renewal attempt, in seconds since 1970.',
      read: () => each(({ nextAttemptAt }) => secondsOf(nextAttemptAt)),
    },
    {
      ...gauge,
      name: 'certcache_renewal_failing',
      help: '1 when the newest renewal attempt failed.',
      read: () => each(({ lastError }) => (lastError ? 1 : 0)),
    },
    {
      type: 'counter',
      labels: ['proxy', 'result'],
      name: 'certcache_renewals_total',
      help: 'Renewal attempts, by result.',
      read: () =>
        engine.status().proxies.flatMap(({ name: proxy, attempts }) => [
          { labels: { proxy, result: 'succeeded' }, value: attempts.succeeded },
          { labels: { proxy, result: 'failed' }, value: attempts.failed },
        ]),
    },
  ]
}

function sourceSeries({ engine, version }: CertcacheMetricsParts): readonly Series[] {
  const gauge = { type: 'gauge', labels: [] } as const
  return [
    {
      ...gauge,
      name: 'certcache_renewal_end_timestamp_seconds',
      help: 'Until when renewal works without a new token, in seconds since 1970; absent if that is not known.',
      read: () => {
        const value = secondsOf(engine.status().source.renewsUntil)
        return value === undefined ? [] : [{ labels: {}, value }]
      },
    },
    {
      ...gauge,
      name: 'certcache_renewal_ended',
      help: '1 when renewal has ended and a new token is needed.',
      read: () => [{ labels: {}, value: engine.status().source.ended === undefined ? 0 : 1 }],
    },
    {
      type: 'gauge',
      labels: ['kind'],
      name: 'certcache_source_info',
      help: 'Kind of source that certcache renews with; always 1.',
      read: () => [{ labels: { kind: engine.status().source.kind }, value: 1 }],
    },
    {
      type: 'gauge',
      labels: ['version', 'node'],
      name: 'certcache_build_info',
      help: 'Version of the program, and the Node.js that runs it; always 1.',
      read: () => [{ labels: { version, node: process.version }, value: 1 }],
    },
  ]
}

function serverSeries({ tally, waiting, connections }: CertcacheMetricsParts): readonly Series[] {
  return [
    {
      type: 'counter',
      labels: ['path', 'status'],
      name: 'certcache_http_requests_total',
      help: 'Answered requests, by path and status.',
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
      help: 'Requests refused by the access rules, by reason.',
      read: () => [...tally.refusals].map(([reason, value]) => ({ labels: { reason }, value })),
    },
    {
      type: 'gauge',
      labels: [],
      name: 'certcache_waiting_requests',
      help: 'Requests that wait for the first proxy.',
      read: () => [{ labels: {}, value: waiting() }],
    },
    {
      type: 'gauge',
      labels: [],
      name: 'certcache_connections',
      help: 'Open connections.',
      read: async () => [{ labels: {}, value: await connections() }],
    },
  ]
}
