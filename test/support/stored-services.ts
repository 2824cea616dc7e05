/**
 * Services of one installation on a given database, for what must outlive a process: several of them at a time, or one
 * after the other, in a directory that is removed after each test.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { stringify } from 'yaml'
import type { IdentityProviderOptions } from '../../demo/identity-provider/options.ts'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { createLog } from '../../src/base/log.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import type { StoreSettings } from '../../src/config/store-schema.ts'
import { serve } from '../../src/service/serve.ts'
import { wideLimits } from '../api/support.ts'
import { testConfiguration, type TestService, tokensOf, waitUntilReady } from './service.ts'
import { runTts, type TtsRun } from './terminal.ts'

/** What the tests of a file do with their installation. */
export interface StoredServices {
  /** A path in the directory of the test. */
  path(name: string): string
  readonly provider: IdentityProvider
  /** Those that run, in the order of their start. */
  readonly services: TestService[]
  /** Writes a configuration with EC keys and without limits of rates. `changes` replace whole sections. */
  configure(
    settings: StoreSettings,
    changes?: Readonly<Record<string, unknown>>,
    name?: string,
  ): Promise<void>
  /** Starts a service under the configuration and waits until it is ready. */
  start(name?: string): Promise<TestService>
  /** Loads the configuration again in all services, which may have one each. */
  reload(...names: readonly string[]): Promise<void>
  /** Stops all services. */
  stop(): Promise<void>
  /** Runs `tts` under the configuration. */
  tts(words: readonly string[], more?: { now?: Date; name?: string }): Promise<TtsRun>
}

const CONFIGURATION = 'tts.yaml'

export function useStoredServices(options: IdentityProviderOptions = {}): StoredServices {
  let directory = ''
  let provider: IdentityProvider
  const services: TestService[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(services.splice(0).map(async (service) => service.stop()))
  }
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tts-stored-'))
    provider = await startIdentityProvider(options)
  })
  afterEach(async () => {
    await stop()
    await provider.close()
    await rm(directory, { recursive: true, force: true })
  })
  const path = (name: string): string => join(directory, name)
  return {
    path,
    get provider() {
      return provider
    },
    services,
    async configure({ url, path: file }, changes = {}, name = CONFIGURATION) {
      const configuration = {
        ...testConfiguration(provider),
        data_dir: path('data'),
        ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
        limits: wideLimits,
        store: url === undefined ? { path: file } : { url, pool_size: 4 },
        ...changes,
      }
      await writeFile(path(name), stringify(configuration), { mode: 0o600 })
    },
    async start(name = CONFIGURATION) {
      const service = await startIn(directory, path(name), provider)
      services.push(service)
      await waitUntilReady(service.url)
      return service
    },
    async reload(...names) {
      for (const [index, { running }] of services.entries())
        await running.reload(await loadConfiguration(path(names[index] ?? CONFIGURATION), {}))
    },
    stop,
    tts: async (words, { now, name = CONFIGURATION } = {}) =>
      runTts(['--config', path(name), ...words], now === undefined ? {} : { now: () => now }),
  }
}

async function startIn(
  directory: string,
  configuration: string,
  provider: IdentityProvider,
): Promise<TestService> {
  const logged: string[] = []
  const destination = { write: (line: string) => void logged.push(line) }
  const log = createLog({ level: 'info', name: 'tts', destination })
  const running = await serve(await loadConfiguration(configuration, {}), log)
  return {
    url: running.url,
    running,
    provider,
    directory,
    logged,
    token: tokensOf(provider),
    stop: async () => running.stop(),
  }
}
