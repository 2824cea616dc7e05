/** `POST /api/v2/{provider}/credential`, the WaTTS API, with a CSR. The answer is stored until it is picked up. */
import { startBareServer } from '../bare.ts'
import { mintTokens } from '../identities.ts'
import { httpRequest } from '../requests.ts'
import { ordinary, type Scenario } from './scenario.ts'

export const wattsScenario: Scenario = {
  ...ordinary,
  name: 'watts',
  title: 'WaTTS API with a CSR, RSA-2048 EEC, token seen before',
  prepare: async (world, target) => {
    const { host } = new URL(target.url)
    const tokens = await mintTokens(world, world.users.length)
    const requests = world.csrs.flatMap((csr) => {
      const body = JSON.stringify({ service_id: 'proxy', params: { csr } })
      const parts = { path: '/api/v2/iam/credential', host, contentType: 'application/json', body }
      return tokens.map((token) => httpRequest({ ...parts, token }))
    })
    return {
      target,
      mayRepeat: true,
      expectedStatus: 303,
      make: () => Promise.resolve(requests),
      startReference: (answerBytes) => startBareServer(world.directory, answerBytes),
    }
  },
}
