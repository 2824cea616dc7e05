/**
 * Reads the messages of a MyProxy client from its connection. The protocol has no framing: a request ends with a NUL,
 * or where the client stops sending, and a CSR has its length in its first bytes.
 */
import type { Duplex } from 'node:stream'
import { unlessAborted } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { createByteCollector } from '../../http/byte-collector.ts'

export interface ByteReader {
  /**
   * Reads the request, without the delegation flag of GSI before it and without its NUL.
   *
   * @returns undefined when the client closed the connection without a request
   * @throws {TtsError} `payload_too_large`, or the signal's reason
   */
  request(signal: AbortSignal): Promise<Buffer | undefined>
  /**
   * Reads a CSR in DER. Looks at no more of it than its length.
   *
   * @throws {TtsError} `payload_too_large`, `invalid_csr`, `invalid_request` (closed), or the signal's reason
   */
  csr(signal: AbortSignal): Promise<Buffer>
}

/** GSI clients send it first: no delegation follows the handshake. */
const NO_DELEGATION = 0x30
const NUL = 0
/** After this time without data, a request without NUL is whole: ARC and others send none. */
const SILENCE_MS = 500
const MAX_CSR_BYTES = 16 * 1024
/** Tag and length of a SEQUENCE of up to 65,535 bytes. */
const HEAD_BYTES = 4
const SEQUENCE = 0x30

/** @param maxRequestBytes of the request; a CSR may have 16 KiB more */
export function createByteReader(socket: Duplex, maxRequestBytes: number): ByteReader {
  const held = createHeldBytes(socket, maxRequestBytes + MAX_CSR_BYTES + HEAD_BYTES)
  const hasSome = (bytes: Buffer): boolean => bytes.length > 0
  return {
    async request(signal) {
      await held.until(hasSome, { signal })
      if (held.bytes()[0] === NO_DELEGATION) held.drop(1)
      await held.until(hasSome, { signal })
      const isWhole = (bytes: Buffer): boolean =>
        bytes.includes(NUL) || bytes.length > maxRequestBytes
      await held.until(isWhole, { signal, silenceMs: SILENCE_MS })
      const bytes = held.bytes()
      if (bytes.length === 0) return undefined
      const end = bytes.indexOf(NUL)
      const length = end < 0 ? bytes.length : end
      if (length > maxRequestBytes) throw tooLong('the request', maxRequestBytes)
      const request = held.take(length)
      if (end >= 0) held.drop(1)
      return request
    },
    async csr(signal) {
      const isKnown = (bytes: Buffer): boolean =>
        bytes.length >= HEAD_BYTES || lengthOf(bytes) === undefined
      await held.until(isKnown, { signal })
      const length = lengthOf(held.bytes())
      if (length === undefined)
        throw new TtsError('invalid_csr', 'the request for a certificate must be PKCS#10 in DER', {
          check: 'malformed',
        })
      if (length > MAX_CSR_BYTES) throw tooLong('the request for a certificate', MAX_CSR_BYTES)
      await held.until((bytes) => bytes.length >= length, { signal })
      if (held.bytes().length < length) throw closed()
      return held.take(length)
    },
  }
}

function tooLong(what: string, bytes: number): TtsError {
  return new TtsError('payload_too_large', `${what} is longer than ${bytes} bytes`, {
    check: 'too_large',
  })
}

/** The length of a CSR with its head; undefined when the bytes are no SEQUENCE with a length of at most two bytes. */
function lengthOf(bytes: Buffer): number | undefined {
  const [tag = SEQUENCE, form = 0, high = 0, low = 0] = bytes
  if (tag !== SEQUENCE) return undefined
  if (form < 0x80) return form + 2
  if (form === 0x81) return high + 3
  return form === 0x82 ? high * 256 + low + 4 : undefined
}

function closed(): TtsError {
  return new TtsError(
    'invalid_request',
    'the client closed the connection before it sent its request for a certificate',
    { check: 'closed' },
  )
}

interface HeldBytes {
  bytes(): Buffer
  drop(length: number): void
  /** Drops the first bytes and returns them. */
  take(length: number): Buffer
  /**
   * Waits until there is enough, or until no more comes: when the client has closed the connection, or after some
   * silence.
   *
   * @throws the signal's reason
   */
  until(
    isEnough: (bytes: Buffer) => boolean,
    wait: { readonly signal: AbortSignal; readonly silenceMs?: number },
  ): Promise<void>
}

/** @param maxBytes after so many bytes, no more are read */
function createHeldBytes(socket: Duplex, maxBytes: number): HeldBytes {
  const collector = createByteCollector()
  let from = 0
  let notify: () => void = () => undefined
  socket.on('data', (piece: Buffer) => {
    collector.append(piece)
    if (collector.length > maxBytes) socket.pause()
    notify()
  })
  for (const event of ['end', 'close'] as const) socket.on(event, () => notify())
  const bytes = (): Buffer => collector.bytes().subarray(from)

  /** Returns false after the silence. */
  async function change(signal: AbortSignal, silenceMs: number | undefined): Promise<boolean> {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    notify = () => resolve(true)
    const timer = silenceMs === undefined ? undefined : setTimeout(() => resolve(false), silenceMs)
    try {
      return await unlessAborted(promise, signal)
    } finally {
      clearTimeout(timer)
    }
  }

  return {
    bytes,
    drop: (length) => {
      from += length
    },
    take(length) {
      const taken = Buffer.from(bytes().subarray(0, length))
      from += length
      return taken
    },
    async until(isEnough, { signal, silenceMs }) {
      const isOver = (): boolean => socket.readableEnded || socket.destroyed
      while (!isEnough(bytes()) && !isOver()) {
        if (!(await change(signal, silenceMs))) return
      }
    },
  }
}
