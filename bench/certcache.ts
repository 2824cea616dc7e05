/** A certcache of this run, which has a delegation of the first user at a service. */
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ownProgram } from './own-programs.ts'
import { freePort, type Program, startProgram, type Target } from './programs.ts'
import { logIn } from './scenarios/renewals.ts'
import type { World } from './scenarios/scenario.ts'

export interface Certcache {
  readonly port: number
  readonly url: string
  /** Starts it, also again with the state of the time before. */
  readonly start: () => Program
}

/** Prepares a certcache, with a state of its own, which belongs to this service. */
export async function prepareCertcache(world: World, service: Target): Promise<Certcache> {
  const directory = await mkdtemp(join(world.directory, 'certcache-'))
  const [user] = world.users
  const token = await logIn(world, user?.username ?? '')
  await writeFile(join(directory, 'token'), token, { mode: 0o600 })
  const port = await freePort()
  const configuration = join(directory, 'certcache.yaml')
  const settings = {
    service: { url: service.url },
    source: { token_file: join(directory, 'token') },
    state: { directory: join(directory, 'state') },
    listen: { port },
    log_level: 'warn',
  }
  await writeFile(configuration, stringify(settings), { mode: 0o600 })
  const words = [ownProgram('certcache', world.fromSources), 'serve', '--config', configuration]
  const logFile = join(directory, 'certcache.log')
  return {
    port,
    url: `http://127.0.0.1:${port}`,
    start: () => startProgram(process.execPath, words, { logFile }),
  }
}

/**
 * Returns the proxy that it serves.
 *
 * @throws Error with its answer if it has none
 */
export async function servedProxy({ url }: Pick<Certcache, 'url'>): Promise<string> {
  const response = await fetch(`${url}/get_proxy`)
  const text = await response.text()
  if (response.ok) return text
  throw new Error(`certcache has no proxy: ${text}`)
}
