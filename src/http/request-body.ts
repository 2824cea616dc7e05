/** Reads the body of a request, bounded in bytes, pieces and time. Nothing reads a body before this is called. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { TtsError } from '../base/errors.ts'
import { createByteCollector } from './byte-collector.ts'

export interface BodyBounds {
  readonly maxBytes: number
  /** From now until the whole body must be there. */
  readonly timeoutMs: number
  /**
   * Told that we wait for the client, and how to give up on it when others need the room. Returns what ends that.
   */
  readonly waiting?: (giveUp: (error: TtsError) => void) => () => void
}

/** Clients send a few large pieces. A body in tiny ones costs far more time than its bytes are worth. */
const FREE_PIECES = 256
const LEAST_BYTES_PER_PIECE = 256

/** Whether a request says that it has a body (RFC 9112 section 6.3). */
export function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/**
 * The body as one buffer; empty when there is none. A client that sent `Expect: 100-continue` is told to go on now
 * (RFC 9110 section 10.1.1).
 *
 * @throws {TtsError} `payload_too_large`, `unsupported_media_type` (compressed), `request_timeout`, `invalid_request`
 *   (too many tiny pieces, or the connection ended), or what `waiting` gives up with
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  bounds: BodyBounds,
): Promise<Buffer> {
  const { headers } = request
  if ((headers['content-encoding'] ?? 'identity').toLowerCase() !== 'identity')
    throw new TtsError('unsupported_media_type', 'send the body without content encoding')
  if (Number(headers['content-length'] ?? 0) > bounds.maxBytes) throw tooLarge(bounds)
  if (!hasBody(request)) return Buffer.alloc(0)
  // The client left while it was found out who asks: no event will tell it any more.
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
      // What still comes is not read; the answer ends the connection.
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
    `the body is too large: at most ${maxBytes} bytes are taken`,
    {
      check: 'body_bytes',
      remedy: 'Raise limits.body_bytes if bodies may be larger.',
    },
  )
}

function tooManyPieces(): TtsError {
  return new TtsError(
    'invalid_request',
    'the body comes in too many small pieces: send it at once, with Content-Length',
    { check: 'body_pieces' },
  )
}

function tooSlow({ timeoutMs }: BodyBounds): TtsError {
  return new TtsError(
    'request_timeout',
    `the body did not arrive within ${timeoutMs / 1000} seconds`,
    { check: 'body_time', remedy: 'Raise limits.body_timeout_seconds if clients are slow.' },
  )
}

function cutOff(): TtsError {
  return new TtsError('invalid_request', 'the connection ended before the body was complete', {
    check: 'body_incomplete',
  })
}
