/** Requests as the clients of the suite send them: an answer counts only when all of it has arrived. */
import { Agent as HttpAgent, type IncomingMessage, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { text } from 'node:stream/consumers'

/** Where clients send their requests. */
export interface Target {
  readonly url: string
  /** PEM of the only trusted certificate, for https. */
  readonly certificate?: string
}

export interface SentRequest {
  readonly method?: string
  readonly token?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Default 20,000. */
  readonly timeoutMs?: number
}

export interface Received {
  readonly status: number
  readonly retryAfterSeconds: number | undefined
  readonly location: string | undefined
  readonly body: string
}

/** Each request on a connection of its own: nobody waits for a connection that leads nowhere. */
const plainAgent = new HttpAgent({ keepAlive: false })

/** @throws Error when the connection breaks before the whole answer is there, and at the deadline */
export async function send(
  { url, certificate }: Target,
  path: string,
  sent: SentRequest = {},
): Promise<Received> {
  const address = new URL(path, url)
  const isSecure = address.protocol === 'https:'
  const options = {
    method: sent.method ?? 'GET',
    headers: {
      ...(sent.token !== undefined && { authorization: `Bearer ${sent.token}` }),
      ...(sent.body !== undefined && { 'content-length': String(Buffer.byteLength(sent.body)) }),
      ...sent.headers,
    },
    signal: AbortSignal.timeout(sent.timeoutMs ?? 20_000),
  }
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const request = isSecure
    ? httpsRequest(address, { ...options, agent: new HttpsAgent({ ca: certificate }) })
    : httpRequest(address, { ...options, agent: plainAgent })
  request.once('response', resolve)
  request.on('error', reject)
  request.end(sent.body)
  const response = await promise
  const body = await text(response)
  const { statusCode = 0, headers } = response
  const retryAfter = Number(headers['retry-after'])
  return {
    status: statusCode,
    retryAfterSeconds: Number.isFinite(retryAfter) ? retryAfter : undefined,
    location: headers.location,
    body,
  }
}
