/**
 * `POST /v1/delegations/{id}/proxies` with a CSR. Each renewal asks the provider for a fresh token, in another process,
 * which the service starts. The demo provider runs in the process of the benchmark and uses the same cores.
 */
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { AUDIENCE } from '../identities.ts'
import type { Target } from '../programs.ts'
import { httpRequest } from '../requests.ts'
import { ordinary, type Scenario, type World } from './scenario.ts'

/** Renewals of one delegation wait for each other: there are more delegations than connections. */
const DELEGATIONS_PER_USER = 3

export const renewalScenario: Scenario = {
  ...ordinary,
  name: 'renewals',
  title: 'delegation renewal with a CSR, RSA-2048 EEC',
  connections: 16,
  durationFactor: 2,
  prepare: async (world, target) => {
    const requests: Buffer[] = []
    for (const [index, { username }] of world.users.entries()) {
      const token = await logIn(world, username)
      for (let made = 0; made < DELEGATIONS_PER_USER; made += 1) {
        const body = world.csrs[(index + made) % world.csrs.length] ?? ''
        requests.push(renewalRequest(target, await delegate(target, token), body))
      }
    }
    return { target, mayRepeat: true, expectedStatus: 200, make: () => Promise.resolve(requests) }
  },
}

/** Returns a token that the provider knows; a minted one cannot be exchanged. */
export async function logIn({ provider }: World, username: string): Promise<string> {
  const login = { issuer: provider.issuer, clientId: provider.clients.cli.clientId }
  const granted = await obtainAccessToken({ ...login, username, audience: AUDIENCE })
  return granted.access_token
}

interface Delegation {
  readonly id: string
  readonly renewal_secret: string
}

async function delegate({ url }: Target, token: string): Promise<Delegation> {
  const headers = { authorization: `Bearer ${token}` }
  const response = await fetch(`${url}/v1/delegations`, { method: 'POST', headers })
  if (!response.ok) throw new Error(`no delegation: ${await response.text()}`)
  return (await response.json()) as Delegation
}

const renewalRequest = (
  { url }: Target,
  { id, renewal_secret: token }: Delegation,
  body: string,
): Buffer =>
  httpRequest({
    path: `/v1/delegations/${id}/proxies`,
    host: new URL(url).host,
    token,
    contentType: 'application/pkcs10',
    body,
  })
