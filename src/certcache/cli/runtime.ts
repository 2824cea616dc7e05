/** The runtime of the commands, as a parameter for tests. */
import { resolve } from 'node:path'
import type { DestinationStream } from 'pino'
import type { Environment } from '../../config/settings-tree.ts'
import type { Terminal } from '../../cli/terminal.ts'
import { TtsError } from '../../base/errors.ts'
import { STANDARD_OUTPUT } from '../../files/output-file.ts'
import type { CodeLogin, startCodeLogin } from '../../grants/code-login.ts'
import type { GrantClient } from '../../grants/grant.ts'
import type { openEngine } from '../compose.ts'
import { type LoadedSettings, loadSettings } from '../settings/load-settings.ts'
import type { Clock } from '../proxy-engine.ts'
import { useNetwork } from '../../network/network.ts'
import type { CertcacheSettings } from '../settings/settings.ts'
import type { OwnClientSettings } from '../sources/own-client.ts'
import type { openState } from '../state/open-state.ts'

export type StopSignal = 'SIGTERM' | 'SIGINT'

export interface CliRuntime extends Terminal {
  readonly clock: Clock
  /** From 0 to below 1. */
  readonly random: () => number
  readonly currentDirectory: string
  readonly openEngine: typeof openEngine
  readonly openState: typeof openState
  /** Our own client at the identity provider, for `certcache login`. */
  readonly grantClient: (source: OwnClientSettings) => GrantClient
  /** A login of the same client in a browser of this machine. */
  readonly startCodeLogin: (
    source: OwnClientSettings,
    request: Parameters<typeof startCodeLogin>[1],
  ) => Promise<CodeLogin>
  readonly onStop: (listener: (signal: StopSignal) => void) => void
  readonly onReload: (listener: () => void) => void
  /** Exits immediately. */
  readonly endNow: (code: number) => void
  /** Default: standard output. */
  readonly logDestination?: DestinationStream
}

/** Command line options that set keys of the settings. */
export interface SettingsOptions {
  readonly config?: string
  readonly url?: string
  readonly tokenFile?: string
  readonly state?: string
  readonly out?: string
  readonly port?: string
}

/** Sets up proxy and trusted CAs of this process. @throws {TtsError} `configuration` */
export function setUpNetwork(runtime: CliRuntime, tls: CertcacheSettings['tls'] = {}): void {
  useNetwork({
    environment: runtime.environment,
    tls,
    trustGridAuthorities: true,
    warn: (line) => runtime.note(`certcache: warning: ${line}`),
  })
}

/**
 * Loads the settings, and sets up proxy and trusted CAs of this process. The command line overrides environment and
 * file.
 */
export async function settingsFor(
  runtime: CliRuntime,
  options: SettingsOptions,
): Promise<LoadedSettings> {
  const { environment, uid, currentDirectory } = runtime
  const path = (text: string | undefined): string | undefined =>
    text === undefined ? undefined : resolve(currentDirectory, text)
  const isPrinted = options.out === STANDARD_OUTPUT
  const out = isPrinted ? undefined : path(options.out)
  const outputs = out === undefined ? [] : [{ path: out }]
  const overrides: Environment = {
    CERTCACHE_SERVICE__URL: options.url,
    CERTCACHE_SOURCE__TOKEN_FILE: path(options.tokenFile),
    CERTCACHE_STATE__DIRECTORY: path(options.state),
    CERTCACHE_LISTEN__PORT: options.port,
    CERTCACHE_PROXIES__GWMS_PROXY__OUTPUTS:
      options.out === undefined ? undefined : JSON.stringify(outputs),
  }
  const present = Object.entries(overrides).filter(([, value]) => value !== undefined)
  const loaded = await loadSettings(path(options.config), {
    environment: { ...environment, ...Object.fromEntries(present) },
    uid,
  })
  if (options.out !== undefined && Object.keys(loaded.settings.proxies).join() !== 'gwms_proxy')
    throw new TtsError(
      'invalid_request',
      '--out: can only be used with the single proxy gwms_proxy',
      {
        remedy: 'Set proxies.NAME.outputs in the settings, which name other proxies.',
      },
    )
  setUpNetwork(runtime, loaded.settings.tls)
  return loaded
}
