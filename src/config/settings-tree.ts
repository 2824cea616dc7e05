/** The parts of loading a configuration that all our programs share: files, environment variables, errors, secrets. */
import { parse as parseYaml, YAMLParseError } from 'yaml'
import type { z } from 'zod'
import { INVALID_NAME, unionProblem } from '../../plugins/validation-words.ts'
import { TtsError } from '../base/errors.ts'
import { fileErrorReason, fileErrorRemedy, systemErrorCode } from '../base/system-error.ts'
import { readInputFileSync } from '../files/input-file.ts'
import { readPrivateFile } from '../files/private-file.ts'
import { redactText } from '../base/redact.ts'

/** The environment variables. They are passed in: only the entry point of the command line reads `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

const MAX_FILE_BYTES = 1024 * 1024
const MAX_SECRET_BYTES = 64 * 1024

/** Settings before the check by the schema. */
export type Tree = Record<string, unknown>

/**
 * Reads a YAML file.
 *
 * @throws {TtsError} `configuration`
 */
export function readYaml(path: string): Tree {
  let parsed: unknown
  try {
    const text = readInputFileSync(path, { maxBytes: MAX_FILE_BYTES }).toString('utf8')
    parsed = parseYaml(text, { maxAliasCount: 100, logLevel: 'error' }) ?? {}
  } catch (error) {
    // No cause, because the parser's message quotes lines of the file, which may contain a secret.
    const remedy = error instanceof TtsError ? error.remedy : fileErrorRemedy(error)
    const problem =
      error instanceof TtsError
        ? error.message
        : `${path} cannot be read: ${describeReadError(error)}`
    throw new TtsError(
      'configuration',
      `the configuration file ${problem}`,
      remedy === undefined ? {} : { remedy },
    )
  }
  if (!isTree(parsed)) throw new TtsError('configuration', `${path}: must be a YAML mapping`)
  return parsed
}

function describeReadError(error: unknown): string {
  if (error instanceof YAMLParseError) {
    const [start] = error.linePos ?? []
    const where = start === undefined ? '' : ` at line ${start.line}, column ${start.col}`
    return `it is not valid YAML (${error.code})${where}`
  }
  return systemErrorCode(error) === undefined
    ? 'it is not valid YAML (anchors or aliases)'
    : fileErrorReason(error)
}

/** Returns whether a value is a mapping. */
export const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/**
 * Sets a key by the name of an environment variable: `LISTEN__PORT` sets `listen.port`. Letter case does not matter,
 * and values are YAML.
 */
export function setByName(tree: Tree, name: string, value: string): void {
  const keys = name.toLowerCase().split('__')
  const last = keys.pop() ?? ''
  let place = tree
  for (const word of keys) {
    const key = keyOf(place, word)
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

/** Returns the key of a mapping for a lower-case word: ids of services and providers may have capitals. */
function keyOf(place: Tree, word: string): string {
  if (Object.hasOwn(place, word)) return word
  return Object.keys(place).find((key) => key.toLowerCase() === word) ?? word
}

function yamlScalar(value: string): unknown {
  try {
    return parseYaml(value, { maxAliasCount: 0, logLevel: 'error' }) as unknown
  } catch {
    return value
  }
}

/** Keys whose value is not parsed as YAML, which would turn some secrets into numbers or lists. */
const isPlainText = (key: string): boolean =>
  /(secret|passphrase|master_key|url|_file|token|client_id|delegation_id|audience)$/.test(key)

/** Keys whose value is never shown. The URL of a database may contain a password. */
const isSecret = (path: readonly PropertyKey[]): boolean =>
  path.some((part) => /(secret|passphrase|master_key|token)$/.test(String(part))) ||
  ['store.url', 'state.url', 'delegations.notice.webhook_url'].includes(path.join('.'))

/** Source of the settings, for error messages. */
export interface SettingsOrigin {
  /** Path of the file; undefined when there was none. */
  readonly path: string | undefined
  /** Prefix of the environment variables, for example `TTS_`. */
  readonly prefix: string
  readonly input: Tree
  /** The document that lists all keys. */
  readonly reference: string
}

/** Returns an error that lists all problems found by a schema. */
export function configurationError(error: z.ZodError, from: SettingsOrigin): TtsError {
  const where =
    from.path === undefined
      ? 'the environment'
      : `${from.path} (and ${from.prefix}… in the environment)`
  const lines = error.issues.map((issue) => `  ${describeIssue(issue, from)}`)
  return new TtsError(
    'configuration',
    `the configuration is invalid; problems in ${where}:\n${lines.join('\n')}`,
  )
}

/** Describes a describeIssue: the key, the value found (unless it is secret), and the requirement. */
function describeIssue(issue: z.core.$ZodIssue, { input, reference }: SettingsOrigin): string {
  const key = issue.path.map(String).join('.') || '(top)'
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((name) =>
      /^[\w.-]{1,64}$/.test(name) ? name : '(an invalid name)',
    )
    return `${key === '(top)' ? '' : `${key}.`}${keys.join(', ')}: unknown key; ${reference} lists all keys`
  }
  // The general message says nothing; a schema may have another one.
  if (issue.code === 'invalid_key' && issue.message === INVALID_NAME)
    return `${key}: the name ${issue.issues[0]?.message ?? 'is invalid'}`
  const value = issue.path.reduce<unknown>(
    (node, part) =>
      isTree(node) || Array.isArray(node) ? (node as Tree)[String(part)] : undefined,
    input,
  )
  const displayed = value !== undefined && isSecret(issue.path) ? 'a value' : displayValue(value)
  const problem = issue.code === 'invalid_union' ? unionProblem(issue) : issue.message
  return `${key}: found ${displayed}; ${problem}`
}

/**
 * Formats a value for a message. Lists and mappings are not shown, because they may contain a secret under another key.
 */
function displayValue(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (isTree(value)) return 'a mapping'
  const text = typeof value === 'string' ? redactText(value) : value
  return (JSON.stringify(text) ?? 'a value').slice(0, 80)
}

/**
 * Reads a secret from its file.
 *
 * @throws {TtsError} `configuration`; the message names the key
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

/** Freezes a value and all values inside it. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
