/** A service as the configuration made it: the plugin, its bounds, and the rules of who may use it. */
import type { Plugin } from '../../../plugins/plugin.ts'
import { openPlugin } from '../../../plugins/registry.ts'
import { x509Proxy } from '../../../plugins/x509-proxy/index.ts'
import type { ServiceSettings } from '../../config/service-schema.ts'
import { TtsError } from '../../base/errors.ts'
import type { Log } from '../../base/log.ts'

export interface Service {
  readonly id: string
  readonly plugin: Plugin
  /** False when it is switched off, and when its plugin cannot be used. */
  readonly enabled: boolean
  readonly description: string
  /** Undefined for plugins that make no certificates. */
  readonly lifetimes:
    { readonly defaultSeconds: number; readonly maximumSeconds: number } | undefined
  readonly authz: ServiceSettings['authz']
  /** Place in lists, the lowest first; undefined ones last. */
  readonly priority: number | undefined
  /** How many credentials an identity may have at once; Infinity for no limit. */
  readonly credentialLimit: number
  readonly deletion: Deletion
  /** Whether the plugin gets the caller's access token. */
  readonly passesAccessToken: boolean
  /** Whether the plugin may answer with the state of a credential that is there. */
  readonly allowsSameState: boolean
}

/** What DELETE of the WaTTS API does: revoke what is at least so old (Infinity: never), and forget the rest. */
export interface Deletion {
  readonly revokesAfterSeconds: number
}

/** Long enough for clients that delete what they have just picked up, and short enough to be no surprise. */
const DELETION_GRACE_SECONDS = 60

/**
 * The services of a configuration by id. A plugin that cannot be used disables its service, and no more.
 *
 * @param host.endEntityLifetimeSeconds life of the EECs under which proxies stand
 * @throws {TtsError} `configuration` when a default lifetime is over its maximum, or a proxy's over its EEC's
 */
export async function createServices(
  settings: Readonly<Record<string, ServiceSettings>>,
  host: { readonly endEntityLifetimeSeconds: number; readonly log: Log },
): Promise<ReadonlyMap<string, Service>> {
  const services = await Promise.all(
    Object.entries(settings).map(([id, service]) => createService(id, service, host)),
  )
  for (const service of services) checkProxyLifetime(service, host.endEntityLifetimeSeconds)
  return new Map(services.map((service) => [service.id, service]))
}

/** With less than a day between them, nearly every request for the longest proxy would need a new EEC. */
const DAY_SECONDS = 86_400

function checkProxyLifetime(service: Service, endEntityLifetimeSeconds: number): void {
  const maximumSeconds = service.lifetimes?.maximumSeconds ?? 0
  if (
    service.plugin.id !== x509Proxy.id ||
    maximumSeconds + DAY_SECONDS <= endEntityLifetimeSeconds
  )
    return
  throw new TtsError(
    'configuration',
    `services.${service.id}.maximum_lifetime_seconds: found ${maximumSeconds}; must be at least a day less than ca.end_entity_lifetime_seconds, ${endEntityLifetimeSeconds}, because no proxy outlives its EEC`,
  )
}

async function createService(
  id: string,
  settings: ServiceSettings,
  { log }: { readonly log: Log },
): Promise<Service> {
  const { executable, settings: ssh } = settings
  const plugin = await openPlugin(
    settings.plugin,
    { service: id, executable, settings: ssh },
    { log: eventLog(log) },
  )
  return {
    id,
    plugin,
    enabled: settings.enabled && plugin.problem === undefined,
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
  const { default_lifetime_seconds: wanted, maximum_lifetime_seconds: most } = settings
  if (plugin.lifetimes === undefined) {
    if (wanted === undefined && most === undefined) return undefined
    const key = wanted === undefined ? 'maximum_lifetime_seconds' : 'default_lifetime_seconds'
    throw new TtsError(
      'configuration',
      `services.${id}.${key}: goes with certificates, and the plugin ${plugin.id} makes none`,
    )
  }
  const maximumSeconds = most ?? plugin.lifetimes.maximumSeconds
  const defaultSeconds = wanted ?? Math.min(plugin.lifetimes.defaultSeconds, maximumSeconds)
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

/** Plugins name an event; it stands in the log as ours do. */
function eventLog(log: Log) {
  const write =
    (level: 'info' | 'warn' | 'error') =>
    (fields: object, event: string): void =>
      log[level]({ ...fields, event }, event.replaceAll(/[._]/g, ' '))
  return { info: write('info'), warn: write('warn'), error: write('error') }
}
