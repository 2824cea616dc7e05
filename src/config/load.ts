/**
 * File + environment -> schema -> frozen configuration, once, at start. Every problem is listed with its key, what was
 * found and what was wanted.
 */
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { parse as parseYaml } from 'yaml'
import type { z } from 'zod'
import { TtsError } from '../errors.ts'
import { readPrivateFile } from '../files/private-file.ts'
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
/** Environment names with our prefix that are not keys of the configuration. */
const otherNames = /^TTS_(CONFIG|TEST_.*|URL|DEMO_.*)$/

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
    .filter((name) => name.startsWith('TTS_') && !otherNames.test(name) && environment[name] !== '')
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
    if (text.length > MAX_FILE_BYTES) throw new Error(`over ${MAX_FILE_BYTES} bytes`)
    parsed = parseYaml(text, { maxAliasCount: 100 }) ?? {}
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'unreadable'
    throw new TtsError('configuration', `the configuration file ${path} cannot be read: ${why}`, {
      cause,
    })
  }
  if (!isTree(parsed))
    throw new TtsError('configuration', `${path}: wanted a mapping of keys at the top`)
  return parsed
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
  const parsed = isSecretKey(last) ? value : yamlScalar(value)
  Object.defineProperty(place, last, {
    value: parsed,
    enumerable: true,
    configurable: true,
    writable: true,
  })
}

function yamlScalar(value: string): unknown {
  try {
    return parseYaml(value, { maxAliasCount: 0 }) as unknown
  } catch {
    return value
  }
}

const isSecretKey = (key: string): boolean => /(secret|passphrase|master_key|url|_file)$/.test(key)

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
    return `${key === '(top)' ? '' : `${key}.`}${issue.keys.join(', ')}: no such key; docs/configuration.md lists them all`
  }
  const found = issue.path.reduce<unknown>(
    (place, part) =>
      isTree(place) || Array.isArray(place) ? (place as Tree)[String(part)] : undefined,
    input,
  )
  const hidden = issue.path.some(
    (part) => isSecretKey(String(part)) && !String(part).endsWith('_file'),
  )
  const shown =
    found === undefined
      ? 'nothing'
      : hidden
        ? 'a value'
        : (JSON.stringify(found) ?? 'a value').slice(0, 80)
  return `${key}: found ${shown}; ${issue.message}`
}

/** Reads every `…_file` that stands for a secret. */
async function resolveSecrets(configuration: Configuration, base: string): Promise<Configuration> {
  const read = async (path: string | undefined): Promise<string | undefined> =>
    path === undefined
      ? undefined
      : (await readPrivateFile(resolve(base, path), { maxBytes: 64 * 1024 }))
          .toString('utf8')
          .trim()
  const providers = await Promise.all(
    Object.entries(configuration.providers).map(async ([id, provider]) => {
      const secret = provider.client_secret ?? (await read(provider.client_secret_file))
      return [id, secret === undefined ? provider : { ...provider, client_secret: secret }] as const
    }),
  )
  const passphrase = configuration.ca.passphrase ?? (await read(configuration.ca.passphrase_file))
  const masterKey = configuration.master_key ?? (await read(configuration.master_key_file))
  const url = configuration.store.url ?? (await read(configuration.store.url_file))
  return {
    ...configuration,
    providers: Object.fromEntries(providers),
    ca: passphrase === undefined ? configuration.ca : { ...configuration.ca, passphrase },
    store: url === undefined ? configuration.store : { ...configuration.store, url },
    ...(masterKey === undefined ? {} : { master_key: masterKey }),
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const child of Object.values(value)) deepFreeze(child)
    Object.freeze(value)
  }
  return value
}
