/** The configured services: plugin, limits and authorisation rules. */
import type { Plugin } from '../../../plugins/plugin.ts'
import { openPlugin } from '../../../plugins/registry.ts'
import { X509_PROXY } from '../../../plugins/x509-proxy/index.ts'
import type { ServiceSettings } from '../../config/service-schema.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'

export interface Service {
  readonly id: string
  readonly plugin: Plugin
  /** False while the service is disabled or its plugin cannot be used. */
  readonly enabled: boolean
  /** Name for users; undefined when not configured. */
  readonly name: string | undefined
  readonly description: string
  /** Undefined for plugins that do not make certificates. */
  readonly lifetimes:
    { readonly defaultSeconds: number; readonly maximumSeconds: number } | undefined
  readonly authz: ServiceSettings['authz']
  /** Sort key in lists, lowest first; undefined sorts last. */
  readonly priority: number | undefined
  /** How many valid credentials an identity may have; Infinity means no limit. */
  readonly credentialLimit: number
  readonly deletion: Deletion
  /** Whether the plugin gets the caller's access token. */
  readonly passesAccessToken: boolean
  /** Whether the plugin may return the state of an existing credential. */
  readonly allowsSameState: boolean
}

/** What DELETE of the WaTTS API does. */
export interface Deletion {
  /** Credentials of this age or older are revoked (Infinity: never); younger ones are only removed from the list. */
  readonly revokesAfterSeconds: number
}

/**
 * Long enough for clients that delete a credential right after they fetched it, and short enough not to surprise users.
 */
const DELETION_GRACE_SECONDS = 60

export interface ServiceHost {
  readonly endEntityLifetimeSeconds: number
  /** Names of the VOs whose attributes are issued. */
  readonly vos: readonly string[]
  readonly log: Log
  /** See `PluginHost`. */
  readonly patience?: AbortSignal | undefined
}

/**
 * Creates the configured services, by id. A plugin that cannot be used disables only its own service.
 *
 * @param host.endEntityLifetimeSeconds lifetime of the EECs that sign proxies
 * @param host.patience until when the running service waits for slow plugins; undefined in commands
 * @throws {TtsError} `configuration` (a default lifetime exceeds its maximum, a proxy could outlive its EEC, or
 *   lifetimes are set for a plugin without certificates)
 */
export async function createServices(
  settings: Readonly<Record<string, ServiceSettings>>,
  host: ServiceHost,
): Promise<ReadonlyMap<string, Service>> {
  const opened = await Promise.all(
    Object.entries(settings).map(async ([id, service]) => ({
      id,
      service,
      plugin: await openPluginOf(id, service, host),
    })),
  )
  try {
    const services = opened.map(({ id, service, plugin }) => createService(id, service, plugin))
    for (const service of services) checkProxyLifetime(service, host.endEntityLifetimeSeconds)
    return new Map(services.map((service) => [service.id, service]))
  } catch (error) {
    // A reload with this configuration fails, and the service goes on without these plugins.
    for (const { plugin } of opened) plugin.close?.()
    throw error
  }
}

/** With less than a day between them, nearly every request for the longest proxy would need a new EEC. */
const DAY_SECONDS = 86_400

function checkProxyLifetime(service: Service, endEntityLifetimeSeconds: number): void {
  const maximumSeconds = service.lifetimes?.maximumSeconds ?? 0
  if (service.plugin.id !== X509_PROXY || maximumSeconds + DAY_SECONDS <= endEntityLifetimeSeconds)
    return
  throw new TtsError(
    'configuration',
    `services.${service.id}.maximum_lifetime_seconds: found ${maximumSeconds}; must be at least a day less than ca.end_entity_lifetime_seconds, ${endEntityLifetimeSeconds}, because a proxy cannot outlive its EEC`,
  )
}

async function openPluginOf(
  id: string,
  { plugin, executable, settings }: ServiceSettings,
  { log, patience, vos }: ServiceHost,
): Promise<Plugin> {
  const about = { service: id, executable, settings, vos }
  return openPlugin(plugin, about, { log: eventLog(log), patience })
}

function createService(id: string, settings: ServiceSettings, plugin: Plugin): Service {
  const { executable } = settings
  return {
    id,
    plugin,
    get enabled() {
      return settings.enabled && plugin.problem === undefined
    },
    name: settings.name,
    description: settings.description ?? plugin.description,
    lifetimes: lifetimesOf(id, settings, plugin),
    authz: settings.authz,
    priority: settings.priority,
    credentialLimit:
      settings.credential_limit === 'infinite' ? Infinity : settings.credential_limit,
    deletion: deletionOf(settings, plugin),
    passesAccessToken: executable?.pass_access_token ?? false,
    allowsSameState: executable?.allow_same_state ?? false,
  }
}

function lifetimesOf(id: string, settings: ServiceSettings, plugin: Plugin): Service['lifetimes'] {
  const { default_lifetime_seconds: defaultSetting, maximum_lifetime_seconds: maximumSetting } =
    settings
  if (plugin.lifetimes === undefined) {
    if (defaultSetting === undefined && maximumSetting === undefined) return undefined
    const key =
      defaultSetting === undefined ? 'maximum_lifetime_seconds' : 'default_lifetime_seconds'
    throw new TtsError(
      'configuration',
      `services.${id}.${key}: must not be set, because the plugin ${plugin.id} does not make certificates`,
    )
  }
  const maximumSeconds = maximumSetting ?? plugin.lifetimes.maximumSeconds
  const defaultSeconds = defaultSetting ?? Math.min(plugin.lifetimes.defaultSeconds, maximumSeconds)
  if (defaultSeconds > maximumSeconds) {
    throw new TtsError(
      'configuration',
      `services.${id}.default_lifetime_seconds: found ${defaultSeconds}; must be at most maximum_lifetime_seconds, ${maximumSeconds}`,
    )
  }
  return { defaultSeconds, maximumSeconds }
}

function deletionOf({ revoke_on_delete: configured }: ServiceSettings, plugin: Plugin): Deletion {
  if (configured === 'at_once') return { revokesAfterSeconds: 0 }
  if (configured === 'never') return { revokesAfterSeconds: Infinity }
  if (configured !== undefined) return { revokesAfterSeconds: configured.after_seconds }
  return { revokesAfterSeconds: plugin.id.startsWith('x509-') ? DELETION_GRACE_SECONDS : 0 }
}

/** Plugins log an event name; it becomes the `event` field, and the message in words. */
function eventLog(log: Log) {
  const write =
    (level: 'info' | 'warn' | 'error') =>
    (fields: object, event: string): void =>
      log[level]({ ...fields, event }, event.replaceAll(/[._]/g, ' '))
  return { info: write('info'), warn: write('warn'), error: write('error') }
}
