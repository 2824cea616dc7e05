/** All that certcache depends on, in this process: the demo provider, and a service that can go away and come back. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { type Running, serve } from '../../src/service/serve.ts'
import { providerSettings } from '../api/delegation-support.ts'
import { wideLimits } from '../api/support.ts'
import { AUDIENCE, testConfiguration } from '../support/service.ts'

type Section = Readonly<Record<string, unknown>>

export interface OutsideWorld {
  readonly provider: IdentityProvider
  /** The same after the service went away and came back. */
  readonly serviceUrl: string
  /** For files of the test; removed at the end. */
  readonly directory: string
  /** Our own client at the provider, as section `source` of certcache wants it. */
  readonly ownClient: Section
  /** A token that alice got by logging in, good for an exchange. */
  logIn(): Promise<string>
  /** Credentials that the service has issued since its last start. */
  issued(): Promise<number>
  stopService(): Promise<void>
  startService(): Promise<void>
  /** Requests that reached the provider since `forgetCounts`, by what was asked. */
  asked(): { readonly token: number; readonly discovery: number; readonly keys: number }
  forgetCounts(): void
  end(): Promise<void>
}

export interface WorldOptions {
  /** Of the provider in the service: `{}` makes delegations, undefined none. */
  readonly delegation?: Section | undefined
  /** More sections of the service's configuration. */
  readonly configuration?: Readonly<Record<string, Section>>
  /** Who makes the service's refresh requests. */
  readonly refreshIn?: 'process' | 'here'
  /** Life of proxies where none is asked for. */
  readonly port?: number
}

/** Starts provider and service, EC keys throughout: they are quick to make. */
export async function startOutsideWorld(options: WorldOptions = {}): Promise<OutsideWorld> {
  const directory = await mkdtemp(join(tmpdir(), 'certcache-world-'))
  const provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
  let running: Running | undefined
  const start = async (port: number): Promise<Running> => {
    const path = join(directory, 'tts.yaml')
    await writeFile(path, stringify(configuration(provider, directory, { ...options, port })))
    const log = createLog({ level: 'silent', name: 'tts' })
    running = await serve(await loadConfiguration(path, {}), log, {
      refreshIn: options.refreshIn,
    })
    await ready(running.url)
    return running
  }
  const { url } = await start(0)
  return {
    provider,
    serviceUrl: url,
    directory,
    ownClient: {
      issuer: provider.issuer,
      client_id: provider.clients.certcache.clientId,
      client_secret: provider.clients.certcache.clientSecret,
      audience: AUDIENCE,
    },
    logIn: async () => {
      const login = { issuer: provider.issuer, clientId: 'demo-cli', username: 'alice' }
      const wanted = { scope: 'openid profile', audience: AUDIENCE }
      return (await obtainAccessToken({ ...login, ...wanted })).access_token
    },
    issued: async () => issuedBy(url),
    stopService: async () => running?.stop(),
    startService: async () => {
      await start(Number(new URL(url).port))
    },
    asked: () => ({
      token: provider.faults.count('/token'),
      discovery: provider.faults.count('/.well-known/openid-configuration'),
      keys: provider.faults.count('/jwk'),
    }),
    forgetCounts: () => provider.faults.resetCounts(),
    end: async () => {
      await running?.stop()
      await provider.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

function configuration(
  provider: IdentityProvider,
  directory: string,
  { port, delegation, configuration: more }: WorldOptions,
): object {
  const iam = providerSettings(provider, delegation)
  const { delegation: _, ...without } = iam
  return {
    ...testConfiguration(provider),
    data_dir: join(directory, 'data'),
    listen: { port },
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    providers: { iam: delegation === undefined ? without : iam },
    limits: wideLimits,
    ...more,
  }
}

async function ready(url: string): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt += 1) {
    if ((await fetch(`${url}/readyz`)).ok) return
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  throw new Error('the service did not become ready')
}

async function issuedBy(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const lines = metrics
    .split('\n')
    .filter((line) => line.startsWith('tts_credentials_issued_total'))
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}
