/**
 * File + environment -> schema -> frozen configuration, once, at start. Every problem is listed with its key, what was
 * found and what was wanted.
 */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parse as parseYaml, YAMLParseError } from 'yaml'
import type { z } from 'zod'
import { TtsError } from '../errors.ts'
import { readPrivateFile } from '../files/private-file.ts'
import { redactText } from '../log.ts'
import { type Configuration, configurationSchema } from './schema.ts'

/** The environment as it is handed in; only the command line's entry reads `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** A configuration and where it came from. */
export interface LoadedConfiguration {
  readonly configuration: Configuration
  /** The file that was read, or undefined when there was none. */
  readonly path: string | undefined
  /** Environment names that set a key. */
  readonly overrides: readonly string[]
  /** Absolute directory of everything that is kept. */
  readonly dataDirectory: string
}

/** Places where a configuration is looked for when none is named. */
const defaultPaths = ['tts.yaml', '/etc/tts/tts.yaml']
const MAX_FILE_BYTES = 1024 * 1024
const MAX_SECRET_BYTES = 64 * 1024
/** Environment names with our prefix that are not keys of the configuration. */
const otherNames = /^TTS_(CONFIG|TEST_.*|URL|DEMO_.*)$/
/** What Kubernetes puts into the environment when a Service is called `tts`. */
const linkNames = /^TTS_(SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP).*)$/
const isLink = (name: string, value: string): boolean =>
  linkNames.test(name) || (name === 'TTS_PORT' && /^(tcp|udp):\/\//.test(value))

/**
 * Loads the configuration.
 *
 * @param path file named by the caller; undefined: TTS_CONFIG, ./tts.yaml, /etc/tts/tts.yaml, or none at all
 * @throws {TtsError} `configuration`, listing every problem
 */
export async function loadConfiguration(
  path: string | undefined,
  environment: Environment,
): Promise<LoadedConfiguration> {
  const found =
    path ?? environment['TTS_CONFIG'] ?? defaultPaths.find((candidate) => existsSync(candidate))
  const fromFile = found === undefined ? {} : readYaml(found)
  const overrides = Object.keys(environment)
    .filter((name) => name.startsWith('TTS_') && !otherNames.test(name))
    .filter((name) => environment[name] !== undefined && environment[name] !== '')
    .filter((name) => !isLink(name, environment[name] ?? ''))
    .sort()
  for (const name of overrides) setByEnvironment(fromFile, name, environment[name] ?? '')
  const result = configurationSchema.safeParse(fromFile)
  if (!result.success) throw configurationError(result.error, { found, input: fromFile })
  const base = found === undefined ? process.cwd() : dirname(resolve(found))
  const configuration = await resolveSecrets(result.data, base)
  const dataDirectory = resolve(base, configuration.data_dir ?? defaultDataDirectory(environment))
  return { configuration: deepFreeze(configuration), path: found, overrides, dataDirectory }
}

function defaultDataDirectory(environment: Environment): string {
  return resolve(environment['XDG_DATA_HOME'] || resolve(homedir(), '.local/share'), 'tts')
}

type Tree = Record<string, unknown>

function readYaml(path: string): Tree {
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
    throw new TtsError('configuration', `${path}: wanted a mapping of keys at the top`)
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

const isTree = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** `TTS_LISTEN__PORT=8443` sets `listen.port`: two underscores part the levels, letter case does not count, values are YAML. */
function setByEnvironment(tree: Tree, name: string, value: string): void {
  const keys = name.slice('TTS_'.length).toLowerCase().split('__')
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
const isPlainText = (key: string): boolean => /(secret|passphrase|master_key|url|_file)$/.test(key)

/** Keys whose value is not shown; `store.url` may hold a password. */
const isSecret = (path: readonly PropertyKey[]): boolean =>
  path.some((part) => /(secret|passphrase|master_key)$/.test(String(part))) ||
  path.join('.') === 'store.url'

function configurationError(
  error: z.ZodError,
  from: { readonly found: string | undefined; readonly input: Tree },
): TtsError {
  const where =
    from.found === undefined ? 'the environment' : `${from.found} (and TTS_… of the environment)`
  const lines = error.issues.map((issue) => `  ${problem(issue, from.input)}`)
  return new TtsError(
    'configuration',
    `the configuration is not usable; in ${where}:\n${lines.join('\n')}`,
  )
}

/** One problem: key, what was found (unless it is a secret), what was wanted. */
function problem(issue: z.core.$ZodIssue, input: Tree): string {
  const key = issue.path.map(String).join('.') || '(top)'
  if (issue.code === 'unrecognized_keys') {
    const keys = issue.keys.map((name) =>
      /^[\w.-]{1,64}$/.test(name) ? name : '(a name that no key has)',
    )
    return `${key === '(top)' ? '' : `${key}.`}${keys.join(', ')}: no such key; docs/configuration.md lists them all`
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

/** Reads every `…_file` that stands for a secret. */
async function resolveSecrets(configuration: Configuration, base: string): Promise<Configuration> {
  const read = async (key: string, path: string | undefined): Promise<string | undefined> =>
    path === undefined ? undefined : readSecret(key, resolve(base, path))
  const providers = await Promise.all(
    Object.entries(configuration.providers).map(async ([id, provider]) => {
      const secret =
        provider.client_secret ??
        (await read(`providers.${id}.client_secret_file`, provider.client_secret_file))
      return [id, secret === undefined ? provider : { ...provider, client_secret: secret }] as const
    }),
  )
  const passphrase =
    configuration.ca.passphrase ??
    (await read('ca.passphrase_file', configuration.ca.passphrase_file))
  const masterKey =
    configuration.master_key ?? (await read('master_key_file', configuration.master_key_file))
  const url =
    configuration.store.url ?? (await read('store.url_file', configuration.store.url_file))
  if (url !== undefined && !/^postgres(ql)?:\/\//.test(url)) {
    throw new TtsError(
      'configuration',
      'store.url_file: the file holds no connection string; wanted: postgres://… or postgresql://…',
    )
  }
  return {
    ...configuration,
    providers: Object.fromEntries(providers),
    ca: passphrase === undefined ? configuration.ca : { ...configuration.ca, passphrase },
    store: url === undefined ? configuration.store : { ...configuration.store, url },
    ...(masterKey === undefined ? {} : { master_key: masterKey }),
  }
}

/** @throws {TtsError} `configuration` naming the key */
async function readSecret(key: string, path: string): Promise<string> {
  const bytes = await readPrivateFile(path, { maxBytes: MAX_SECRET_BYTES }).catch(
    (error: unknown) => {
      if (!(error instanceof TtsError)) throw error
      const { check, remedy } = error
      throw new TtsError('configuration', `${key}: ${error.message}`, {
        ...(check === undefined ? {} : { check }),
        ...(remedy === undefined ? {} : { remedy }),
        cause: error,
      })
    },
  )
  const text = bytes.toString('utf8').trim()
  if (text === '') throw new TtsError('configuration', `${key}: the file ${path} is empty`)
  return text
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
