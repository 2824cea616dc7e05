/** `tts check`: checks configuration, CA, database, providers, clients, services, and optionally one token. */
import { Command } from 'commander'
import type { LoadedConfiguration } from '../../config/load.ts'
import type { Service } from '../../domain/issuing/service.ts'
import { openPlugins } from '../../service/compose-services.ts'
import { ruleClaimsByProvider } from '../../service/rule-claims.ts'
import { createTokenVerifier } from '../../tokens/verify-token.ts'
import { waitSeconds } from '../duration.ts'
import { exitCodes } from '../exit-codes.ts'
import {
  loadedConfigurationFor,
  type OperatorOptions,
  quietLog,
  type Terminal,
} from '../terminal.ts'
import { authorityChecks } from './authority.ts'
import { type Check, checkLines, failure } from './check.ts'
import { dataDirectoryChecks } from './data-directory.ts'
import { isolationChecks } from './isolation.ts'
import { listenerChecks } from './listener.ts'
import { providerChecks } from './providers.ts'
import { relyingChecks, serviceChecks } from './services.ts'
import { readTokenToCheck, tokenChecks, type TokenToCheck } from './token.ts'

interface CheckOptions extends OperatorOptions {
  readonly token?: boolean
  readonly tokenFile?: string
  readonly wait: number
}

export function checkCommand(terminal: Terminal): Command {
  return new Command('check')
    .description(
      'check configuration, CA, database, providers, clients and services, and optionally an access token',
    )
    .option('--token', 'examine the access token found by bearer token discovery (BEARER_TOKEN, …)')
    .option('--token-file <FILE>', 'examine the access token in this file')
    .option('--wait <SECONDS>', 'time limit for the providers, in seconds', waitSeconds, 10)
    .addHelpText(
      'after',
      `
The clients are tested at the providers with tokens that do not exist. Nothing changes there.
HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR are used for all connections, as in \`tts serve\`.
Exit codes: 0 all checks passed (there may be warnings), 1 a check failed, 2 the configuration cannot be used.

Examples:
  tts check
  BEARER_TOKEN=eyJ… tts check --token      # why is this token refused?`,
    )
    .action((_options, self: Command) => check(terminal, self.optsWithGlobals()))
}

async function check(terminal: Terminal, options: CheckOptions): Promise<void> {
  const { tokenFile } = options
  // Before root acts as the owner of the data directory, who may not be able to read the token.
  const token =
    options.token === true || tokenFile !== undefined
      ? await readTokenToCheck(terminal, tokenFile)
      : undefined
  await loadedConfigurationFor(terminal, options)
  // Again, because the service must be able to read every file of the configuration, too.
  const loaded = await loadedConfigurationFor(terminal, options)
  const checks = [
    configurationCheck(loaded.path, loaded.overrides),
    ...(await partChecks(loaded, terminal, { wait: options.wait, token })),
  ]
  terminal.out(
    options.json ? `${JSON.stringify(checks, null, 2)}\n` : checks.map(checkLines).join(''),
  )
  if (checks.some(({ state }) => state === 'failed')) terminal.exitWith(exitCodes.failed)
}

/** Runs all checks at the same time; none depends on another one, so each problem is reported in the same run. */
async function partChecks(
  loaded: LoadedConfiguration,
  terminal: Terminal,
  options: { readonly wait: number; readonly token: TokenToCheck | undefined },
): Promise<Check[]> {
  const { configuration } = loaded
  const { now } = terminal
  // The result already reports every failure.
  const log = quietLog(terminal)
  log.level = 'silent'
  const { providers, limits } = configuration
  const ruleClaims = ruleClaimsByProvider(configuration)
  const verifier = createTokenVerifier({
    providers,
    now,
    log,
    ruleClaims,
    maxTokenBytes: limits.token_bytes,
  })
  const signal = AbortSignal.timeout(options.wait * 1000)
  const clients = { ...loginOf(loaded), signal, now }
  try {
    const opened = openPlugins({ loaded, log }, {}).then(
      (services) => ({ services, checks: serviceChecks(services) }),
      (error: unknown) => ({
        services: new Map<string, Service>(),
        checks: [failure('services', error)],
      }),
    )
    const examined = async (): Promise<Check[]> => {
      const { token } = options
      if (token === undefined) return []
      const { services } = await opened
      return tokenChecks({ verifier, services, terminal, token, signal })
    }
    const parts = await Promise.all([
      dataDirectoryChecks(loaded),
      authorityChecks(loaded, { log, now }),
      listenerChecks(loaded, now()),
      providerChecks(verifier, clients),
      relyingChecks(loaded, now),
      opened.then(({ checks }) => checks),
      examined(),
    ])
    const [directory, authority, listeners, reachable, relying, services, token] = parts
    const isolation = isolationChecks(configuration.services)
    const machine = [...directory, ...authority, ...listeners]
    return [...machine, ...reachable, ...relying, ...services, ...isolation, ...token]
  } finally {
    await verifier.close()
  }
}

function loginOf({ configuration }: LoadedConfiguration) {
  const { listen, web } = configuration
  const publicUrl = listen.public_url ?? `http://127.0.0.1:${listen.port}`
  return {
    webEnabled: web.enabled,
    publicUrl: publicUrl.replace(/\/$/, ''),
  }
}

function configurationCheck(path: string | undefined, overrides: readonly string[]): Check {
  const from = path ?? 'defaults, because no file was found'
  const names = overrides.length === 0 ? '' : `, and ${overrides.join(', ')}`
  return { check: 'configuration', state: 'ok', detail: `${from}${names}` }
}
