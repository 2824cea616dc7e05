/**
 * `npm run docs`: writes the Grafana dashboards in `deploy/grafana`, or in `--out DIR`. Grafana has forty lines of JSON
 * for each panel; here there is a line for each query.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'

interface Panel {
  readonly title: string
  /** What it answers, for who is woken up. */
  readonly description: string
  readonly unit: 's' | 'ms' | 'short' | 'reqps' | 'percentunit' | 'bytes' | 'dateTimeFromNow'
  /** PromQL by legend. */
  readonly queries: Readonly<Record<string, string>>
  readonly kind?: 'timeseries' | 'stat'
  /** Below, or above, which it is red; thresholds of the rules. */
  readonly red?: { readonly below?: number; readonly above?: number }
}

interface Dashboard {
  readonly uid: string
  readonly title: string
  readonly panels: readonly Panel[]
}

const left = (metric: string): string => `min(${metric}) - time()`
const DAY = 86_400

const dashboards: Readonly<Record<string, Dashboard>> = {
  tts: {
    uid: 'tts',
    title: 'Token Translation Service',
    panels: [
      {
        title: 'CRL expires in',
        description: 'After that, sites refuse every credential of the CA.',
        unit: 's',
        kind: 'stat',
        queries: { '': left('tts_crl_next_update_timestamp_seconds') },
        red: { below: 7 * DAY },
      },
      {
        title: 'CA expires in',
        description: 'Nothing that it issues lives longer.',
        unit: 's',
        kind: 'stat',
        queries: { '': left('tts_ca_certificate_expiry_timestamp_seconds') },
        red: { below: 30 * DAY },
      },
      {
        title: 'TLS certificate expires in',
        description: 'Every client stops then.',
        unit: 's',
        kind: 'stat',
        queries: { '': left('tts_tls_certificate_expiry_timestamp_seconds') },
        red: { below: 2 * DAY },
      },
      {
        title: 'Versions',
        description: 'More than one for long: an upgrade is not complete.',
        unit: 'short',
        kind: 'stat',
        queries: { '{{version}}': 'count by (version) (tts_build_info)' },
      },
      {
        title: 'Credentials',
        description: 'Issued credentials, by service.',
        unit: 'reqps',
        queries: { '{{service}}': 'sum by (service) (rate(tts_credentials_issued_total[5m]))' },
      },
      {
        title: 'Refusals by check',
        description:
          'A new line, or one that rises: `tts audit --refused` has the newest, with remedies.',
        unit: 'reqps',
        queries: {
          '{{code}} {{check}}': 'sum by (code, check) (rate(tts_refused_total[5m])) > 0',
        },
      },
      {
        title: 'Latency of requests',
        description: 'From the first byte of a request to the last of its answer.',
        unit: 's',
        queries: {
          median:
            'histogram_quantile(0.5, sum by (le) (rate(tts_http_request_duration_seconds_bucket[5m])))',
          'p99 {{instance}}':
            'histogram_quantile(0.99, sum by (instance, le) (rate(tts_http_request_duration_seconds_bucket[5m])))',
        },
      },
      {
        title: 'Latency of signing',
        description: 'With the wait for a free thread: it rises when the cores are busy.',
        unit: 's',
        queries: {
          'p99 {{instance}}':
            'histogram_quantile(0.99, sum by (instance, le) (rate(tts_signing_duration_seconds_bucket[5m])))',
        },
      },
      {
        title: 'Requests in progress, and waiting for keys',
        description: 'Callers that wait for keys should send CSRs.',
        unit: 'short',
        queries: {
          'in progress {{instance}}': 'tts_http_requests_in_flight',
          'waiting {{instance}}': 'tts_key_pool_waiting',
        },
      },
      {
        title: 'Providers',
        description: '0: no token of the provider can be verified.',
        unit: 'short',
        queries: { '{{provider}}': 'max by (provider) (tts_provider_ready)' },
      },
      {
        title: 'CPU',
        description: 'Cores that the process uses.',
        unit: 'short',
        queries: { '{{instance}}': 'rate(process_cpu_seconds_total{job=~".*tts.*"}[5m])' },
      },
      {
        title: 'Memory',
        description: 'Resident memory of the process.',
        unit: 'bytes',
        queries: { '{{instance}}': 'process_resident_memory_bytes{job=~".*tts.*"}' },
      },
    ],
  },
  delegations: {
    uid: 'tts-delegations',
    title: 'Delegations that end',
    panels: [
      {
        title: 'End within three days',
        description: 'Somebody must log in again: `tts delegation list --ends-within 3d`.',
        unit: 'short',
        kind: 'stat',
        queries: { '': 'max(tts_delegations_ending{within="3d"})' },
        red: { above: 0 },
      },
      {
        title: 'The first one ends in',
        description: 'Unless it is used or made anew before.',
        unit: 's',
        kind: 'stat',
        queries: { '': left('tts_delegation_first_end_timestamp_seconds') },
        red: { below: DAY },
      },
      {
        title: 'Forecast',
        description: 'How many are expected to end within this time.',
        unit: 'short',
        queries: { '{{within}}': 'max by (within) (tts_delegations_ending)' },
      },
      {
        title: 'By state',
        description: '`ended` rises: the renewal of somebody has stopped.',
        unit: 'short',
        queries: { '{{state}}': 'max by (state) (tts_delegations)' },
      },
    ],
  },
  certcache: {
    uid: 'certcache',
    title: 'certcache',
    panels: [
      {
        title: 'Proxies end in',
        description: 'Below six hours: `certcache status` has the last error, and what to do.',
        unit: 's',
        queries: {
          '{{instance}} {{proxy}}': 'certcache_proxy_expiry_timestamp_seconds - time()',
        },
        red: { below: 6 * 3600 },
      },
      {
        title: 'Renewal ends in',
        description: 'A new access token, or a login, is needed before.',
        unit: 's',
        queries: { '{{instance}}': 'certcache_renewal_end_timestamp_seconds - time()' },
        red: { below: 5 * DAY },
      },
      {
        title: 'Renewals',
        description: 'Attempts in an hour, by result.',
        unit: 'short',
        queries: {
          '{{instance}} {{result}}':
            'sum by (instance, result) (increase(certcache_renewals_total[1h]))',
        },
      },
      {
        title: 'Requests',
        description: 'Answered requests, by path and status.',
        unit: 'reqps',
        queries: {
          '{{path}} {{status}}': 'sum by (path, status) (rate(certcache_http_requests_total[5m]))',
        },
      },
      {
        title: 'Refusals by reason',
        description: 'A wrong secret or address: the log of certcache has the addresses.',
        unit: 'reqps',
        queries: { '{{reason}}': 'sum by (reason) (rate(certcache_refused_total[5m])) > 0' },
      },
      {
        title: 'Waiting requests, and connections',
        description: 'Requests wait only for the first proxy.',
        unit: 'short',
        queries: {
          'waiting {{instance}}': 'certcache_waiting_requests',
          'connections {{instance}}': 'certcache_connections',
        },
      },
    ],
  },
}

