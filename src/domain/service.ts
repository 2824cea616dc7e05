/** A service as the configuration made it: the plugin, its bounds, and the rules of who may use it. */
import type { Plugin } from '../../plugins/plugin.ts'
import { plugins } from '../../plugins/registry.ts'
import { x509Proxy } from '../../plugins/x509-proxy/index.ts'
import type { ServiceSettings } from '../config/service-schema.ts'
import { TtsError } from '../errors.ts'

export interface Service {
  readonly id: string
  readonly plugin: Plugin
  readonly enabled: boolean
  readonly description: string
  readonly lifetimes: { readonly defaultSeconds: number; readonly maximumSeconds: number }
  readonly authz: ServiceSettings['authz']
}

/**
 * The services of a configuration by id.
 *
 * @param endEntityLifetimeSeconds life of the EECs under which proxies stand
 * @throws {TtsError} `configuration` when a default lifetime is over its maximum, or a proxy's over its EEC's
 */
export function createServices(
  settings: Readonly<Record<string, ServiceSettings>>,
  endEntityLifetimeSeconds: number,
): ReadonlyMap<string, Service> {
  const services = Object.entries(settings).map(([id, service]) => createService(id, service))
  for (const service of services) checkProxyLifetime(service, endEntityLifetimeSeconds)
  return new Map(services.map((service) => [service.id, service]))
}

/** With less than a day between them, nearly every request for the longest proxy would need a new EEC. */
const DAY_SECONDS = 86_400

function checkProxyLifetime(service: Service, endEntityLifetimeSeconds: number): void {
  const { maximumSeconds } = service.lifetimes
  if (
    service.plugin.id !== x509Proxy.id ||
    maximumSeconds + DAY_SECONDS <= endEntityLifetimeSeconds
  )
    return
  throw new TtsError(
    'configuration',
    `services.${service.id}.maximum_lifetime_seconds: found ${maximumSeconds}; wanted at least a day less than ca.end_entity_lifetime_seconds, ${endEntityLifetimeSeconds}, because no proxy outlives its EEC`,
  )
}

function createService(id: string, settings: ServiceSettings): Service {
  const plugin = plugins.get(settings.plugin)
  if (!plugin)
    throw new TtsError('configuration', `services.${id}.plugin: no plugin ${settings.plugin}`)
  const maximumSeconds = settings.maximum_lifetime_seconds ?? plugin.lifetimes.maximumSeconds
  const defaultSeconds =
    settings.default_lifetime_seconds ?? Math.min(plugin.lifetimes.defaultSeconds, maximumSeconds)
  if (defaultSeconds > maximumSeconds) {
    throw new TtsError(
      'configuration',
      `services.${id}.default_lifetime_seconds: found ${defaultSeconds}; wanted at most maximum_lifetime_seconds, ${maximumSeconds}`,
    )
  }
  return {
    id,
    plugin,
    enabled: settings.enabled,
    description: settings.description ?? plugin.description,
    lifetimes: { defaultSeconds, maximumSeconds },
    authz: settings.authz,
  }
}
