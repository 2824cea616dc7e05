/** What every program of ours does with its settings before and after the schema: files, names of the environment, errors, secrets. */
import { readFileSync } from 'node:fs'
import { parse as parseYaml, YAMLParseError } from 'yaml'
import type { z } from 'zod'
import { TtsError } from '../base/errors.ts'
import { readPrivateFile } from '../files/private-file.ts'
import { redactText } from '../base/redact.ts'

/** The environment as it is handed in; only the command line's entry reads `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

const MAX_FILE_BYTES = 1024 * 1024
const MAX_SECRET_BYTES = 64 * 1024

/** Settings as they were read, before any schema has seen them. */
export type Tree = Record<string, unknown>

/**
 * Reads a YAML file.
 *
 * @throws {TtsError} `configuration`
 */
export function readYaml(path: string): Tree {
  let parsed: unknown
  try {
    const text = readFileSync(path, 'utf8')
    if (text.length > MAX_FILE_BYTES) throw new TtsError('configuration', 'it is over 1 MiB long')
    parsed = parseYaml(text, { maxAliasCount: 100, logLevel: 'error' }) ?? {}
  } catch (error) {
    // No cause: the parser's message quotes the lines around, which may hold a secret.
    throw new TtsError(
      'configuration',
      `the configuration file ${path} cannot be read: ${whyUnreadable(error)}`,
    )
  }
  if (!isTree(parsed))
    throw new TtsError('configuration', `${path}: must be a mapping of keys at the top`)
  return parsed
}

function whyUnreadable(error: unknown): string {
  if (error instanceof TtsError) return error.message
  if (error instanceof YAMLParseError) {
    const [place] = error.linePos ?? []
    const where = place === undefined ? '' : ` at line ${place.line}, column ${place.col}`
    return `it is not valid YAML (${error.code})${where}`
  }
  const code: unknown = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : 'it is not valid YAML (anchors or aliases)'
}

/** Whether a value is a mapping. */
export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `LISTEN__PORT` with `8443` sets `listen.port`: two underscores part the levels, letter case does not count, values are YAML. */
export function setByName(tree: Tree, name: string, value: string): void {
  const keys = name.toLowerCase().split('__')
  const last = keys.pop() ?? ''
  let place = tree
  for (const key of keys) {
    const next = Object.hasOwn(place, key) ? place[key] : undefined
    const child: Tree = isTree(next) ? next : {}
    Object.defineProperty(place, key, {
      value: child,
      enumerable: true,
      configurable: true,
      writable: true,
    })
    place = child
  }
  const parsed = isPlainText(last) ? value : yamlScalar(value)
  Object.defineProperty(place, last, {
    value: parsed,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

function yamlScalar(value: string): unknown {
  try {
    return parseYaml(value, { maxAliasCount: 0, logLevel: 'error' }) as unknown
  } catch {
    return value
  }
}

/** Values that are taken as they are: YAML would make numbers and lists of some secrets. */
const isPlainText = (key: string): boolean =>
  /(secret|passphrase|master_key|url|_file|token|client_id|delegation_id|audience)$/.test(key)

/** Keys whose value is not shown; the URL of a database may hold a password. */
const isSecret = (path: readonly PropertyKey[]): boolean =>
  path.some((part) => /(secret|passphrase|master_key|token)$/.test(String(part))) ||
  ['store.url', 'state.url', 'delegations.notice.webhook_url'].includes(path.join('.'))

/** Where settings came from, for messages about them. */
export interface SettingsOrigin {
  /** The file; undefined when there was none. */
  readonly path: string | undefined
  /** `TTS_`: what names of the environment begin with. */
  readonly prefix: string
  readonly input: Tree
  /** The document that lists all keys. */
  readonly reference: string
}

/** The error that lists everything that a schema refused. */
export function configurationError(error: z.ZodError, from: SettingsOrigin): TtsError {
  const where =
    from.path === undefined
      ? 'the environment'
      : `${from.path} (and ${from.prefix}… of the environment)`
  const lines = error.issues.map((issue) => `  ${problem(issue, from)}`)
  return new TtsError(
    'configuration',
    `the configuration is not usable; in ${where}:\n${lines.join('\n')}`,
  )
}

/** One problem: key, what was found (unless it is a secret), what was wanted. */
function problem(issue: z.core.$ZodIssue, { input, reference }: SettingsOrigin): string {
  const key = issue.path.map(String).join('.') || '(top)'
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((name) =>
      /^[\w.-]{1,64}$/.test(name) ? name : '(a name that no key has)',
    )
    return `${key === '(top)' ? '' : `${key}.`}${keys.join(', ')}: no such key; ${reference} lists them all`
  }
  const found = issue.path.reduce<unknown>(
    (place, part) =>
      isTree(place) || Array.isArray(place) ? (place as Tree)[String(part)] : undefined,
    input,
  )
  const shown = found !== undefined && isSecret(issue.path) ? 'a value' : shownValue(found)
  return `${key}: found ${shown}; ${issue.message}`
}

/** Lists and mappings are not shown: a secret may stand in them under another key. */
function shownValue(found: unknown): string {
  if (found === undefined) return 'nothing'
  if (Array.isArray(found)) return 'a list'
  if (isTree(found)) return 'a mapping'
  const text = typeof found === 'string' ? redactText(found) : found
  return (JSON.stringify(text) ?? 'a value').slice(0, 80)
}

/**
 * Reads a secret from its file.
 *
 * @throws {TtsError} `configuration` naming the key
 */
export async function readSecret(key: string, path: string): Promise<string> {
  const bytes = await readPrivateFile(path, {
    maxBytes: MAX_SECRET_BYTES,
    readers: 'root_for_group',
  }).catch((error: unknown) => {
    if (!(error instanceof TtsError)) throw error
    const { check, remedy } = error
    throw new TtsError('configuration', `${key}: ${error.message}`, {
      ...(check === undefined ? {} : { check }),
      ...(remedy === undefined ? {} : { remedy }),
      cause: error,
    })
  })
  const text = bytes.toString('utf8').trim()
  if (text === '') throw new TtsError('configuration', `${key}: the file ${path} is empty`)
  return text
}

/** Freezes a value and all that is in it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
