/**
 * A load generator with prepared requests on raw sockets. It needs little CPU, because it runs on the same host as
 * the measured service.
 */
import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  readonly host: string
  readonly port: number
  /** Complete HTTP/1.1 requests, sent in turn. */
  readonly requests: readonly Buffer[]
  readonly connections: number
  readonly durationMs: number
  /** Maximum number of requests. */
  readonly count?: number
  /** Called with every complete answer. */
  readonly onAnswer?: (answer: string) => void
}

export interface LoadResult {
  readonly succeeded: number
  readonly failed: number
  /** Start of the first failed answer. */
  readonly firstFailure: string | undefined
  readonly seconds: number
  /** Latencies of the successful answers, in milliseconds. */
  readonly latencies: readonly number[]
}

/**
 * Sends requests on all connections, one after another, for the given time. An answer succeeds if it is complete and
 * has status 200.
 */
export async function load(options: LoadOptions): Promise<LoadResult> {
  const latencies: number[] = []
  const tally = { failed: 0, firstFailure: undefined as string | undefined, next: 0 }
  const started = performance.now()
  const until = started + options.durationMs
  const { count = Infinity } = options
  await Promise.all(
    Array.from({ length: options.connections }, async () => {
      const connection = await Connection.open(options.host, options.port)
      try {
        while (performance.now() < until && tally.next < count) {
          const request = options.requests[tally.next % options.requests.length]
          tally.next += 1
          if (request === undefined) return
          const sentAt = performance.now()
          const answer = await connection.ask(request)
          options.onAnswer?.(answer)
          if (answer.startsWith('HTTP/1.1 200')) latencies.push(performance.now() - sentAt)
          else {
            tally.failed += 1
            tally.firstFailure ??= answer.slice(0, 2000)
          }
        }
      } finally {
        connection.close()
      }
    }),
  )
  const seconds = (performance.now() - started) / 1000
  const { failed, firstFailure } = tally
  return { succeeded: latencies.length, failed, firstFailure, seconds, latencies }
}

/** Maximum size of an answer. */
const MAX_ANSWER_BYTES = 64 * 1024
const HEAD_END = Buffer.from('\r\n\r\n')

class Connection {
  readonly #socket: Socket
  /** The answer so far. A socket that reads into one buffer needs half the CPU time of one that emits buffers. */
  readonly #received = Buffer.allocUnsafe(MAX_ANSWER_BYTES)
  #length = 0
  /** Length of the whole answer, known once its head has arrived. */
  #expectedLength = Infinity
  #answered: ((answer: string) => void) | undefined
  #broken: ((error: Error) => void) | undefined

  static async open(host: string, port: number): Promise<Connection> {
    const connection = new Connection(host, port)
    await new Promise<void>((resolve, reject) => {
      connection.#socket.once('connect', resolve)
      connection.#socket.once('error', reject)
    })
    return connection
  }

  private constructor(host: string, port: number) {
    const onread = {
      buffer: Buffer.allocUnsafe(MAX_ANSWER_BYTES),
      callback: (count: number, buffer: Uint8Array) => {
        this.#take(buffer.subarray(0, count))
        return true
      },
    }
    this.#socket = connect({ host, port, noDelay: true, onread })
    this.#socket.on('close', () => this.#broken?.(new Error('the service closed the connection')))
    this.#socket.on('error', (error) => this.#broken?.(error))
  }

  ask(request: Buffer): Promise<string> {
    return new Promise((resolve, reject) => {
      this.#answered = resolve
      this.#broken = reject
      this.#socket.write(request)
    })
  }

  close(): void {
    this.#broken = undefined
    this.#socket.destroy()
  }

  #take(chunk: Uint8Array): void {
    if (this.#length + chunk.length > MAX_ANSWER_BYTES) {
      this.#socket.destroy()
      return
    }
    this.#received.set(chunk, this.#length)
    this.#length += chunk.length
    if (this.#expectedLength === Infinity) this.#expectedLength = this.#wholeLength()
    if (this.#length < this.#expectedLength) return
    const answer = this.#received.toString('latin1', 0, this.#length)
    this.#length = 0
    this.#expectedLength = Infinity
    this.#answered?.(answer)
  }

  #wholeLength(): number {
    const head = this.#received.subarray(0, this.#length).indexOf(HEAD_END)
    if (head < 0) return Infinity
    const length = /\r\ncontent-length: *(\d+)/i.exec(
      this.#received.toString('latin1', 0, head),
    )?.[1]
    return head + HEAD_END.length + Number(length ?? Number.NaN)
  }
}
