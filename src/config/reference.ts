/**
 * Generates the configuration references in Markdown from the schemas, so that each key is described in one place only.
 */
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

Generated from the schema by \`npm run docs\`; do not edit.

The configuration is one YAML file, the first of these: \`--config FILE\`, \`TTS_CONFIG\`, \`./tts.yaml\`, \`/etc/tts/tts.yaml\`. Without
a file every key has its default. The service does not start with an unknown key or a wrong value: it lists all problems with the key, the
value found and the requirement.

**Environment.** An environment variable can set any key: \`TTS_\` and the key in capitals, with two underscores between levels. Values are
YAML:

\`\`\`sh
TTS_LISTEN__PORT=8443
TTS_PROVIDERS__IAM__AUDIENCES='[https://tts.example.org]'
TTS_SERVICES__PROXY__AUTHZ__ALLOW='[{provider: iam, claims: {groups: {contains: cms}}}]'
\`\`\`

**Secrets** should be in files: \`client_secret_file\`, \`passphrase_file\`, \`url_file\`, \`master_key_file\`. Only the owner may be able to
read such a file. Relative paths start at the directory of the configuration file.

**Rules.** A user may use a service if one of its \`allow\` rules is true and none of its \`forbid\` rules is. A rule names a provider (or
\`any\`) and conditions on claims; it is true if all of them are. A missing claim makes an allow rule false and a forbid rule **true**.
If a claim is a text, \`contains\` looks for a whole word between spaces, in allow and forbid rules. To find a part of a text, or an entry
between commas, a forbid rule needs \`contains_substring\` or \`regexp\`.

**Regular expressions.** \`regexp\` has the syntax of JavaScript with the flag \`u\`: \`^\` and \`$\` are the ends of the value, \`.\` matches
anything but a line end, \`\\d\`, \`\\w\` and \`\\b\` match ASCII only, and letter case matters. Matching takes time linear in the length of the
value, so that no expression can block the service. Therefore the service does not start with lookahead, lookbehind, backreferences, flags
such as \`(?i:…)\` (write \`[Aa]\`), \`\\B\`, halves of surrogate pairs, more than 512 characters, a repetition over 1000 times, or an expression
of more than 1500 steps after \`{n,m}\` is expanded. A claim of more than 1024 characters is not matched: the rule cannot be evaluated, and
the user is refused.

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

/** Returns the content of docs/configuration.md. */
export function configurationReference(): string {
  return referenceOf(HEAD, configurationSchema)
}

/** Returns a document with the given head and a table for each section of the settings. */
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
    const nested = schema.items?.properties ? rowsOf(`${key}[]`, schema.items) : []
    return [row, ...nested]
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
  return ['| key | type | default | meaning |', '| --- | --- | --- | --- |', ...lines].join('\n')
}
