/** `tts serve` as a process that sends its spans to a collector, by the variables of OpenTelemetry. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { providerSettings } from '../api/delegation-support.ts'
import { programPath, runToEnd, type Started, startProgram } from '../support/programs.ts'
import { AUDIENCE, testConfiguration, tokensOf } from '../support/service.ts'

/** A span as OTLP has it in JSON. */
interface SentSpan {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly name: string
  readonly attributes: readonly { readonly key: string; readonly value: Record<string, unknown> }[]
  readonly status: { readonly code?: number }
}

interface Payload {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: SentSpan['attributes'] }
    readonly scopeSpans: readonly { readonly spans: readonly SentSpan[] }[]
  }[]
}

let directory = ''
let provider: IdentityProvider
let collector: Server
let service: Started | undefined
const payloads: Payload[] = []
const texts: string[] = []
const asked: { readonly path: string; readonly traceparent: string | undefined }[] = []
const note = (message: unknown): void => {
  const { url = '', headers } = (message as { request: IncomingMessage }).request
  const { traceparent } = headers
  asked.push({ path: url, traceparent: typeof traceparent === 'string' ? traceparent : undefined })
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'tts-tracing-'))
  for (const list of [payloads, texts, asked]) list.length = 0
  provider = await startIdentityProvider()
  collector = createServer((request, response) => {
    void text(request).then((body) => {
      texts.push(body)
      payloads.push(JSON.parse(body) as Payload)
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  }).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  // All requests to servers in this process: the provider and the collector.
  subscribe('http.server.request.start', note)
})
afterEach(async () => {
  unsubscribe('http.server.request.start', note)
  service?.child.kill('SIGTERM')
  await service?.ended
  service = undefined
  collector.close()
  await provider.close()
  rmSync(directory, { recursive: true, force: true })
})

function settingsFile(): string {
  const file = join(directory, 'tts.yaml')
  const iam = { ...providerSettings(provider), introspect: 'always' }
  const data = { data_dir: join(directory, 'data'), providers: { iam } }
  writeFileSync(file, stringify({ ...testConfiguration(provider), ...data }), { mode: 0o600 })
  return file
}

async function start(env: Readonly<Record<string, string>>): Promise<string> {
  const words = ['serve', '--config', settingsFile()]
  service = startProgram(programPath('src/cli/main.ts'), words, { env })
  const [, url = ''] = await service.says(/"service\.started","url":"([^"]+)"/)
  return url
}

const endpoint = (): string => `http://127.0.0.1:${(collector.address() as AddressInfo).port}`
const spans = (): SentSpan[] =>
  payloads.flatMap(({ resourceSpans }) =>
    resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans)),
  )

function started(): Started {
  if (service === undefined) throw new Error('no service was started')
  return service
}

async function stop(): Promise<void> {
  service?.child.kill('SIGTERM')
  expect(await service?.ended).toBe(0)
}

const TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = 'b7ad6b7169203331'
const headers = (token: string, traceparent = `00-${TRACE}-${PARENT}-01`) => ({
  authorization: `Bearer ${token}`,
  traceparent,
})

test('a request is one trace, from its caller to the provider', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint(), OTEL_SERVICE_NAME: 'tts-at-site' }
  const url = await start(env)
  // A real login: the provider is asked about the token.
  const login = { issuer: provider.issuer, clientId: 'demo-cli', username: 'alice' }
  const wanted = { scope: 'openid profile', audience: AUDIENCE }
  const { access_token: token } = await obtainAccessToken({ ...login, ...wanted })
  const answer = await fetch(`${url}/v1/proxies`, { method: 'POST', headers: headers(token) })
  expect(answer.status).toBe(200)
  const { credentials } = (await (
    await fetch(`${url}/v1/credentials`, { headers: headers(token, 'none') })
  ).json()) as { credentials: { identity: string }[] }
  await stop()

  const trace = spans().filter(({ traceId }) => traceId === TRACE)
  const root = trace.find(({ name }) => name === 'POST /v1/proxies')
  expect(root).toMatchObject({ parentSpanId: PARENT, kind: 2 })
  expect(root?.attributes).toContainEqual({
    key: 'http.response.status_code',
    value: { intValue: 200 },
  })
  for (const name of ['verify', 'authorise', 'issue', 'record'])
    expect(trace.find((span) => span.name === name)?.parentSpanId, name).toBe(root?.spanId)
  const verify = trace.find(({ name }) => name === 'verify')
  const outgoing = trace.find(({ name }) => name === 'ask the provider')
  expect(outgoing?.parentSpanId).toBe(verify?.spanId)
  // The provider was told by the header of W3C Trace Context.
  expect(asked.map(({ traceparent }) => traceparent)).toContain(
    `00-${TRACE}-${outgoing?.spanId}-01`,
  )
  // A header that is none begins a trace of its own.
  const other = spans().find(({ name }) => name === 'GET /v1/credentials')
  expect(other?.traceId).toMatch(/^(?!0af7)[0-9a-f]{32}$/)
  expect(payloads[0]?.resourceSpans[0]?.resource.attributes).toContainEqual({
    key: 'service.name',
    value: { stringValue: 'tts-at-site' },
  })
  // Nothing that is secret, or says who it is.
  const sent = texts.join('')
  for (const secret of [
    token,
    token.split('.')[2] ?? '',
    credentials[0]?.identity ?? '?',
    '9e499e0e',
  ])
    expect(sent).not.toContain(secret)
})

