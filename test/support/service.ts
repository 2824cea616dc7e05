/**
 * The whole service for a test file: real HTTP on a free loopback port, its own data directory, the demo provider in
 * front.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import type { IdentityProviderOptions } from '../../demo/identity-provider/options.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { type Running, serve } from '../../src/service/serve.ts'
import { stringify } from 'yaml'

export const AUDIENCE = 'https://tts.example.org'

export interface TestServiceOptions {
  readonly identityProvider?: IdentityProviderOptions
  /** Merged over the defaults, section by section. */
  readonly configuration?:
    | Record<string, Record<string, unknown>>
    | ((provider: IdentityProvider) => Record<string, Record<string, unknown>>)
  readonly now?: () => Date
  /** False: does not wait until the provider was discovered. */
  readonly awaitReady?: boolean
  /** True: the provider listens no more when the service starts. */
  readonly providerDown?: boolean
}

export interface TestService {
  readonly url: string
  readonly running: Running
  readonly provider: IdentityProvider
  readonly directory: string
  /** Everything that was logged, one JSON line each. */
  readonly logged: string[]
  /** A sound token for the user, made by the provider's own key; `claims` change it. */
  token(username?: string, claims?: Record<string, unknown>): string
  stop(): Promise<void>
}

/** Tests look for the record of each refusal; all of them come from one address. */
export const everyRefusalRecorded = { recorded_refusals_per_minute: 1_000_000 }

/** A configuration that trusts the provider and lets members of `cms` use both services. EC CA: quick to make. */
export function testConfiguration(
  provider: IdentityProvider,
): Record<string, Record<string, unknown>> {
  const allow = [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }]
  return {
    listen: { port: 0 },
    ca: { key_kind: 'ec-p256' },
    providers: {
      iam: { issuer: provider.issuer, alias: 'indigo-iam-test', audiences: [AUDIENCE] },
    },
    services: { proxy: { authz: { allow } }, x509: { authz: { allow } } },
    limits: { key_pool_size: 0, ...everyRefusalRecorded },
  }
}

/** Starts provider and service; end both with `stop`. */
export async function startTestService(options: TestServiceOptions = {}): Promise<TestService> {
  const provider = await startIdentityProvider(options.identityProvider)
  const directory = await mkdtemp(join(tmpdir(), 'tts-test-'))
  const defaults = testConfiguration(provider)
  const { configuration: given = {} } = options
  const changes = typeof given === 'function' ? given(provider) : given
  const sections = new Set([...Object.keys(defaults), ...Object.keys(changes)])
  const configuration = Object.fromEntries(
    [...sections].map((section) => [section, { ...defaults[section], ...changes[section] }]),
  )
  if (options.providerDown === true) await provider.goDown()
  const { running, logged } = await serveIn(directory, configuration, options.now)
  if (options.awaitReady !== false) await waitUntilReady(running.url)
  return {
    url: running.url,
    running,
    provider,
    directory,
    logged,
    token: tokensOf(provider),
    stop: async () => {
      await running.stop()
      await provider.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** How the tests of a service get tokens for it from a provider. */
export function tokensOf(provider: IdentityProvider): TestService['token'] {
  return (username = 'alice', claims = {}) => {
    const { sub, groups } = provider.user(username)
    return provider.mint({ claims: { sub, groups, aud: AUDIENCE, ...claims } })
  }
}

/** Writes the configuration into the directory and starts a service whose data is there, too. */
export async function serveIn(
  directory: string,
  configuration: Readonly<Record<string, unknown>>,
  now?: () => Date,
): Promise<Pick<TestService, 'running' | 'logged'>> {
  const path = join(directory, 'tts.yaml')
  await writeFile(path, stringify({ data_dir: join(directory, 'data'), ...configuration }))
  const logged: string[] = []
  const log = createLog({
    level: 'debug',
    name: 'tts',
    destination: { write: (line) => void logged.push(line) },
  })
  const running = await serve(await loadConfiguration(path, {}), log, { now })
  return { running, logged }
}

export async function waitUntilReady(url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const response = await fetch(`${url}/readyz`)
    if (response.ok) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('the service did not become ready')
}

/** One service for a test file. The returned function answers it. */
export function useTestService(options: TestServiceOptions = {}): () => TestService {
  let service: TestService | undefined
  beforeAll(async () => {
    service = await startTestService(options)
  })
  afterAll(async () => service?.stop())
  return () => {
    if (!service) throw new Error('the service has not started yet')
    return service
  }
}
