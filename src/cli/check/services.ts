/** The checks of the services and of the relying services. */
import type { LoadedConfiguration } from '../../config/load.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { createSiteKeys } from '../../relying/site-keys.ts'
import { type Check, failure } from './check.ts'

/** Checks that the keys of the relying services can be loaded, all at the same time. */
export async function relyingChecks(
  { configuration }: LoadedConfiguration,
  now: () => Date,
): Promise<Check[]> {
  const checks = Object.entries(configuration.relying_services).map(
    async ([id, settings]): Promise<Check> => {
      const check = `relying service ${id}`
      const keys = createSiteKeys({ id, settings, now, fetch })
      try {
        await keys.refresh()
        return { check, state: 'ok', detail: `${settings.base_url}, keys loaded` }
      } catch (error) {
        return {
          ...failure(check, error),
          detail: `its keys cannot be loaded from ${settings.keys_location}`,
        }
      } finally {
        keys.close()
      }
    },
  )
  return Promise.all(checks)
}

/** Checks that each service can be used by somebody. */
export function serviceChecks(services: ReadonlyMap<string, Service>): Check[] {
  return [...services.values()].map((service): Check => {
    const open = service.enabled && service.authz.allow.length > 0
    const { problem } = service.plugin
    return {
      check: `service ${service.id}`,
      state: open ? 'ok' : problem === undefined ? 'warning' : 'failed',
      detail: open
        ? `${service.plugin.id}, ${service.authz.allow.length} allow and ${service.authz.forbid.length} forbid rule(s)`
        : service.enabled
          ? 'there is no allow rule, so every user is refused'
          : (problem?.detail ?? 'disabled'),
      remedy:
        problem?.remedy ??
        (service.enabled
          ? `Add a rule to services.${service.id}.authz.allow.`
          : `Set services.${service.id}.enabled to true.`),
    }
  })
}
