import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { ProviderState } from './state.ts'

/** More than any form with a token in it needs. */
const MAX_FORM_BYTES = 56 * 1024

/**
 * Returns the request as oidc-provider takes it, with what IAM takes in addition: client credentials in the body of
 * every client (not at introspection), also together with HTTP Basic, and JWTs at introspection and revocation, where
 * they are replaced by their ids in the store ("structured tokens" are refused there).
 */
export async function withStandardForm(
  request: IncomingMessage,
  state: ProviderState,
): Promise<IncomingMessage> {
  const form = new URLSearchParams(await readBody(request))
  const token = form.get('token')
  if (token?.includes('.') === true) form.set('token', state.tokenIds.get(token) ?? 'unknown')
  const isIntrospection = request.url?.startsWith('/introspect') === true
  const authorization =
    request.headers.authorization ?? (isIntrospection ? undefined : basicOf(form))
  if (authorization !== undefined)
    for (const name of ['client_id', 'client_secret']) form.delete(name)
  const body = Buffer.from(form.toString())
  const { method, url, socket, httpVersion } = request
  const headers = {
    ...request.headers,
    ...(authorization !== undefined && { authorization }),
    'content-length': String(body.length),
  }
  const replaced = Readable.from([body], { objectMode: false })
  return Object.assign(replaced, { method, url, headers, socket, httpVersion }) as IncomingMessage
}

/** Returns the credentials in the body as HTTP Basic (RFC 6749 section 2.3.1). */
function basicOf(form: URLSearchParams): string | undefined {
  const [id, secret] = [form.get('client_id'), form.get('client_secret')]
  if (id === null || secret === null) return undefined
  const pair = [id, secret].map((text) => encodeURIComponent(text)).join(':')
  return `Basic ${Buffer.from(pair).toString('base64')}`
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
