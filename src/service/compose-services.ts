/** Creates the services with their plugins, and the SSH CA if a service needs it; see compose.ts. */
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { isolationProblem } from '../../plugins/executable/isolation.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import type { ServiceSettings } from '../config/service-schema.ts'
import { createServices, type Service } from '../domain/issuing/service.ts'
import { TtsError } from '../base/errors.ts'
import type { Log } from '../base/log.ts'
import { type Installation, openInstalledSshAuthority } from './installation.ts'

interface ServiceSource {
  readonly loaded: LoadedConfiguration
  readonly log: Log
}

export interface OpenedServices {
  readonly services: ReadonlyMap<string, Service>
  /** Undefined if no service issues SSH certificates. */
  readonly sshAuthority: SshAuthority | undefined
  /** Ends the background work of the plugins. */
  readonly closePlugins: () => void
}

/**
 * Opens all plugins. It runs each executable to get its parameters.
 *
 * @param options.makeAuthority create an SSH CA if one is needed and there is none
 * @param options.patience until when to wait for slow programs
 * @throws {TtsError} `configuration`
 */
export async function openServices(
  installation: Installation,
  options: { readonly makeAuthority: boolean; readonly patience: AbortSignal },
): Promise<OpenedServices> {
  // Before the plugins, which may take long to start: a reload that must fail should do so at once.
  const sshAuthority = needsSshAuthority(installation.loaded)
    ? await openInstalledSshAuthority(installation, options.makeAuthority)
    : undefined
  const services = await openPlugins(installation, options)
  const closePlugins = (): void => {
    for (const { plugin } of services.values()) plugin.close?.()
  }
  return { services, sshAuthority, closePlugins }
}

/**
 * Opens the plugins only, for which no CA is needed.
 *
 * @param options.patience see `createServices`
 * @throws {TtsError} `configuration`
 */
export async function openPlugins(
  { loaded, log }: ServiceSource,
  { patience }: { readonly patience?: AbortSignal },
): Promise<ReadonlyMap<string, Service>> {
  const { services: settings, ca, voms } = loaded.configuration
  checkExecutableUsers(settings)
  return createServices(settings, {
    endEntityLifetimeSeconds: ca.end_entity_lifetime_seconds,
    vos: Object.keys(voms.vos),
    log,
    patience,
  })
}

/** Whether a service issues SSH certificates. */
export function needsSshAuthority({ configuration }: LoadedConfiguration): boolean {
  return Object.values(configuration.services).some(({ plugin }) => plugin === 'ssh-certificate')
}

/** Refuses to start if an executable would run as root by mistake. This is checked before any program runs. */
function checkExecutableUsers(services: Readonly<Record<string, ServiceSettings>>): void {
  for (const [id, { executable }] of Object.entries(services)) {
    const problem = executable && isolationProblem(executable)
    if (problem)
      throw new TtsError(
        'configuration',
        `services.${id}.executable.${problem.key}: ${problem.message}`,
        { check: 'plugin_user', remedy: problem.remedy },
      )
  }
}
