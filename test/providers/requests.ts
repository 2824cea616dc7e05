/** Requests with tokens of real providers to our service. */
import { soundCsr } from '../api/support.ts'

/** An answer of the service. `check` and `detail` are those of a refusal. */
export interface ServiceAnswer {
  readonly status: number
  readonly check?: string
  readonly detail?: string
  readonly text: string
}

/** Sends a request with a bearer token to the service. Default: for a proxy, with a sound CSR. */
export async function ask(
  { url }: { readonly url: string },
  token: string,
  path = '/v1/proxies',
): Promise<ServiceAnswer> {
  const withCsr = path.endsWith('/proxies')
  const response = await fetch(`${url}${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      ...(withCsr && { 'content-type': 'application/pkcs10' }),
    },
    ...(withCsr && { body: await soundCsr() }),
  })
  const text = await response.text()
  const isProblem = response.headers.get('content-type')?.includes('problem+json') === true
  const { check, detail } = isProblem ? (JSON.parse(text) as Record<string, string>) : {}
  return {
    status: response.status,
    text,
    ...(check !== undefined && { check }),
    ...(detail !== undefined && { detail }),
  }
}
