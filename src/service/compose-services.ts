/** Creates the services with their plugins, and the SSH CA if a service needs it; see compose.ts. */
import { randomBytes } from 'node:crypto'
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { isolationProblem } from '../../plugins/executable/isolation.ts'
import type { LoadedConfiguration } from '../config/load.ts'
import type { ServiceSettings } from '../config/service-schema.ts'
import { createServices, type Service } from '../domain/issuing/service.ts'
import { TtsError } from '../base/errors.ts'
import {
  initSshAuthorityFiles,
  openSshAuthorityFiles,
  sshAuthorityExists,
} from '../files/ssh-authority-files.ts'
import type { Log } from '../base/log.ts'

interface ServiceSource {
  readonly loaded: LoadedConfiguration
  readonly log: Log
}

export interface OpenedServices {
  readonly services: ReadonlyMap<string, Service>
  /** Undefined if no service issues SSH certificates. */
  readonly sshAuthority: SshAuthority | undefined
}

/**
 * Opens all plugins. It runs each executable to get its parameters.
 *
 * @param options.makeAuthority create an SSH CA if one is needed and there is none
 * @throws {TtsError} `configuration`
 */
export async function openServices(
  { loaded, log }: ServiceSource,
  options: { readonly makeAuthority: boolean },
): Promise<OpenedServices> {
  const services = await openPlugins({ loaded, log })
  const sshAuthority = needsSshAuthority(loaded)
    ? await openOrCreate(loaded, { log, mayCreate: options.makeAuthority })
    : undefined
  return { services, sshAuthority }
}

/**
 * Opens the plugins only, for which no CA is needed.
 *
 * @throws {TtsError} `configuration`
 */
export async function openPlugins({
  loaded,
  log,
}: ServiceSource): Promise<ReadonlyMap<string, Service>> {
  const { services: settings, ca } = loaded.configuration
  checkExecutableUsers(settings)
  return createServices(settings, {
    endEntityLifetimeSeconds: ca.end_entity_lifetime_seconds,
    log,
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

async function openOrCreate(
  { configuration, dataDirectory }: LoadedConfiguration,
  { log, mayCreate }: { readonly log: Log; readonly mayCreate: boolean },
): Promise<SshAuthority> {
  const options = { dataDirectory, passphrase: configuration.ca.passphrase, randomBytes }
  if (sshAuthorityExists(dataDirectory) || !mayCreate) return openSshAuthorityFiles(options)
  const authority = await initSshAuthorityFiles(options, 'ed25519')
  log.info({ event: 'ssh-ca.made', keyKind: authority.publicKey.kind }, 'created a new SSH CA')
  return authority
}
