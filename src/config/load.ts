/**
 * Loads the configuration at start: file and environment, checked by the schema, then frozen. The error lists every
 * problem with its key, the value found and the requirement.
 */
import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { validationWords } from '../../plugins/validation-words.ts'
import { TtsError } from '../base/errors.ts'
import { otherOwnerOf } from '../files/data-directory.ts'
import { homeDirectory } from '../files/home-directory.ts'
import { trustGroup } from '../files/trusted-group.ts'
import { isWebhook } from './delegation-schema.ts'
import { limitsOfOneReplica } from './replica-share.ts'
import { type Configuration, configurationSchema } from './schema.ts'
import {
  configurationError,
  deepFreeze,
  type Environment,
  readSecret,
  readYaml,
  setByName,
} from './settings-tree.ts'
import { isServiceLink } from './service-links.ts'

export type { Environment } from './settings-tree.ts'

/** A configuration and its sources. */
export interface LoadedConfiguration {
  readonly configuration: Configuration
  /** Path of the file; undefined when there was none. */
  readonly path: string | undefined
  /** Environment variables that set a key. */
  readonly overrides: readonly string[]
  /** Absolute path of the data directory. */
  readonly dataDirectory: string
}

/** Default paths of the configuration file. */
const defaultPaths = ['tts.yaml', '/etc/tts/tts.yaml']
/** Environment variables with our prefix that are not configuration keys. */
const otherNames = /^TTS_(CONFIG|TEST_.*|URL|DEMO_.*)$/

/**
 * Loads the configuration.
 *
 * @param path file from the command line; undefined: TTS_CONFIG, ./tts.yaml, /etc/tts/tts.yaml, or no file
 * @throws {TtsError} `configuration`, listing every problem
 */
export async function loadConfiguration(
  path: string | undefined,
  environment: Environment,
): Promise<LoadedConfiguration> {
  const file =
    path ?? environment['TTS_CONFIG'] ?? defaultPaths.find((candidate) => existsSync(candidate))
  const settings = file === undefined ? {} : readYaml(file)
  const overrides = Object.keys(environment)
    .filter((name) => name.startsWith('TTS_') && !otherNames.test(name))
    .filter((name) => environment[name] !== undefined && environment[name] !== '')
    .filter((name) => !isServiceLink('TTS_', name, environment[name] ?? ''))
    .sort()
  for (const name of overrides)
    setByName(settings, name.slice('TTS_'.length), environment[name] ?? '')
  const result = configurationSchema.safeParse(settings, { error: validationWords })
  if (!result.success) {
    const reference = 'docs/configuration.md'
    throw configurationError(result.error, {
      path: file,
      prefix: 'TTS_',
      input: settings,
      reference,
    })
  }
  const base = file === undefined ? process.cwd() : dirname(resolve(file))
  const dataDirectory = resolve(base, result.data.data_dir ?? defaultDataDirectory(environment))
  const trustFormer = trustGroup(
    result.data.trusted_group,
    otherOwnerOf(dataDirectory) ? 'later' : 'now',
  )
  const resolved = await resolveSecrets(result.data, base).catch((error: unknown) => {
    // After a reload that is refused, the service goes on as before.
    trustFormer()
    throw error
  })
  const configuration = {
    ...resolved,
    tls: resolveAuthorityPaths(resolved.tls, base),
    limits: limitsOfOneReplica(resolved.limits),
  }
  return { configuration: deepFreeze(configuration), path: file, overrides, dataDirectory }
}

function defaultDataDirectory(environment: Environment): string {
  const home = homeDirectory(environment)
  const share = environment['XDG_DATA_HOME'] || (home && resolve(home, '.local/share'))
  if (share) return resolve(share, 'tts')
  throw new TtsError(
    'configuration',
    `data_dir: must be set, because user id ${process.getuid?.() ?? '?'} has no home directory`,
    { remedy: 'Set data_dir (TTS_DATA_DIR) to a directory that this user can write.' },
  )
}

function resolveAuthorityPaths(
  { ca_file: file, ca_directory: directory }: Configuration['tls'],
  base: string,
): Configuration['tls'] {
  return {
    ...(file === undefined ? {} : { ca_file: resolve(base, file) }),
    ...(directory === undefined ? {} : { ca_directory: resolve(base, directory) }),
  }
}

interface ClientSecret {
  readonly client_secret?: string | undefined
  readonly client_secret_file?: string | undefined
}

/** Reads all `…_file` settings that contain a secret. */
async function resolveSecrets(configuration: Configuration, base: string): Promise<Configuration> {
  const read = async (key: string, path: string | undefined): Promise<string | undefined> =>
    path === undefined ? undefined : readSecret(key, resolve(base, path))
  const secretOf = async (key: string, client: ClientSecret): Promise<string | undefined> =>
    client.client_secret ?? read(`${key}.client_secret_file`, client.client_secret_file)
  const providers = await Promise.all(
    Object.entries(configuration.providers).map(async ([id, provider]) => {
      const secret = await secretOf(`providers.${id}`, provider)
      const { delegation } = provider
      const delegationSecret =
        delegation && (await secretOf(`providers.${id}.delegation`, delegation))
      const resolved = {
        ...provider,
        ...(secret === undefined ? {} : { client_secret: secret }),
        ...(delegation === undefined || delegationSecret === undefined
          ? {}
          : { delegation: { ...delegation, client_secret: delegationSecret } }),
      }
      return [id, resolved] as const
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
      'store.url_file: the file must contain a connection string, postgres://… or postgresql://…',
    )
  }
  const { notice } = configuration.delegations
  const webhook =
    notice.webhook_url ??
    (await read('delegations.notice.webhook_url_file', notice.webhook_url_file))
  if (webhook !== undefined && !isWebhook(webhook)) {
    throw new TtsError(
      'configuration',
      'delegations.notice.webhook_url_file: the file must contain an https URL (http only for loopback addresses)',
    )
  }
  return {
    ...configuration,
    providers: Object.fromEntries(providers),
    delegations: {
      ...configuration.delegations,
      notice: webhook === undefined ? notice : { ...notice, webhook_url: webhook },
    },
    ca: passphrase === undefined ? configuration.ca : { ...configuration.ca, passphrase },
    store: url === undefined ? configuration.store : { ...configuration.store, url },
    ...(masterKey === undefined ? {} : { master_key: masterKey }),
  }
}
