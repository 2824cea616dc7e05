/** Reads the body of a request, with limits on bytes, pieces and time. No other code reads a body. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TtsError } from '../base/errors.ts'
import { createByteCollector } from './byte-collector.ts'

export interface BodyBounds {
  readonly maxBytes: number
  /** Time until the whole body must have arrived, in milliseconds. */
  readonly timeoutMs: number
  /**
   * Called when the service starts to wait for the client, with a function that drops the request when others need
   * its place. Returns the function that ends the wait.
   */
  readonly waiting?: (giveUp: (error: TtsError) => void) => () => void
}

/** Clients normally send a few large pieces. A body in tiny pieces costs far more time than its bytes. */
const FREE_PIECES = 256
const LEAST_BYTES_PER_PIECE = 256

/** Returns whether a request declares a body (RFC 9112 section 6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/**
 * Reads the body as one buffer; empty when there is none. It sends 100 Continue to a client that sent `Expect:
 * 100-continue` (RFC 9110 section 10.1.1).
 *
 * @throws {TtsError} `payload_too_large`, `unsupported_media_type` (compressed), `request_timeout`, `invalid_request`
 *   (too many tiny pieces, or the connection ended), or the error passed to `giveUp`
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  bounds: BodyBounds,
): Promise<Buffer> {
  const { headers } = request
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity')
    throw new TtsError('unsupported_media_type', 'the body must have no content encoding')
  if (Number(headers['content-length'] ?? 0) > bounds.maxBytes) throw tooLarge(bounds)
  if (!hasBody(request)) return Buffer.alloc(0)
  // The client disconnected during authentication: there will be no further event.
  if (request.destroyed) throw cutOff()
  if (headers.expect !== undefined) response.writeContinue()
  return collect(request, bounds)
}

async function collect(request: IncomingMessage, bounds: BodyBounds): Promise<Buffer> {
  const collector = createByteCollector()
  const maxPieces = FREE_PIECES + bounds.maxBytes / LEAST_BYTES_PER_PIECE
  let pieces = 0
  return new Promise<Buffer>((resolve, reject) => {
    let endWaiting: (() => void) | undefined
    const settle = (outcome: () => void): void => {
      clearTimeout(timer)
      endWaiting?.()
      request.off('data', onData).off('end', onEnd).off('close', onClose)
      outcome()
    }
    const fail = (error: TtsError): void => {
      // The rest is not read, and the connection is closed after the answer.
      request.pause()
      settle(() => reject(error))
    }
    const onData = (piece: Buffer): void => {
      pieces += 1
      if (collector.length + piece.length > bounds.maxBytes) fail(tooLarge(bounds))
      else if (pieces > maxPieces) fail(tooManyPieces())
      else collector.append(piece)
    }
    const onEnd = (): void => settle(() => resolve(collector.bytes()))
    const onClose = (): void => fail(cutOff())
    const timer = setTimeout(() => fail(tooSlow(bounds)), bounds.timeoutMs)
    endWaiting = bounds.waiting?.(fail)
    request.on('data', onData).on('end', onEnd).on('close', onClose)
  })
}

function tooLarge({ maxBytes }: BodyBounds): TtsError {
  return new TtsError(
    'payload_too_large',
    `the body is too large: at most ${maxBytes} bytes are accepted`,
    {
      check: 'body_bytes',
      remedy: 'Raise limits.body_bytes if the request is legitimate.',
    },
  )
}

function tooManyPieces(): TtsError {
  return new TtsError(
    'invalid_request',
    'the body arrived in too many small pieces: send it in one piece, with Content-Length',
    { check: 'body_pieces' },
  )
}

function tooSlow({ timeoutMs }: BodyBounds): TtsError {
  return new TtsError(
    'request_timeout',
    `the body did not arrive within ${timeoutMs / 1000} seconds`,
    {
      check: 'body_time',
      remedy: 'Raise limits.body_timeout_seconds if the client is legitimate.',
    },
  )
}

function cutOff(): TtsError {
  return new TtsError('invalid_request', 'the connection ended before the body was complete', {
    check: 'body_incomplete',
  })
}
