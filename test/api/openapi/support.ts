/** The OpenAPI document of a service, and a validator that knows no mercy: what is not described does not pass. */
import { Ajv2020 } from 'ajv/dist/2020.js'
import formats from 'ajv-formats'

export interface Described {
  readonly operationId: string
  readonly responses: Readonly<
    Record<string, { readonly $ref?: string } & Partial<DescribedResponse>>
  >
  readonly security?: readonly object[]
}

interface DescribedResponse {
  readonly headers: Readonly<Record<string, object>>
  readonly content: Readonly<Record<string, { readonly schema: object }>>
}

export interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Described>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, Record<string, unknown>>>
    readonly responses: Readonly<Record<string, DescribedResponse>>
  }
}

export async function readOpenApi(url: string): Promise<OpenApi> {
  return (await (await fetch(`${url}/openapi.json`)).json()) as OpenApi
}

/** Closes all objects: members that the document does not name fail. A later release may add some. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed)
  if (typeof schema !== 'object' || schema === null) return schema
  const inner = Object.fromEntries(
    Object.entries(schema).map(([name, value]) => [name, closed(value)]),
  )
  return 'properties' in schema && !('additionalProperties' in schema)
    ? { ...inner, additionalProperties: false }
    : inner
}

/** Returns a function that says what is wrong with an answer; empty when all is as described. */
export function answerChecker(document: OpenApi) {
  const text = JSON.stringify(closed(document.components.schemas))
  const $defs = JSON.parse(text.replaceAll('#/components/schemas/', 'api#/$defs/')) as object
  const ajv = new Ajv2020({ strict: true, allErrors: true, strictTypes: false })
  formats.default(ajv)
  ajv.addSchema({ $id: 'api', $defs })
  const problemsOf = (schema: object, value: unknown): readonly string[] => {
    const reference = JSON.stringify(closed(schema)).replaceAll(
      '#/components/schemas/',
      'api#/$defs/',
    )
    const validate = ajv.compile(JSON.parse(reference) as object)
    validate(value)
    return (validate.errors ?? []).map(
      ({ instancePath, message, params }) =>
        `${instancePath} ${message ?? ''} ${JSON.stringify(params)}`,
    )
  }
  const operations = new Map(
    Object.values(document.paths)
      .flatMap((path) => Object.values(path))
      .map((one) => [one.operationId, one]),
  )
  return { problemsOf, check, operations }

  /** Checks status, headers that must be there, media type and body. */
  async function check(operationId: string, response: Response): Promise<readonly string[]> {
    const described = operations.get(operationId)
    if (described === undefined) return [`no operation ${operationId}`]
    const { status } = response
    const found = described.responses[String(status)] ?? described.responses['default']
    const name = found?.$ref?.split('/').at(-1) ?? ''
    const resolved = found?.$ref === undefined ? found : document.components.responses[name]
    if (resolved === undefined) return [`status ${status} is not described`]
    // A refusal by the identity provider (403) has no challenge: another token of this service does not help.
    const optional = ['TTS-Warning', ...(status === 403 ? ['WWW-Authenticate'] : [])]
    const missing = Object.keys(resolved.headers ?? {})
      .filter((header) => !response.headers.has(header) && !optional.includes(header))
      .map((header) => `no header ${header}`)
    const type = response.headers.get('content-type')?.split(';')[0] ?? ''
    const content = resolved.content?.[type]
    const body = await response.text()
    if (resolved.content === undefined) return body === '' ? missing : [...missing, 'a body']
    if (content === undefined) return [...missing, `media type ${type} is not described`]
    const value: unknown = type.endsWith('json') ? JSON.parse(body) : body
    return [...missing, ...problemsOf(content.schema, value)]
  }
}
