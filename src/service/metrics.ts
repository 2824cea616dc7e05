/**
 * The metrics for Prometheus. Label values must come from small fixed sets, never from an identity, subject, address
 * or token.
 */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { BuildInfo } from '../base/build-info.ts'
import {
  type DelegationCensus,
  delegationStates,
  forecastDays,
} from '../domain/delegations/records.ts'
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
  /** The newest CRL. */
  readonly crl: () => Promise<{ readonly thisUpdate: Date; readonly nextUpdate: Date }>
  /** What runs. */
  readonly build: BuildInfo
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
  /** @param seconds from the order to the signed proxy, with the wait for a thread */
  proxySigned(seconds: number): void
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
  const signatures = new Histogram({
    name: 'tts_signing_duration_seconds',
    help: 'Time that a proxy for a CSR needs in the signing threads, with the wait for a free one.',
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers,
  })
  const { issued, accessTokens, attributes, refusals, closed } = countersOf(registry)
  const { archived, archiveFailures } = archiveCountersOf(registry)
  // CPU, memory, open files, the event loop: the names are those of all Prometheus clients.
  collectDefaultMetrics({ register: registry })
  registerEnds(sources, registry)
  registerState(sources, registry)
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
    proxySigned: (seconds) => {
      signatures.observe(seconds)
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

/**
 * When things end. Absolute times, not what is left of them: a rule subtracts `time()`, and a service that hangs cannot
 * show an old remainder.
 */
function registerEnds(sources: MetricsSources, registry: Registry): void {
  const time = (
    name: string,
    help: string,
    read: () => Date | undefined | Promise<Date | undefined>,
  ): void => {
    new Gauge({
      name,
      help: `${help}, in seconds since 1970.`,
      registers: [registry],
      async collect() {
        const at = await read()
        // A value that is no longer known must not stay.
        if (at === undefined) this.remove()
        else this.set(at.getTime() / 1000)
      },
    })
  }
  const crl = async () => sources.crl().catch(() => undefined)
  time(
    'tts_ca_certificate_expiry_timestamp_seconds',
    'When the CA certificate expires',
    sources.authorityEnd,
  )
  time(
    'tts_tls_certificate_expiry_timestamp_seconds',
    'When the TLS certificate of the listener expires; absent without TLS',
    sources.tlsEnd,
  )
  time(
    'tts_crl_this_update_timestamp_seconds',
    'thisUpdate of the newest CRL',
    async () => (await crl())?.thisUpdate,
  )
  time(
    'tts_crl_next_update_timestamp_seconds',
    'nextUpdate of the newest CRL; after it, relying parties refuse all certificates',
    async () => (await crl())?.nextUpdate,
  )
  time(
    'tts_delegation_first_end_timestamp_seconds',
    'When the first active delegation is expected to end',
    async () => (await sources.delegations().catch(() => undefined))?.firstEnd,
  )
}

function registerState({ build, ...sources }: MetricsSources, registry: Registry): void {
  const registers = [registry]
  new Gauge({
    name: 'tts_build_info',
    help: 'Version and commit of the program, and the Node.js that runs it; always 1.',
    labelNames: ['version', 'commit', 'node'],
    registers,
  }).set({ version: build.version, commit: build.commit ?? '', node: process.version }, 1)
  new Gauge({
    name: 'tts_http_requests_in_flight',
    help: 'Requests in progress.',
    registers,
    collect() {
      this.set(sources.requestsInFlight())
    },
  })
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
function registerDelegationGauges({ delegations }: MetricsSources, registry: Registry): void {
  const registers = [registry]
  const census = async () => delegations().catch(() => undefined)
  new Gauge({
    name: 'tts_delegations',
    help: 'Delegations by state.',
    labelNames: ['state'],
    registers,
    async collect() {
      const found = await census()
      for (const state of delegationStates) {
        if (found === undefined) this.remove({ state })
        else this.set({ state }, found.counts[state])
      }
    },
  })
  new Gauge({
    name: 'tts_delegations_ending',
    help: 'Active delegations that are expected to end within this time.',
    labelNames: ['within'],
    registers,
    async collect() {
      const found = await census()
      for (const days of forecastDays) {
        if (found === undefined) this.remove({ within: `${days}d` })
        else this.set({ within: `${days}d` }, found.ending[days])
      }
    },
  })
}
