/**
 * The metrics for Prometheus. Label values must come from small fixed sets, never from an identity, subject, address
 * or token.
 */
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { type DelegationCensus, delegationStates } from '../domain/delegations/records.ts'
import type { ArchivedRecord } from '../domain/retention/archive-records.ts'
import type { ClosingReason } from '../http/connections.ts'
import type { ProviderStatus } from '../tokens/providers.ts'

export interface MetricsSources {
  readonly providers: () => readonly ProviderStatus[]
  readonly requestsInFlight: () => number
  readonly keyPool: () => {
    readonly ready: ReadonlyMap<string, number>
    readonly waiting: number
  }
  readonly authorityEnd: () => Date
  /** When the TLS certificate of the listener expires; undefined without TLS. */
  readonly tlsEnd: () => Date | undefined
  readonly delegations: () => Promise<DelegationCensus>
  readonly crlNextUpdate: () => Promise<Date | undefined>
  readonly now: () => Date
}

export interface Metrics {
  readonly registry: Registry
  requestDone(request: {
    readonly route: string
    readonly method: string
    readonly status: number
    readonly seconds: number
  }): void
  credentialIssued(service: string): void
  accessTokenIssued(): void
  /** Counts an attribute certificate of a VOMS server. */
  attributesIssued(vo: string): void
  refused(code: string, check: string | undefined): void
  /** Counts a connection that a limit closed. */
  connectionClosed(reason: ClosingReason): void
  /** Counts records that moved to the archive. */
  recordsArchived(record: ArchivedRecord, count: number): void
  /** Counts a run that could not move records to the archive. */
  archiveFailed(): void
}

export function createMetrics(sources: MetricsSources): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const requests = new Histogram({
    name: 'tts_http_request_duration_seconds',
    help: 'Time from the first byte of a request to the last of its answer.',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30],
    registers,
  })
  const { issued, accessTokens, attributes, refusals, closed } = countersOf(registry)
  const { archived, archiveFailures } = archiveCountersOf(registry)
  registerGauges(sources, registry)
  registerKeyPoolGauges(sources, registry)
  registerDelegationGauges(sources, registry)
  return {
    registry,
    requestDone: ({ route, method, status, seconds }) => {
      requests.observe({ method, route, status: String(status) }, seconds)
    },
    credentialIssued: (service) => {
      issued.inc({ service })
    },
    accessTokenIssued: () => accessTokens.inc(),
    attributesIssued: (vo) => {
      attributes.inc({ vo })
    },
    refused: (code, check) => {
      refusals.inc({ code, check: check ?? '' })
    },
    connectionClosed: (reason) => {
      closed.inc({ reason })
    },
    recordsArchived: (record, count) => archived.inc({ record }, count),
    archiveFailed: () => archiveFailures.inc(),
  }
}

/** Counters of what the service gave and refused. */
function countersOf(registry: Registry) {
  const registers = [registry]
  const issued = new Counter({
    name: 'tts_credentials_issued_total',
    help: 'Issued credentials.',
    labelNames: ['service'],
    registers,
  })
  const accessTokens = new Counter({
    name: 'tts_access_tokens_issued_total',
    help: 'Issued access tokens for the holders of proxies.',
    registers,
  })
  const attributes = new Counter({
    name: 'tts_voms_attributes_issued_total',
    help: 'Attribute certificates that VOMS servers have issued; those in proxies are not counted.',
    labelNames: ['vo'],
    registers,
  })
  const refusals = new Counter({
    name: 'tts_refused_total',
    help: 'Refused requests, by error code and failed check.',
    labelNames: ['code', 'check'],
    registers,
  })
  const closed = new Counter({
    name: 'tts_connections_closed_total',
    help: 'Connections closed by a limit: per address, in total, or because of pipelined requests or tiny body chunks.',
    labelNames: ['reason'],
    registers,
  })
  return { issued, accessTokens, attributes, refusals, closed }
}

/** Counters of the records that left the database. */
function archiveCountersOf(registry: Registry) {
  const registers = [registry]
  const archived = new Counter({
    name: 'tts_records_archived_total',
    help: 'Records that moved from the database to the archive: credentials, and EECs.',
    labelNames: ['record'],
    registers,
  })
  const archiveFailures = new Counter({
    name: 'tts_record_archive_failures_total',
    help: 'Failures to move old records to the archive. The records stay in the database.',
    registers,
  })
  return { archived, archiveFailures }
}

function registerGauges(sources: MetricsSources, registry: Registry): void {
  const { now } = sources
  const registers = [registry]
  const secondsUntil = (date: Date): number => Math.round((date.getTime() - now().getTime()) / 1000)
  const gauge = (
    name: string,
    help: string,
    read: () => number | undefined | Promise<number | undefined>,
  ): void => {
    new Gauge({
      name,
      help,
      registers,
      async collect() {
        const value = await read()
        if (value !== undefined) this.set(value)
      },
    })
  }
  gauge('tts_ca_certificate_remaining_seconds', 'Time until the CA certificate expires.', () =>
    secondsUntil(sources.authorityEnd()),
  )
  gauge(
    'tts_tls_certificate_remaining_seconds',
    'Time until the TLS certificate of the listener expires. Absent without TLS.',
    () => {
      const end = sources.tlsEnd()
      return end && secondsUntil(end)
    },
  )
  gauge(
    'tts_crl_remaining_seconds',
    'Time until nextUpdate of the newest CRL; after it, relying parties refuse all certificates.',
    async () => {
      const nextUpdate = await sources.crlNextUpdate().catch(() => undefined)
      return nextUpdate && secondsUntil(nextUpdate)
    },
  )
  gauge('tts_http_requests_in_flight', 'Requests in progress.', sources.requestsInFlight)
  new Gauge({
    name: 'tts_provider_ready',
    help: '1 if tokens of the provider can be verified, otherwise 0.',
    labelNames: ['provider'],
    registers,
    collect() {
      for (const { id, ready } of sources.providers()) this.set({ provider: id }, ready ? 1 : 0)
    },
  })
}

function registerKeyPoolGauges({ keyPool }: MetricsSources, registry: Registry): void {
  const registers = [registry]
  new Gauge({
    name: 'tts_key_pool_ready',
    help: 'Keys generated in advance, by kind.',
    labelNames: ['kind'],
    registers,
    collect() {
      // A reload may change the kinds.
      this.reset()
      for (const [kind, count] of keyPool().ready) this.set({ kind }, count)
    },
  })
  new Gauge({
    name: 'tts_key_pool_waiting',
    help: 'Requests that wait for a key.',
    registers,
    collect() {
      this.set(keyPool().waiting)
    },
  })
}

/**
 * The gauges are read at each collection. A value that is no longer known is removed, so that the old one does not
 * stay.
 */
function registerDelegationGauges({ delegations, now }: MetricsSources, registry: Registry): void {
  const registers = [registry]
  new Gauge({
    name: 'tts_delegations',
    help: 'Delegations by state.',
    labelNames: ['state'],
    registers,
    async collect() {
      const census = await delegations().catch(() => undefined)
      for (const state of delegationStates) {
        if (census === undefined) this.remove({ state })
        else this.set({ state }, census.counts[state])
      }
    },
  })
  new Gauge({
    name: 'tts_delegation_first_end_seconds',
    help: 'Time until the first active delegation is expected to end.',
    registers,
    async collect() {
      const census = await delegations().catch(() => undefined)
      if (census?.firstEnd === undefined) this.remove()
      else this.set(Math.round((census.firstEnd.getTime() - now().getTime()) / 1000))
    },
  })
}
