/** Complete HTTP/1.1 requests, and the file from which `requests.lua` sends them. */
import { open } from 'node:fs/promises'

export interface RequestParts {
  readonly method?: 'GET' | 'POST'
  readonly path: string
  readonly host: string
  /** Bearer token. */
  readonly token?: string
  readonly contentType?: string
  readonly body?: string
}

export function httpRequest(parts: RequestParts): Buffer {
  const { method = 'POST', path, host, token, contentType, body = '' } = parts
  const head = [
    `${method} ${path} HTTP/1.1`,
    `Host: ${host}`,
    ...(token === undefined ? [] : [`Authorization: Bearer ${token}`]),
    ...(contentType === undefined ? [] : [`Content-Type: ${contentType}`]),
    ...(method === 'GET' ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
  ]
  return Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** Requests that are written at a time. */
const BATCH = 500

/** Writes each request after its length, as 8 hexadecimal digits. */
export async function writeRequests(path: string, requests: readonly Buffer[]): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    for (let start = 0; start < requests.length; start += BATCH)
      await file.writev(requests.slice(start, start + BATCH).flatMap(withLength))
  } finally {
    await file.close()
  }
}

const withLength = (request: Buffer): readonly Buffer[] => [
  Buffer.from(request.length.toString(16).padStart(8, '0')),
  request,
]
