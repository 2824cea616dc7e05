/**
 * File + environment -> schema -> frozen configuration, once, at start. Every problem is listed with its key, what was
 * found and what was wanted.
 */
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, resolve } from 'node:path'
import { TtsError } from '../base/errors.ts'
import { isWebhook } from './delegation-schema.ts'
import { type Configuration, configurationSchema } from './schema.ts'
import {
  configurationError,
  deepFreeze,
  type Environment,
  readSecret,
  readYaml,
  setByName,
} from './settings-tree.ts'

export type { Environment } from './settings-tree.ts'

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
  for (const name of overrides)
    setByName(fromFile, name.slice('TTS_'.length), environment[name] ?? '')
  const result = configurationSchema.safeParse(fromFile)
  if (!result.success) {
    const reference = 'docs/configuration.md'
    throw configurationError(result.error, {
      path: found,
      prefix: 'TTS_',
      input: fromFile,
      reference,
    })
  }
  const base = found === undefined ? process.cwd() : dirname(resolve(found))
  const configuration = await resolveSecrets(result.data, base)
  const dataDirectory = resolve(base, configuration.data_dir ?? defaultDataDirectory(environment))
  return { configuration: deepFreeze(configuration), path: found, overrides, dataDirectory }
}

function defaultDataDirectory(environment: Environment): string {
  return resolve(environment['XDG_DATA_HOME'] || resolve(homedir(), '.local/share'), 'tts')
}

interface ClientSecret {
  readonly client_secret?: string | undefined
  readonly client_secret_file?: string | undefined
}

/** Reads every `…_file` that stands for a secret. */
async function resolveSecrets(configuration: Configuration, base: string): Promise<Configuration> {
  const read = async (key: string, path: string | undefined): Promise<string | undefined> =>
    path === undefined ? undefined : readSecret(key, resolve(base, path))
  const secretOf = async (key: string, client: ClientSecret): Promise<string | undefined> =>
    client.client_secret ?? read(`${key}.client_secret_file`, client.client_secret_file)
  const providers = await Promise.all(
    Object.entries(configuration.providers).map(async ([id, provider]) => {
      const secret = await secretOf(`providers.${id}`, provider)
      const { delegation } = provider
      const ours = delegation && (await secretOf(`providers.${id}.delegation`, delegation))
      const read = {
        ...provider,
        ...(secret === undefined ? {} : { client_secret: secret }),
        ...(delegation === undefined || ours === undefined
          ? {}
          : { delegation: { ...delegation, client_secret: ours } }),
      }
      return [id, read] as const
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
      'store.url_file: the file holds no connection string; it must be postgres://… or postgresql://…',
    )
  }
  const { notice } = configuration.delegations
  const webhook =
    notice.webhook_url ??
    (await read('delegations.notice.webhook_url_file', notice.webhook_url_file))
  if (webhook !== undefined && !isWebhook(webhook)) {
    throw new TtsError(
      'configuration',
      'delegations.notice.webhook_url_file: the file holds no https URL (http only for this machine)',
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
