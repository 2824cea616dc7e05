/**
 * Spans of a trace, by the API of OpenTelemetry. As long as `src/service/tracing.ts` has not started an SDK, nothing is
 * measured, and a span costs one comparison.
 */
import {
  context,
  propagation,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api'
import { TtsError } from './errors.ts'

/** Values are never secret, and never say who somebody is: traces go to another system. */
export type SpanFacts = Readonly<Record<string, string | number | boolean>>

let isOn = false

/** Called when an SDK starts, or ends. */
export function switchSpans(on: boolean): void {
  isOn = on
}

/** Runs work within a span, which tells how long it took and how it failed. */
export async function withSpan<Result>(
  name: string,
  work: () => Result | Promise<Result>,
  facts: SpanFacts = {},
): Promise<Result> {
  if (!isOn) return work()
  return trace.getTracer('tts').startActiveSpan(name, { attributes: facts }, async (span) => {
    try {
      return await work()
    } catch (error) {
      noteError(span, error)
      throw error
    } finally {
      span.end()
    }
  })
}

/** The code and the check of an error, not its text: it may quote what a caller sent. */
function noteError(span: Span, error: unknown): void {
  const code = error instanceof TtsError ? error.code : 'internal'
  const check = error instanceof TtsError ? error.check : undefined
  span.setAttribute('error.type', code)
  if (check !== undefined) span.setAttribute('tts.check', check)
  span.setStatus({ code: SpanStatusCode.ERROR })
}

/** A request that this process answers. */
export interface ServerSpan {
  /** Runs what handles the request within the span. */
  run(work: () => void): void
  /** @param facts what is known at the end: route and status */
  end(facts: SpanFacts & { readonly name: string; readonly isFault: boolean }): void
}

/**
 * Begins the span of a request. Its `traceparent` (W3C Trace Context) makes it part of the trace of the caller.
 * Undefined: nothing is measured.
 */
export function beginServerSpan(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  facts: SpanFacts,
): ServerSpan | undefined {
  if (!isOn) return undefined
  const parent = propagation.extract(context.active(), headers)
  const options = { kind: SpanKind.SERVER, attributes: facts }
  const span = trace.getTracer('tts').startSpan('request', options, parent)
  const within = trace.setSpan(parent, span)
  return {
    run: (work) => context.with(within, work),
    end({ name, isFault, ...known }) {
      span.updateName(name)
      span.setAttributes(known)
      if (isFault) span.setStatus({ code: SpanStatusCode.ERROR })
      span.end()
    },
  }
}

/** Headers that make a request part of the present trace; none if nothing is measured. */
export function spanHeaders(): Readonly<Record<string, string>> {
  if (!isOn) return {}
  const headers: Record<string, string> = {}
  propagation.inject(context.active(), headers)
  return headers
}
