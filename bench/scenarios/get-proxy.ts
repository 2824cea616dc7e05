/** `GET /get_proxy` of a warm certcache, compared with nginx serving the same bytes. */
import { X509Certificate } from 'node:crypto'
import { mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { missingNginxPackage, startNginx } from '../nginx.ts'
import { ownProgram } from '../own-programs.ts'
import { freePort, startProgram, type Target, waitForPort } from '../programs.ts'
import { httpRequest } from '../requests.ts'
import { logIn } from './renewals.ts'
import { ordinary, type Scenario, type World } from './scenario.ts'

export const getProxyScenario: Scenario = {
  ...ordinary,
  name: 'get-proxy',
  title: 'certcache GET /get_proxy, warm',
  rawWork: undefined,
  prepare: async (world, service) => {
    const certcache = await startCertcache(world, service)
    const proxy = await firstProxy(certcache)
    // nginx takes the same request: it looks at the path, and both answer to any host.
    const request = httpRequest({
      method: 'GET',
      path: '/get_proxy',
      host: new URL(certcache.url).host,
    })
    return {
      target: certcache,
      mayRepeat: true,
      expectedStatus: undefined,
      make: () => Promise.resolve([request]),
      ...(missingNginxPackage === undefined && {
        startReference: () => startNginx(world.directory, proxy),
      }),
      close: certcache.stop,
    }
  },
}

async function startCertcache(world: World, service: Target): Promise<Target> {
  // Its state belongs to this service.
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
  const logFile = join(directory, 'certcache.log')
  const program = ownProgram('certcache', world.fromSources)
  const words = [program, 'serve', '--config', configuration]
  const started = startProgram(process.execPath, words, { logFile })
  await waitForPort(port, started)
  return { url: `http://127.0.0.1:${port}`, pid: started.pid, stop: started.stop }
}

async function firstProxy({ url, stop }: Target): Promise<string> {
  const response = await fetch(`${url}/get_proxy`)
  const text = await response.text()
  if (response.ok && new X509Certificate(text).subject !== '') return text
  await stop()
  throw new Error(`certcache has no proxy: ${text}`)
}