const WIDTH = 24
const SIZES = { stat: { w: 6, h: 5 }, timeseries: { w: 12, h: 8 } } as const

const source = { type: 'prometheus', uid: '${source}' }

function panelOf(panel: Panel, id: number, at: { readonly x: number; readonly y: number }) {
  const { title, description, unit, queries, kind = 'timeseries', red } = panel
  const steps = [
    { color: red?.below === undefined ? 'green' : 'red', value: null },
    ...(red?.below === undefined ? [] : [{ color: 'green', value: red.below }]),
    ...(red?.above === undefined ? [] : [{ color: 'red', value: red.above + 1e-9 }]),
  ]
  return {
    id,
    type: kind,
    title,
    description,
    datasource: source,
    gridPos: { ...at, ...SIZES[kind] },
    fieldConfig: {
      defaults: { unit, thresholds: { mode: 'absolute', steps } },
      overrides: [],
    },
    targets: Object.entries(queries).map(([legendFormat, expr], index) => ({
      refId: String.fromCharCode(65 + index),
      datasource: source,
      expr,
      legendFormat: legendFormat === '' ? '__auto' : legendFormat,
    })),
  }
}

function dashboardOf({ uid, title, panels }: Dashboard) {
  let x = 0
  let y = 0
  const placed = panels.map((panel, index) => {
    const { w, h } = SIZES[panel.kind ?? 'timeseries']
    const next = panels[index + 1]
    const made = panelOf(panel, index + 1, { x, y })
    x += w
    if (x + SIZES[next?.kind ?? 'timeseries'].w > WIDTH || next?.kind !== panel.kind) {
      x = 0
      y += h
    }
    return made
  })
  return {
    uid,
    title,
    tags: ['tts'],
    schemaVersion: 39,
    editable: true,
    refresh: '1m',
    time: { from: 'now-6h', to: 'now' },
    templating: {
      list: [{ name: 'source', label: 'Data source', type: 'datasource', query: 'prometheus' }],
    },
    panels: placed,
  }
}

const { out } = parseArgs({ options: { out: { type: 'string' } } }).values
const directory = out ?? resolve(import.meta.dirname, '../deploy/grafana')
mkdirSync(directory, { recursive: true })
for (const [name, dashboard] of Object.entries(dashboards))
  writeFileSync(
    join(directory, `${name}.json`),
    `${JSON.stringify(dashboardOf(dashboard), null, 2)}\n`,
  )
