/** Proxies for CSRs with tokens that the service has seen before, as one load for wrk. */
import { join } from 'node:path'
import type { Target } from './programs.ts'
import { writeRequests } from './requests.ts'
import { requestsWithSeenTokens } from './scenarios/csr.ts'
import type { World } from './scenarios/scenario.ts'
import { type Load, type LoadResult, runWrk } from './wrk.ts'

/** Returns a function that sends the load for some seconds. Its tokens last an hour. */
export async function prepareProxyLoad(
  world: World,
  service: Target,
  connections: number,
): Promise<(seconds: number) => Promise<LoadResult>> {
  const requestsFile = join(world.directory, 'proxy-requests')
  await writeRequests(requestsFile, await requestsWithSeenTokens(world, service))
  const load: Omit<Load, 'seconds'> = {
    url: service.url,
    requestsFile,
    connections,
    mayRepeat: true,
    expectedStatus: 200,
  }
  return async (seconds) => runWrk({ ...load, seconds })
}
