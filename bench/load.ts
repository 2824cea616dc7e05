/** A load generator that costs little, because it shares the machine with what it measures: prepared requests on raw sockets. */
import { connect, type Socket } from 'node:net'

export interface LoadOptions {
  readonly host: string
  readonly port: number
  /** Whole HTTP/1.1 requests, taken in turn. */
  readonly requests: readonly Buffer[]
  readonly connections: number
  readonly durationMs: number
  /** Ends after so many requests, if that comes first. */
  readonly count?: number
  /** Takes every whole answer. */
  readonly onAnswer?: (answer: string) => void
}

export interface LoadResult {
  readonly succeeded: number
  readonly failed: number
  /** First failed answer's head, to say why. */
  readonly firstFailure: string | undefined
  readonly seconds: number
  /** Milliseconds, of the answers that succeeded. */
  readonly latencies: readonly number[]
}

/** Sends requests on each connection one after another for the time given; every answer must be whole and a 200. */
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
          const begun = performance.now()
          const answer = await connection.ask(request)
          options.onAnswer?.(answer)
          if (answer.startsWith('HTTP/1.1 200')) latencies.push(performance.now() - begun)
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

class Connection {
  readonly #socket: Socket
  #received = ''
  #answered: ((answer: string) => void) | undefined
  #broken: ((error: Error) => void) | undefined

  static async open(host: string, port: number): Promise<Connection> {
    const socket = connect({ host, port, noDelay: true })
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return new Connection(socket)
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('data', (chunk: string) => this.#take(chunk))
    socket.on('close', () => this.#broken?.(new Error('the service closed the connection')))
    socket.on('error', (error) => this.#broken?.(error))
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

  #take(chunk: string): void {
    this.#received += chunk
    const head = this.#received.indexOf('\r\n\r\n')
    if (head < 0) return
    const length = Number(/\r\ncontent-length: *(\d+)/i.exec(this.#received)?.[1] ?? Number.NaN)
    if (this.#received.length < head + 4 + length) return
    const answer = this.#received
    this.#received = ''
    this.#answered?.(answer)
  }
}
