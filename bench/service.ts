/** Starts the service, `tts serve --config`, as an operator does. Only its outside is used. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { IdentityProvider } from '../demo/identity-provider/server.ts'
import { AUDIENCE } from './identities.ts'
import { LOOP_FILE } from './loop-probe.ts'
import { ownProgram } from './own-programs.ts'
import { startProgram, type Target } from './programs.ts'

export type EndEntityKeyKind = 'rsa-2048' | 'ec-p256'

export interface ServiceOptions {
  /** Existing and empty, or that of an earlier service with the same options. */
  readonly directory: string
  readonly provider: IdentityProvider
  readonly endEntityKeyKind: EndEntityKeyKind
  /** Runs the TypeScript sources instead of the built program. */
  readonly fromSources: boolean
  /** Connection string of a PostgreSQL database. Undefined: SQLite in the directory. */
  readonly postgresUrl?: string | undefined
  /** Default: a free one. */
  readonly port?: number | undefined
  /** Besides those that operators use. */
  readonly nodeFlags?: readonly string[] | undefined
  /** The service writes here how long its event loop is held up, see `loop-probe.ts`. Undefined: it does not. */
  readonly loopFile?: string | undefined
}

const LOOP_PROBE = fileURLToPath(new URL('loop-probe.ts', import.meta.url))

/** As in the Dockerfile and in the unit of docs/operations.md. */
const NODE_FLAGS = ['--max-semi-space-size=32', '--min-semi-space-size=16']

export async function startService(options: ServiceOptions): Promise<Target> {
  const { directory, fromSources, nodeFlags = [], loopFile } = options
  const configuration = stringify(configurationOf(options))
  await writeFile(configurationPath(directory), configuration, { mode: 0o600 })
  const logFile = join(directory, 'tts.log')
  const probe = loopFile === undefined ? [] : ['--import', LOOP_PROBE]
  const words = [...nodeFlags, ...probe, ...serviceWords(directory, fromSources)]
  const env = loopFile === undefined ? {} : { [LOOP_FILE]: loopFile }
  const started = startProgram(process.execPath, words, { logFile, env })
  const [line] = await started.says(/^.*"service\.started".*$/m)
  const { url } = JSON.parse(line) as { url: string }
  const service = { url: new URL(url).origin, pid: started.pid, stop: started.stop }
  await waitUntilReady(service)
  return service
}

const configurationPath = (directory: string): string => join(directory, 'tts.yaml')

/** Arguments of Node for the service that was started in the directory before. */
export const serviceWords = (directory: string, fromSources: boolean): readonly string[] => [
  ...NODE_FLAGS,
  ownProgram('cli', fromSources),
  'serve',
  '--config',
  configurationPath(directory),
]

function configurationOf(options: ServiceOptions): object {
  const { directory, provider, endEntityKeyKind, postgresUrl, port = 0 } = options
  const { clientId, clientSecret } = provider.clients.tts
  const authz = { allow: [{ provider: 'iam', claims: { groups: { contains: 'cms' } } }] }
  const client = { client_id: clientId, client_secret: clientSecret, delegation: {} }
  return {
    data_dir: join(directory, 'data'),
    listen: { port },
    ca: { key_kind: 'rsa-3072', end_entity_key_kind: endEntityKeyKind },
    providers: { iam: { issuer: provider.issuer, audiences: [AUDIENCE], ...client } },
    // 20 users get as many proxies here as thousands do elsewhere.
    services: { proxy: { authz, credential_limit: 'infinite' } },
    // Each scenario makes its own.
    delegations: { maximum_per_identity: 1000 },
    ...(postgresUrl !== undefined && { store: { url: postgresUrl } }),
    limits: {
      // A key pool would make keys while something else is measured.
      key_pool_size: 0,
      key_queue: 1000,
      // All requests come from one address.
      requests_per_second_per_address: 1e6,
      burst_per_address: 1e6,
      credentials_per_second_per_identity: 1e6,
      burst_per_identity: 1e6,
      address_share: 1,
      identity_share: 1,
    },
  }
}

/** The service refuses tokens until it has the keys of the provider. */
async function waitUntilReady({ url }: Pick<Target, 'url'>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const response = await fetch(`${url}/readyz`)
    await response.arrayBuffer()
    if (response.ok) return
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  throw new Error('the service did not become ready')
}
