/** `GET /get_proxy` of a warm certcache, compared with nginx serving the same bytes. */
import { prepareCertcache, servedProxy } from '../certcache.ts'
import { missingNginxPackage, startNginx } from '../nginx.ts'
import { waitForPort } from '../programs.ts'
import { httpRequest } from '../requests.ts'
import { ordinary, type Scenario } from './scenario.ts'

export const getProxyScenario: Scenario = {
  ...ordinary,
  name: 'get-proxy',
  title: 'certcache GET /get_proxy, warm',
  rawWork: undefined,
  prepare: async (world, service) => {
    const certcache = await prepareCertcache(world, service)
    const program = certcache.start()
    await waitForPort(certcache.port, program)
    const proxy = await servedProxy(certcache)
    // nginx takes the same request: it looks at the path, and both answer to any host.
    const request = httpRequest({
      method: 'GET',
      path: '/get_proxy',
      host: new URL(certcache.url).host,
    })
    return {
      target: { url: certcache.url, pid: program.pid, stop: program.stop },
      mayRepeat: true,
      expectedStatus: undefined,
      make: () => Promise.resolve([request]),
      ...(missingNginxPackage === undefined && {
        startReference: () => startNginx(world.directory, proxy),
      }),
      close: program.stop,
    }
  },
}
