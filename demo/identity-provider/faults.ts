import type { IncomingMessage, ServerResponse } from 'node:http'

/** Ways in which an endpoint can misbehave. */
export type Fault =
  | { readonly kind: 'reset' } // the connection is closed immediately
  | { readonly kind: 'hang' } // there is no answer
  | { readonly kind: 'status'; readonly status: number } // an error with an empty JSON object
  | { readonly kind: 'malformed' } // 200 with incomplete JSON
  | CannedAnswer
  | { readonly kind: 'huge' } // 200 with 4 MiB of JSON
  | { readonly kind: 'redirect'; readonly location: string }
  | { readonly kind: 'slow'; readonly delayMs: number } // the right answer, delayed
  | { readonly kind: 'lost-reply' } // the request is processed, but the answer is lost

/** A fixed answer. */
export interface CannedAnswer {
  readonly kind: 'body'
  /** Sent as JSON; a string is sent unchanged. */
  readonly body: unknown
  /** Default 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
}

/** Runs before the provider: counts requests by path, and makes selected paths fail. */
export class Faults {
  readonly #faults = new Map<string, Fault>()
  readonly #counts = new Map<string, number>()

  /** Makes requests to `path` (`*` for all) fail until `clear`. */
  set(path: string, fault: Fault): void {
    this.#faults.set(path, fault)
  }

  /** Ends the fault of one path, or all of them. */
  clear(path?: string): void {
    if (path === undefined) this.#faults.clear()
    else this.#faults.delete(path)
  }

  /** Requests to `path` since the start or the last `resetCounts`. */
  count(path: string): number {
    return this.#counts.get(path) ?? 0
  }

  resetCounts(): void {
    this.#counts.clear()
  }

  /** Counts the request. Returns true if a fault has answered it. */
  async intercept(
    path: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<boolean> {
    this.#counts.set(path, this.count(path) + 1)
    const fault = this.#faults.get(path) ?? this.#faults.get('*')
    if (fault === undefined) return false
    return misbehave(fault, request, response)
  }
}

async function misbehave(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  switch (fault.kind) {
    case 'reset':
      request.socket.destroy()
      return true
    case 'hang':
      return true
    case 'status':
      json(response, fault.status, '{}')
      return true
    case 'malformed':
      json(response, 200, '{"keys": [')
      return true
    case 'body':
      canned(response, fault)
      return true
    case 'huge':
      json(response, 200, JSON.stringify({ active: true, keys: [], filler: 'x'.repeat(4 << 20) }))
      return true
    case 'redirect':
      response.writeHead(302, { location: fault.location }).end()
      return true
    case 'slow':
      await new Promise((resolve) => setTimeout(resolve, fault.delayMs))
      return false
    case 'lost-reply':
      response.end = () => {
        request.socket.destroy()
        return response
      }
      return false
    default:
      return fault satisfies never
  }
}

function canned(
  response: ServerResponse,
  { body, status = 200, headers = {} }: CannedAnswer,
): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers })
  response.end(typeof body === 'string' ? body : JSON.stringify(body))
}

function json(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(body)
}
