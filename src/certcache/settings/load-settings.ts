/**
 * Loads the settings: file and environment, checked by the schema, with absolute paths and secrets read from their
 * files.
 */
import { existsSync, statSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { validationWords } from '../../../plugins/validation-words.ts'
import {
  configurationError,
  deepFreeze,
  type Environment,
  isTree,
  readSecret,
  readYaml,
  setByName,
  type Tree,
} from '../../config/settings-tree.ts'
import { TtsError } from '../../base/errors.ts'
import { homeDirectory } from '../../files/home-directory.ts'
import { trustGroup } from '../../files/trusted-group.ts'
import { refuseSharedSecret } from '../../files/private-file.ts'
import { isServiceLink } from '../../config/service-links.ts'
import { applyOldNames } from './environment.ts'
import { type CertcacheSettings, certcacheSchema } from './settings.ts'
import { storageNotes } from './state-place.ts'

/** The settings and their origin. */
export interface LoadedSettings {
  readonly settings: LoadedCertcacheSettings
  /** The settings file; undefined if there is none. */
  readonly path: string | undefined
  /** Environment variables that set a key, including old ones. */
  readonly overrides: readonly string[]
  /** Messages about ignored variables. */
  readonly notes: readonly string[]
}

/** Loaded settings: the state directory is set, paths are absolute, and every proxy has its outputs. */
export type LoadedCertcacheSettings = CertcacheSettings & {
  readonly state: { readonly directory: string; readonly key_file: string }
}

/** The environment and user of the process. */
export interface SettingsRuntime {
  readonly environment: Environment
  /** Numeric id of the user. */
  readonly uid: number
}

const PREFIX = 'CERTCACHE_'
const defaultPaths = ['certcache.yaml', '/etc/certcache/certcache.yaml']
/** Variables with our prefix that are not keys: for the command line, hooks, and the scripts for workers. */
const otherNames =
  /^CERTCACHE_(CONFIG|URL|SECRET|SECRET_FILE|PROXY_(NAME|FILE)|NOT_AFTER|(TEST|DEMO|WORKER)_.*)$/

/**
 * Loads the settings.
 *
 * @param path settings file; undefined: CERTCACHE_CONFIG, ./certcache.yaml, /etc/certcache/certcache.yaml, or none
 * @throws {TtsError} `configuration`; the message lists every problem
 */
export async function loadSettings(
  path: string | undefined,
  { environment, uid }: SettingsRuntime,
): Promise<LoadedSettings> {
  const file =
    path ??
    environment['CERTCACHE_CONFIG'] ??
    defaultPaths.find((candidate) => existsSync(candidate))
  const tree = file === undefined ? {} : readYaml(file)
  if (file !== undefined) refuseSharedSecrets(file, tree)
  const overrides = Object.keys(environment)
    .filter((name) => name.startsWith(PREFIX) && !otherNames.test(name))
    .filter((name) => environment[name] !== undefined && environment[name] !== '')
    .filter((name) => !isServiceLink(PREFIX, name, environment[name] ?? ''))
    .sort()
  for (const name of overrides) setByName(tree, name.slice(PREFIX.length), environment[name] ?? '')
  const old = applyOldNames(tree, environment)
  if (old.problems.length > 0)
    throw new TtsError(
      'configuration',
      `the environment is invalid:\n${old.problems.map((line) => `  ${line}`).join('\n')}`,
    )
  const result = certcacheSchema.safeParse(tree, { error: validationWords })
  if (!result.success) {
    const reference = 'docs/certcache-configuration.md'
    throw configurationError(result.error, { path: file, prefix: PREFIX, input: tree, reference })
  }
  const base = file === undefined ? process.cwd() : dirname(resolve(file))
  trustGroup(result.data.trusted_group)
  const settings = await withSecrets(withPaths(result.data, base, { environment, uid }))
  const names = [...overrides, ...old.used]
  const notes = [
    ...old.notes,
    ...(await storageNotes(old.missingStorage, settings.state.directory)),
  ]
  return { settings: deepFreeze(settings), path: file, overrides: names, notes }
}

/** Keys with a secret value. */
const secretKeys = [
  ['source', 'token'],
  ['source', 'client_secret'],
  ['source', 'refresh_token'],
  ['source', 'renewal_secret'],
  ['access', 'secret'],
  ['state', 'url'],
] as const

/** Refuses a settings file with secrets that other users can read. */
function refuseSharedSecrets(path: string, tree: Tree): void {
  const hasSecret = secretKeys.some(([section, key]) => {
    const values = tree[section]
    return isTree(values) && values[key] !== undefined
  })
  if (hasSecret) refuseSharedSecret(path, statSync(path))
}

/** Makes paths absolute; `base` is the directory of the settings file. Adds the default outputs. */
function withPaths(
  settings: CertcacheSettings,
  base: string,
  runtime: SettingsRuntime,
): LoadedCertcacheSettings {
  const { service, source, tls, state, proxies, listen, access } = settings
  const directory = resolve(base, state.directory ?? defaultDirectory(runtime))
  // With the state in a database and no configured directory, files are written only where the settings say so.
  const hasDefaultOutput =
    state.directory !== undefined || (state.url ?? state.url_file) === undefined
  const entries = Object.entries(proxies).map(([name, proxy]) => {
    const defaults = hasDefaultOutput ? [defaultOutput(join(directory, name))] : []
    const outputs = (proxy.outputs ?? defaults).map((output) => ({
      ...output,
      path: resolve(base, output.path),
    }))
    return [name, { ...proxy, outputs }] as const
  })
  return {
    ...settings,
    service: absolute(base, service, ['ca_file']),
    tls: absolute(base, tls, ['ca_file', 'ca_directory']),
    source: absolute(base, source, [
      'token_file',
      'client_secret_file',
      'refresh_token_file',
      'renewal_secret_file',
    ]),
    state: {
      ...absolute(base, state, ['url_file']),
      directory,
      key_file: resolve(base, state.key_file ?? join(directory, 'state.key')),
    },
    proxies: Object.fromEntries(entries),
    listen: absolute(base, listen, ['socket', 'tls_certificate_file', 'tls_key_file']),
    access: absolute(base, access, ['secret_file', 'client_ca_file']),
  }
}

const defaultOutput = (path: string) =>
  ({ path, mode: '0600', format: 'pem', follow_symlink: false }) as const

function absolute<Section extends object>(
  base: string,
  section: Section,
  keys: readonly (keyof Section)[],
): Section {
  const paths = keys.flatMap((key) => {
    const path = section[key]
    return typeof path === 'string' ? [[key, resolve(base, path)] as const] : []
  })
  return { ...section, ...Object.fromEntries(paths) }
}

function defaultDirectory({ environment, uid }: SettingsRuntime): string {
  if (uid === 0) return '/var/lib/certcache'
  const home = homeDirectory(environment)
  const base = environment['XDG_STATE_HOME'] || (home && join(home, '.local/state'))
  if (base) return join(base, 'certcache')
  throw new TtsError(
    'configuration',
    `state.directory: must be set, because user id ${uid} has no home directory`,
    { remedy: 'Set state.directory to a directory that this user can write.' },
  )
}

/** Reads secrets from their files. `token_file` stays a path, because it is read again each time. */
async function withSecrets(settings: LoadedCertcacheSettings): Promise<LoadedCertcacheSettings> {
  const { source, state, access } = settings
  const read = async (key: string, value: string | undefined, path: string | undefined) =>
    value ?? (path === undefined ? undefined : await readSecret(key, path))
  const [client, refresh, renewal, secret, url] = await Promise.all([
    read('source.client_secret_file', source.client_secret, source.client_secret_file),
    read('source.refresh_token_file', source.refresh_token, source.refresh_token_file),
    read('source.renewal_secret_file', source.renewal_secret, source.renewal_secret_file),
    read('access.secret_file', access.secret, access.secret_file),
    read('state.url_file', state.url, state.url_file),
  ])
  if (url !== undefined && !/^postgres(ql)?:\/\//.test(url))
    throw new TtsError(
      'configuration',
      'state.url_file: the file must hold a connection string that begins with postgres:// or postgresql://',
    )
  if (secret !== undefined && secret.length < 16)
    throw new TtsError(
      'configuration',
      'access.secret_file: the secret must have at least 16 characters',
    )
  return {
    ...settings,
    source: {
      ...source,
      client_secret: client,
      refresh_token: refresh,
      renewal_secret: renewal,
    },
    state: { ...state, url },
    access: { ...access, secret },
  }
}
