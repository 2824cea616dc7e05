/**
 * Tracing by OpenTelemetry. Off unless the environment asks for it by the names of the specification; the SDK is loaded
 * only then.
 *
 * @see https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
 */
import { context, propagation, trace } from '@opentelemetry/api'
import { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { redactText } from '../base/redact.ts'
import { switchSpans } from '../base/spans.ts'
import type { BuildInfo } from '../base/build-info.ts'
import type { Environment } from '../config/settings-tree.ts'

export interface Tracing {
  /** Sends what is not sent yet, for five seconds at most. */
  stop(): Promise<void>
}

const STOP_TIMEOUT_MS = 5000
/** At most one failure to send is logged in this time. */
const SILENCE_MS = 60_000
const ENDPOINTS = ['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'] as const
const PROTOCOLS = ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'] as const

/**
 * Starts tracing if the environment names an endpoint, or the exporter `otlp`.
 *
 * @returns undefined: it is off
 * @throws {TtsError} `configuration`: a variable has a value that cannot be used
 */
export async function startTracing(
  environment: Environment,
  { build, log }: { readonly build: BuildInfo; readonly log: Log },
): Promise<Tracing | undefined> {
  if (!isWanted(environment)) return undefined
  const [sdk, { OTLPTraceExporter }, { AsyncLocalStorageContextManager }, core, resources] =
    await Promise.all([
      import('@opentelemetry/sdk-trace'),
      import('@opentelemetry/exporter-trace-otlp-http'),
      import('@opentelemetry/context-async-hooks'),
      import('@opentelemetry/core'),
      import('@opentelemetry/resources'),
    ])
  const detected = resources.detectResources({ detectors: [resources.envDetector] })
  const resource = resources
    .resourceFromAttributes({ 'service.name': 'tts', 'service.version': build.version })
    .merge(detected)
  const provider = new sdk.TracerProvider({
    resource,
    sampler: samplerOf(environment, sdk),
    spanProcessors: [new sdk.BatchSpanProcessor({ exporter: new OTLPTraceExporter() })],
  })
  core.setGlobalErrorHandler(reportFailures(log))
  context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable())
  propagation.setGlobalPropagator(new core.W3CTraceContextPropagator())
  trace.setGlobalTracerProvider(provider)
  switchSpans(true)
  log.info({ event: 'tracing.started' }, 'spans are sent by OTLP over HTTP')
  return {
    async stop() {
      switchSpans(false)
      const sent = provider.shutdown()
      await Promise.race([sent, late()]).catch((error: unknown) => {
        log.warn({ event: 'tracing.lost', err: error }, 'the last spans could not be sent')
      })
      for (const api of [trace, propagation, context]) api.disable()
    },
  }
}

/** Says that spans were lost, once in a while: a collector that is away must not fill the log. */
function reportFailures(log: Log): (error: unknown) => void {
  let lastMs = -Infinity
  return (error) => {
    if (performance.now() - lastMs < SILENCE_MS) return
    lastMs = performance.now()
    log.warn(
      { event: 'tracing.failed', err: error },
      'spans could not be sent; requests are not affected. Is the collector up, and OTEL_EXPORTER_OTLP_ENDPOINT right?',
    )
  }
}

const late = async (): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS).unref())

/** @throws {TtsError} `configuration` */
function isWanted(environment: Environment): boolean {
  const { OTEL_SDK_DISABLED: disabled, OTEL_TRACES_EXPORTER: exporter } = environment
  if (disabled?.toLowerCase() === 'true' || exporter === 'none') return false
  if (exporter && exporter !== 'otlp')
    throw unusable('OTEL_TRACES_EXPORTER', exporter, 'otlp or none')
  if (!exporter && !ENDPOINTS.some((name) => environment[name])) return false
  // The name for traces alone has precedence.
  const protocol = PROTOCOLS.find((name) => environment[name])
  if (protocol !== undefined && environment[protocol] === 'grpc')
    throw unusable(protocol, 'grpc', 'http/json; collectors listen on 4318 for it')
  for (const name of ENDPOINTS) {
    const url = environment[name]
    if (url && !/^https?:$/.test(URL.parse(url)?.protocol ?? ''))
      throw unusable(name, redactText(url), 'a URL such as http://127.0.0.1:4318')
  }
  return true
}

type Sdk = typeof import('@opentelemetry/sdk-trace')

/** OTEL_TRACES_SAMPLER. @throws {TtsError} `configuration` */
function samplerOf(environment: Environment, sdk: Sdk) {
  // By the specification an empty variable is one that is not set.
  const name = environment['OTEL_TRACES_SAMPLER'] || 'parentbased_always_on'
  const text = environment['OTEL_TRACES_SAMPLER_ARG'] || '1'
  const [, parent, kind] = /^(parentbased_)?(always_on|always_off|traceidratio)$/.exec(name) ?? []
  const ratio = Number(text)
  if (kind === undefined)
    throw unusable(
      'OTEL_TRACES_SAMPLER',
      name,
      'always_on, always_off or traceidratio, maybe with parentbased_ before it',
    )
  if (kind === 'traceidratio' && !(ratio >= 0 && ratio <= 1))
    throw unusable('OTEL_TRACES_SAMPLER_ARG', text, 'a number from 0 to 1')
  const root =
    kind === 'always_on'
      ? new sdk.AlwaysOnSampler()
      : kind === 'always_off'
        ? new sdk.AlwaysOffSampler()
        : new sdk.TraceIdRatioBasedSampler(ratio)
  return parent === undefined ? root : new sdk.ParentBasedSampler({ root })
}

const unusable = (name: string, value: string, wanted: string): TtsError =>
  new TtsError('configuration', `${name}: found "${value}"; must be ${wanted}`)
