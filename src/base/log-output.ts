/**
 * Standard output as the destination of the log of a service. A reader that stops reading (a full journal, a stuck
 * log shipper) must not stop the service: lines wait in a bounded queue, and are dropped and counted beyond it. A
 * reader that goes away ends the log, not the service.
 */
import type { Writable } from 'node:stream'

/** A destination of the log. */
export interface LogOutput {
  write(line: string): void
  /** Waits until the reader has got all lines, at most this time. Returns whether it has. */
  flush(timeoutMs: number): Promise<boolean>
}

export interface LogOutputOptions {
  /** Name of the program, for the line that reports dropped lines. */
  readonly name: string
  /** Bytes that may wait for the reader. Default 4 MiB. */
  readonly maxQueuedBytes?: number
}

const MAX_QUEUED_BYTES = 4 * 1024 * 1024

/** Writes to a stream; standard output is one that does not block if it is a pipe or a socket. */
export function createLogOutput(
  stream: Writable,
  { name, maxQueuedBytes = MAX_QUEUED_BYTES }: LogOutputOptions,
): LogOutput {
  let dropped = 0
  let isBroken = false
  // Replaces the handler for commands, which ends the process when the reader goes away.
  stream.removeAllListeners('error')
  stream.on('error', () => {
    isBroken = true
  })
  const reportDropped = (): void => {
    const lines = dropped
    dropped = 0
    const fields = { level: 'warn', time: new Date().toISOString(), name, event: 'log.dropped' }
    const msg = 'the reader of the log was too slow; lines were dropped'
    stream.write(`${JSON.stringify({ ...fields, lines, msg })}\n`)
  }
  return {
    write(line) {
      if (isBroken) return
      if (stream.writableLength + line.length > maxQueuedBytes) {
        dropped += 1
        return
      }
      if (dropped > 0) reportDropped()
      stream.write(line)
    },
    async flush(timeoutMs) {
      const isFlushed = (): boolean => isBroken || stream.writableLength === 0
      const endsAtMs = performance.now() + timeoutMs
      while (!isFlushed() && performance.now() < endsAtMs)
        await new Promise((resolve) => setTimeout(resolve, FLUSH_POLL_MS))
      return isFlushed()
    },
  }
}

const FLUSH_POLL_MS = 10
