/**
 * Standard output as the destination of the log of a service. A reader that stops reading (a full journal, a stuck
 * log shipper) must not stop the service: lines wait in a bounded queue, and are dropped and counted beyond it. A
 * reader that goes away ends the log, not the service. Any other fault, such as a full disk, loses only the lines that
 * could not be written.
 */
import type { Writable } from 'node:stream'
import { systemErrorCode } from './system-error.ts'

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
  /** Why lines could not be written; undefined: the reader was too slow. */
  let code: string | undefined
  let hasReader = true
  const isBroken = (): boolean => !hasReader || stream.destroyed
  // Replaces the handler for commands, which ends the process when the reader goes away.
  stream.removeAllListeners('error')
  stream.on('error', (error) => {
    if (systemErrorCode(error) === 'EPIPE') hasReader = false
  })
  const send = (text: string, lines: number): void => {
    stream.write(text, (error) => {
      if (!error) return
      dropped += lines
      code = systemErrorCode(error) ?? code ?? 'unknown error'
    })
  }
  /** Lines of this turn of the event loop, which are written together: each write is a system call. */
  let pending = { text: '', lines: 0 }
  const sendPending = (): void => {
    const { text, lines } = pending
    pending = { text: '', lines: 0 }
    if (lines > 0 && !isBroken()) send(text, lines)
  }
  const add = (line: string, lines: number): void => {
    if (pending.lines === 0) setImmediate(sendPending)
    pending = { text: pending.text + line, lines: pending.lines + lines }
  }
  // Whatever ends the process: the reason is in the last lines.
  process.on('exit', sendPending)
  const reportDropped = (): void => {
    const lines = dropped
    const why = code === undefined ? { msg: TOO_SLOW } : { code, msg: NOT_WRITTEN }
    dropped = 0
    code = undefined
    const fields = { level: 'warn', time: new Date().toISOString(), name, event: 'log.dropped' }
    add(`${JSON.stringify({ ...fields, lines, ...why })}\n`, lines)
  }
  return {
    write(line) {
      if (isBroken()) return
      if (stream.writableLength + pending.text.length + line.length > maxQueuedBytes) {
        dropped += 1
        return
      }
      if (dropped > 0) reportDropped()
      add(line, 1)
    },
    async flush(timeoutMs) {
      if (dropped > 0 && !isBroken()) reportDropped()
      sendPending()
      const isFlushed = (): boolean => isBroken() || stream.writableLength === 0
      const endsAtMs = performance.now() + timeoutMs
      while (!isFlushed() && performance.now() < endsAtMs)
        await new Promise((resolve) => setTimeout(resolve, FLUSH_POLL_MS))
      return isFlushed()
    },
  }
}

const TOO_SLOW = 'the reader of the log was too slow; lines were dropped'
const NOT_WRITTEN = 'lines of the log could not be written; they were dropped'
const FLUSH_POLL_MS = 10