test('a refusal has its code and check, not its text', async () => {
  const url = await start({ OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: `${endpoint()}/v1/traces` })
  const token = tokensOf(provider)('alice', { aud: 'https://elsewhere.example' })
  await fetch(`${url}/v1/proxies`, { method: 'POST', headers: headers(token) })
  await stop()
  const verify = spans().find(({ name }) => name === 'verify')
  expect(verify?.status.code).toBe(2)
  expect(verify?.attributes).toEqual([
    { key: 'error.type', value: { stringValue: 'invalid_token' } },
    { key: 'tts.check', value: { stringValue: 'audience' } },
  ])
  expect(texts.join('')).not.toContain('elsewhere')
})

test('without the variables nothing is sent, and the provider gets no header', async () => {
  const url = await start({})
  const token = tokensOf(provider)()
  await fetch(`${url}/v1/proxies`, { method: 'POST', headers: headers(token) })
  await stop()
  expect(payloads).toEqual([])
  expect(asked.length).toBeGreaterThan(0)
  expect(asked.every(({ traceparent }) => traceparent === undefined)).toBe(true)
})

test('a collector that is away, or does not answer, costs no request and no orderly end', async () => {
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const hanging = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  for (const url of ['http://127.0.0.1:1', hanging]) {
    const service = await start({
      OTEL_EXPORTER_OTLP_ENDPOINT: url,
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
    })
    expect((await fetch(`${service}/healthz`)).status).toBe(200)
    const { stdout } = started()
    await stop()
    expect(stdout().match(/"event":"tracing\.(?:failed|lost)"/g)?.length).toBeGreaterThan(0)
  }
  silent.closeAllConnections()
  silent.close()
})

test('the sampler follows its variables; a caller decides only with parentbased', async () => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint() }
  for (const [sampler, expected] of [
    ['always_off', 0],
    ['parentbased_always_off', 1],
    // Templates set variables to nothing: they are as good as not set.
    ['', 1],
    ['traceidratio', 1],
  ] as const) {
    payloads.length = 0
    const variables = { OTEL_TRACES_SAMPLER: sampler, OTEL_TRACES_SAMPLER_ARG: '' }
    const url = await start({ ...env, ...variables })
    await fetch(`${url}/healthz`, { headers: headers('none') })
    await stop()
    const found = spans().filter(({ traceId }) => traceId === TRACE)
    expect(found.length, sampler).toBe(expected)
  }
})

test.for([
  [
    { OTEL_TRACES_EXPORTER: 'jaeger' },
    'OTEL_TRACES_EXPORTER: found "jaeger"; must be otlp or none',
  ],
  [
    { OTEL_EXPORTER_OTLP_ENDPOINT: '', OTEL_TRACES_EXPORTER: 'console' },
    'OTEL_TRACES_EXPORTER: found "console"; must be otlp or none',
  ],
  [
    { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' },
    'OTEL_EXPORTER_OTLP_PROTOCOL: found "grpc"; must be http/json',
  ],
  [
    { OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: 'grpc', OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' },
    'OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: found "grpc"; must be http/json',
  ],
  [
    { OTEL_EXPORTER_OTLP_ENDPOINT: 'collector:4318' },
    'OTEL_EXPORTER_OTLP_ENDPOINT: found "collector:4318"; must be a URL such as http://127.0.0.1:4318',
  ],
  [
    { OTEL_TRACES_SAMPLER: 'some' },
    'OTEL_TRACES_SAMPLER: found "some"; must be always_on, always_off or',
  ],
  [
    { OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '7' },
    'OTEL_TRACES_SAMPLER_ARG: found "7"; must be a number from 0 to 1',
  ],
] as const)('%o does not start, and says why', async ([variables, message]) => {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint(), ...variables }
  const words = ['serve', '--config', settingsFile()]
  const { code, err } = await runToEnd(programPath('src/cli/main.ts'), words, { env })
  expect({ code, err }).toMatchObject({ code: 2, err: expect.stringContaining(message) })
})
