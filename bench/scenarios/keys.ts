/** `POST /v1/proxies` without a CSR: the service makes the key. */
import { mintTokens } from '../identities.ts'
import { httpRequest } from '../requests.ts'
import { ordinary, type Scenario } from './scenario.ts'

export const keyScenario: Scenario = {
  ...ordinary,
  name: 'keys',
  title: 'key made by the service (RSA-2048)',
  rawWork: 'rsa-2048 key pair',
  connections: 8,
  durationFactor: 2,
  prepare: async (world, target) => {
    const { host } = new URL(target.url)
    const tokens = await mintTokens(world, world.users.length)
    const requests = tokens.map((token) => httpRequest({ path: '/v1/proxies', host, token }))
    return { target, mayRepeat: true, expectedStatus: 200, make: () => Promise.resolve(requests) }
  },
}
