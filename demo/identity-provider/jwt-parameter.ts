import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { ProviderState } from './state.ts'

/** More than any form with a token in it needs. */
const MAX_FORM_BYTES = 56 * 1024

/**
 * Returns the request with the JWT in the form field `token` replaced by its id in the store: oidc-provider refuses
 * to introspect or revoke "structured tokens", but IAM does both.
 */
export async function withTokenId(
  request: IncomingMessage,
  state: ProviderState,
): Promise<IncomingMessage> {
  const form = new URLSearchParams(await readBody(request))
  const token = form.get('token')
  if (token?.includes('.') === true) form.set('token', state.tokenIds.get(token) ?? 'unknown')
  const body = Buffer.from(form.toString())
  const { method, url, socket, httpVersion } = request
  const headers = { ...request.headers, 'content-length': String(body.length) }
  const replaced = Readable.from([body], { objectMode: false })
  return Object.assign(replaced, { method, url, headers, socket, httpVersion }) as IncomingMessage
}

async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    length += chunk.length
    if (length > MAX_FORM_BYTES) throw new Error('the form is too large')
  }
  return Buffer.concat(chunks).toString()
}
