/** What the answer to a MyProxy request needs to know of its connection. */
import type { Logger } from 'pino'
import type { Origin } from '../../domain/records.ts'
import type { AdmittedRequest } from '../../http/requests-in-flight.ts'
import { TtsError } from '../../base/errors.ts'
import type { ByteReader } from './byte-reader.ts'

/** A connection whose client has sent its request, or has failed to. */
export interface MyProxyConnection {
  /** The request, or why there is none. */
  readonly request: Buffer | TtsError
  readonly reader: Pick<ByteReader, 'csr'>
  /** Address of the client. */
  readonly address: string
  /** Certificates of the TLS handshake in DER, leaf first; not verified. */
  readonly certificates: readonly Buffer[]
  /** Aborts when the connection is closed. */
  readonly closed: AbortSignal
  readonly send: (message: Buffer) => void
  /** Settles when the client has read all that was sent, or the connection is closed; after 30 seconds it is. */
  readonly sent: () => Promise<void>
  /** Closes the connection at once. */
  readonly drop: () => void
}

/** A request in progress. */
export interface MyProxyContext extends Pick<
  MyProxyConnection,
  'reader' | 'certificates' | 'send'
> {
  readonly admitted: AdmittedRequest
  readonly origin: Origin
  readonly log: Logger
  /** Aborts at the deadline of the request, or when the connection is closed. */
  readonly signal: AbortSignal
  /** Ends the request before its deadline. */
  readonly giveUp: (reason: TtsError) => void
}

export interface Deadline extends Pick<MyProxyContext, 'signal' | 'giveUp'> {
  readonly end: () => void
}

/** Starts the time of a request. */
export function startDeadline(closed: AbortSignal, timeoutMs: number): Deadline {
  const controller = new AbortController()
  const giveUp = (reason: TtsError): void => controller.abort(reason)
  const abort = (): void => giveUp(closedEarly())
  const timer = setTimeout(() => giveUp(tooSlow(timeoutMs)), timeoutMs)
  if (closed.aborted) abort()
  closed.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    giveUp,
    end() {
      clearTimeout(timer)
      closed.removeEventListener('abort', abort)
    },
  }
}

function tooSlow(timeoutMs: number): TtsError {
  const message = `the request took longer than ${timeoutMs / 1000} seconds`
  return new TtsError('request_timeout', message, { check: 'deadline' })
}

function closedEarly(): TtsError {
  return new TtsError('invalid_request', 'the client closed the connection before its answer', {
    check: 'closed',
  })
}
