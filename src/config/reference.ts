/** The configuration references, as Markdown, made from the schemas: what a key means stands in one place. */
import { z } from 'zod'
import { configurationSchema } from './schema.ts'

interface JsonSchema {
  readonly type?: string
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: JsonSchema | boolean
  readonly items?: JsonSchema
  readonly enum?: readonly unknown[]
  readonly anyOf?: readonly JsonSchema[]
  readonly minimum?: number
  readonly maximum?: number
}

interface Row {
  readonly key: string
  readonly type: string
  readonly fallback: string
  readonly description: string
}

const HEAD = `# Configuration

Made from the schema by \`npm run docs\`; do not edit.

One YAML file: \`--config FILE\`, else \`TTS_CONFIG\`, else \`./tts.yaml\`, else \`/etc/tts/tts.yaml\`; with none of them
everything has its default. Unknown keys stop the start, and so does anything else that is wrong: all problems are listed
with the key, what was found and what was wanted.

**Environment.** Every key can be set by \`TTS_\` and the key in capitals, levels parted by two underscores; values are YAML:

\`\`\`sh
TTS_LISTEN__PORT=8443
TTS_PROVIDERS__IAM__AUDIENCES='[https://tts.example.org]'
TTS_SERVICES__PROXY__AUTHZ__ALLOW='[{provider: iam, claims: {groups: {contains: cms}}}]'
\`\`\`

**Secrets** are better given as files: \`client_secret_file\`, \`passphrase_file\`, \`url_file\`, \`master_key_file\`. Such a file
must be readable by its owner alone. Relative paths are taken from the directory of the configuration file.

**Rules.** Somebody may use a service when one of its \`allow\` rules is true and none of its \`forbid\` rules. A rule names a
provider (or \`any\`) and conditions on claims, all of which must hold. A claim that is missing makes an allow rule false and
a forbid rule **true**. \`contains\` on a claim that is one text looks for a whole word between spaces, in allow and in forbid rules
alike: a forbid rule that has to find a part of a text, or an entry between commas, needs \`contains_substring\` or \`regexp\`.

**Regular expressions.** \`regexp\` takes JavaScript's syntax with the flag \`u\`: \`^\` and \`$\` are the ends of the value, \`.\` is anything
but a line end, \`\\d\`, \`\\w\` and \`\\b\` are about ASCII, letter case counts. They are matched in time linear in the value, so that no
expression can hold up the service. What that excludes stops the start: lookahead, lookbehind, backreferences, flags such as
\`(?i:…)\` (write \`[Aa]\`), \`\\B\`, halves of surrogate pairs, more than 512 characters, a repetition over 1000 times, and expressions that
make more than 1500 steps once \`{n,m}\` is written out. A claim of more than 1024 characters is not matched: the rule counts as
one that cannot be evaluated, and nobody is let in.

An example:

\`\`\`yaml
listen:
  host: 0.0.0.0
  port: 8443
  public_url: https://tts.example.org
  tls_certificate_file: /etc/tts/tls.pem
  tls_key_file: /etc/tts/tls.key
  plain: { host: 0.0.0.0, port: 8080 }
ca:
  subject: /DC=org/DC=example/CN=Example TTS CA
  end_entity_base: /DC=org/DC=example/OU=people
  crl_url: http://tts.example.org:8080/ca/crl.der
providers:
  iam:
    issuer: https://iam.example.org/
    alias: example-iam
    audiences: [https://tts.example.org]
    userinfo: when_missing_groups
services:
  proxy:
    authz:
      allow:
        - provider: iam
          claims: { groups: { contains: cms } }
\`\`\`
`

/** docs/configuration.md. */
export function configurationReference(): string {
  return referenceOf(HEAD, configurationSchema)
}

/** A document: what stands above, and a table for each section of the settings. */
export function referenceOf(head: string, settings: z.ZodType): string {
  const schema = z.toJSONSchema(settings, { io: 'input', unrepresentable: 'any' }) as JsonSchema
  const sections = Object.entries(schema.properties ?? {})
  const top = sections.filter(
    ([, value]) => !value.properties && typeof value.additionalProperties !== 'object',
  )
  const text = [head, '## Top level\n', table(top.flatMap(([key, value]) => rowsOf(key, value)))]
  for (const [key, value] of sections.filter((entry) => !top.includes(entry))) {
    text.push(`\n## ${key}\n`, `${value.description ?? ''}\n`, table(rowsOf(key, value)))
  }
  return `${text.join('\n')}\n`
}

function rowsOf(key: string, schema: JsonSchema): Row[] {
  const { properties, additionalProperties } = schema
  if (typeof additionalProperties === 'object' && !properties)
    return rowsOf(`${key}.<${key.endsWith('claims') ? 'claim' : 'id'}>`, additionalProperties)
  if (!properties) {
    const row = {
      key,
      type: typeOf(schema),
      fallback: defaultOf(schema),
      description: schema.description ?? '',
    }
    const inside = schema.items?.properties ? rowsOf(`${key}[]`, schema.items) : []
    return [row, ...inside]
  }
  return Object.entries(properties).flatMap(([name, value]) => rowsOf(`${key}.${name}`, value))
}

function typeOf(schema: JsonSchema): string {
  if (schema.enum) return schema.enum.map((value) => `\`${String(value)}\``).join(' ')
  if (schema.anyOf) return schema.anyOf.map(typeOf).join(' or ')
  if (schema.type === 'array') return `list of ${schema.items ? typeOf(schema.items) : 'values'}`
  const { minimum, maximum } = schema
  const bounds =
    minimum === undefined && maximum === undefined ? '' : ` ${minimum ?? ''}…${maximum ?? ''}`
  return `${schema.type ?? 'value'}${schema.type === 'integer' || schema.type === 'number' ? bounds : ''}`
}

function defaultOf({ default: value }: JsonSchema): string {
  return value === undefined ? '' : `\`${JSON.stringify(value)}\``
}

function table(rows: readonly Row[]): string {
  const lines = rows.map(({ key, type, fallback, description }) => {
    const cells = [`\`${key}\``, type, fallback, description]
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  })
  return ['| key | type | default | what it is |', '| --- | --- | --- | --- |', ...lines].join('\n')
}
