/**
 * One HTTP request whose answer is bounded. By `node:http`, because `fetch` reaches no Unix socket and accepts no
 * pinned certificate, and because loading undici for that costs a command 80 ms.
 */
import { request as httpRequest } from 'node:http'
import { request as httpsRequest, type RequestOptions } from 'node:https'

import { currentNetwork } from '../network/network.ts'
import { usesProxy } from '../network/http-proxy.ts'

export interface HttpResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** A page of 1000 credentials, with long names, has two. */
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024

/**
 * Sends the request and reads the whole answer, 4 MiB at most. An https request uses the HTTP proxy of this process.
 *
 * @param options where to connect, and `signal`, which is the deadline
 * @throws the error of the system or of the signal
 */
export function sendHttp(
  { secure, ...options }: RequestOptions & { readonly secure: boolean },
  body?: string,
): Promise<HttpResponse> {
  return new Promise((resolve, reject) => {
    // Node's agent reads NO_PROXY in another way than `fetch`, so it must not decide.
    const connection = bypassesProxy(options) ? { agent: false, ...options } : options
    const request = (secure ? httpsRequest : httpRequest)(connection, (response) => {
      const chunks: Buffer[] = []
      let bytes = 0
      response.on('data', (chunk: Buffer) => {
        bytes += chunk.length
        if (bytes > MAX_RESPONSE_BYTES) response.destroy(new Error('the answer is too long'))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, headers, body: Buffer.concat(chunks).toString('utf8') })
      })
    })
    request.on('error', reject)
    request.end(body)
  })
}

function bypassesProxy({ host, hostname = host, port }: RequestOptions): boolean {
  const { proxy } = currentNetwork()
  if (proxy === undefined || !hostname) return false
  const name = hostname.includes(':') && !hostname.startsWith('[') ? `[${hostname}]` : hostname
  return !usesProxy(proxy, new URL(`https://${name}:${port || 443}`))
}
