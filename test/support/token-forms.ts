/** Forms that are posted to token endpoints, and their answers. */

/** The body of a token answer; others have members of their own. */
interface TokenBody {
  readonly access_token?: string
  readonly refresh_token?: string
  readonly id_token?: string
  readonly error?: string
  readonly error_description?: string
  readonly [member: string]: unknown
}

/** An answer to a form. */
export interface FormAnswer {
  readonly status: number
  /** Parsed JSON; empty if the answer is not JSON. */
  readonly body: TokenBody
}

/** Posts a form, with a client's id and secret as Basic authentication if they are given. */
export async function postForm(
  url: string,
  form: Readonly<Record<string, string>>,
  client?: { readonly id: string; readonly secret: string },
): Promise<FormAnswer> {
  const basic = client && Buffer.from(`${client.id}:${client.secret}`).toString('base64')
  const response = await fetch(url, {
    method: 'POST',
    body: new URLSearchParams(form),
    ...(basic !== undefined && { headers: { authorization: `Basic ${basic}` } }),
  })
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true
  return {
    status: response.status,
    body: isJson ? (JSON.parse(text) as TokenBody) : {},
  }
}

/** The access token of an answer. Throws for a refusal. */
export function accessTokenOf({ body }: FormAnswer): string {
  if (body.access_token === undefined) throw new Error(JSON.stringify(body))
  return body.access_token
}
