/** Types of the clients, from the schemas of /openapi.json. */
import { x509Certificate } from '../plugins/x509-certificate/index.ts'
import { x509ProxyPlugin } from '../plugins/x509-proxy/index.ts'
import { answerSchemas } from '../src/api/openapi/answers.ts'
import { createOpenApi } from '../src/api/openapi/document.ts'
import type { Service } from '../src/domain/issuing/service.ts'

interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly string[]
  readonly const?: string
  readonly anyOf?: readonly Schema[]
  readonly items?: Schema
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
}

/** The schemas that clients have types of: the answers of the native API, and what they send. */
function clientSchemas(): readonly (readonly [name: string, schema: Schema])[] {
  // The default services, as far as the document looks at them.
  const services = new Map(
    [
      ['proxy', x509ProxyPlugin([])],
      ['x509', x509Certificate],
    ].map(([id, plugin]) => [id, { id, plugin } as unknown as Service]),
  ) as ReadonlyMap<string, Service>
  const document = createOpenApi(services, { publicUrl: undefined, accessTokens: false, voms: [] })
  const { schemas } = document['components'] as { schemas: Readonly<Record<string, Schema>> }
  const names = [...Object.keys(answerSchemas), 'ProxyParameters', 'CertificateParameters']
  const used = names.filter((name) => !MONITORING.includes(name))
  return used.map((name) => [name, schemas[name] ?? {}])
}

/** Answers for monitoring, which clients do not read. */
const MONITORING: readonly string[] = ['Health', 'Readiness', 'AuthorityFiles']

const HEAD = 'made from /openapi.json by `npm run docs`; do not edit'

/** How a language writes types. */
interface Language {
  readonly reference: (name: string) => string
  readonly literal: (values: readonly string[]) => string
  readonly union: (types: readonly string[]) => string
  readonly list: (type: string) => string
  readonly plain: Readonly<Record<string, string>>
}

function typeOf(schema: Schema, language: Language): string {
  const name = schema.$ref?.split('/').at(-1)
  if (name !== undefined) return language.reference(name)
  if (schema.anyOf !== undefined) {
    const parts = schema.anyOf.map((part) => typeOf(part, language))
    return language.union([...new Set(parts)])
  }
  if (schema.enum !== undefined) return language.literal(schema.enum)
  if (schema.const !== undefined) return language.literal([schema.const])
  if (schema.type === 'array') return language.list(typeOf(schema.items ?? {}, language))
  if (Array.isArray(schema.type))
    return language.union(schema.type.map((type: string) => typeOf({ ...schema, type }, language)))
  const plain = language.plain[String(schema.type)]
  if (plain === undefined) throw new Error(`no type for ${JSON.stringify(schema)}`)
  return plain
}

const typescript: Language = {
  reference: (name) => name,
  literal: (values) => values.map((value) => `'${value}'`).join(' | '),
  union: (types) => types.join(' | '),
  list: (type) => `readonly ${/[ |]/.test(type) ? `(${type})` : type}[]`,
  plain: {
    string: 'string',
    integer: 'number',
    number: 'number',
    boolean: 'boolean',
    null: 'null',
  },
}

/** A doc comment in an interface; a long one is wrapped. */
function comment(text: string): string {
  if (text.length <= 100) return `  /** ${text} */\n`
  const lines = text.match(/.{1,100}(?: |$)/g) ?? []
  return `  /**\n${lines.map((line) => `   * ${line.trimEnd()}\n`).join('')}   */\n`
}

/** Returns `clients/typescript/src/api-types.ts`, before it is formatted. */
export function typescriptTypes(): string {
  const types = clientSchemas().map(([name, { description, properties = {}, required = [] }]) => {
    const members = Object.entries(properties).map(([key, schema]) => {
      const about = schema.description === undefined ? '' : comment(schema.description)
      const mark = required.includes(key) ? '' : '?'
      return `${about}  readonly ${key}${mark}: ${typeOf(schema, typescript)}\n`
    })
    return `/** ${description ?? name} */\nexport interface ${name} {\n${members.join('')}}\n`
  })
  return `/** The API of the Token Translation Service: ${HEAD}. */\n\n${types.join('\n')}`
}

const python: Language = {
  reference: (name) => `"${name}"`,
  literal: (values) => `Literal[${values.map((value) => JSON.stringify(value)).join(', ')}]`,
  union: (types) => `Union[${types.join(', ')}]`,
  list: (type) => `List[${type}]`,
  plain: { string: 'str', integer: 'int', number: 'float', boolean: 'bool', null: 'None' },
}

/** Returns `clients/python/src/tts_client/api_types.py`. */
export function pythonTypes(): string {
  const types = clientSchemas().map(([name, { description, properties = {}, required = [] }]) => {
    const all = Object.entries(properties)
    const needed = all.filter(([key]) => required.includes(key))
    const optional = all.filter(([key]) => !required.includes(key))
    const doc = `    """${description ?? name}."""\n`
    const lines = (entries: typeof all) =>
      entries.map(([key, schema]) => `    ${key}: ${typeOf(schema, python)}\n`).join('')
    if (optional.length === 0) return `class ${name}(TypedDict):\n${doc}\n${lines(needed)}`
    if (needed.length === 0)
      return `class ${name}(TypedDict, total=False):\n${doc}\n${lines(optional)}`
    return `class _Required${name}(TypedDict):\n${lines(needed)}\n\nclass ${name}(_Required${name}, total=False):\n${doc}\n${lines(optional)}`
  })
  return `"""The API of the Token Translation Service: ${HEAD}."""\n\nfrom typing import List, Literal, TypedDict, Union\n\n\n${types.join('\n\n')}`
}
