/** `POST /v1/proxies` with a CSR: with tokens that the service has seen before, and with a new one each time. */
import { startBareServer } from '../bare.ts'
import { mintTokens } from '../identities.ts'
import { httpRequest } from '../requests.ts'
import type { Target } from '../programs.ts'
import { ordinary, type Scenario, type Workload, type World } from './scenario.ts'

export const csrScenarios: readonly Scenario[] = [
  {
    ...ordinary,
    name: 'csr-rsa-seen',
    title: 'CSR, RSA-2048 EEC, token seen before',
    prepare: seenTokens,
  },
  {
    ...ordinary,
    name: 'csr-rsa-new',
    title: 'CSR, RSA-2048 EEC, a new token each time',
    prepare: newTokens,
  },
  {
    ...ordinary,
    name: 'csr-p256-seen',
    title: 'CSR, P-256 EEC, token seen before',
    endEntityKeyKind: 'ec-p256',
    rawWork: 'ec-p256 signature',
    prepare: seenTokens,
  },
  {
    ...ordinary,
    name: 'csr-p256-new',
    title: 'CSR, P-256 EEC, a new token each time',
    endEntityKeyKind: 'ec-p256',
    rawWork: 'ec-p256 signature',
    prepare: newTokens,
  },
]

async function seenTokens(world: World, target: Target): Promise<Workload> {
  const requests = await requestsWithSeenTokens(world, target)
  return {
    target,
    mayRepeat: true,
    expectedStatus: 200,
    make: () => Promise.resolve(requests),
    startReference: (answerBytes) => startBareServer(world.directory, answerBytes),
  }
}

async function newTokens(world: World, target: Target): Promise<Workload> {
  return {
    target,
    mayRepeat: false,
    expectedStatus: 200,
    make: async (count) => {
      const tokens = await mintTokens(world, count)
      return tokens.map((token, index) => proxyRequest(target, token, csrFor(world, index)))
    },
    // Makes the EECs, so that they are not part of what is measured.
    warmUp: await requestsWithSeenTokens(world, target),
    startReference: (answerBytes) => startBareServer(world.directory, answerBytes),
  }
}

/** Every user with every CSR. */
export async function requestsWithSeenTokens(
  world: World,
  target: Target,
): Promise<readonly Buffer[]> {
  const tokens = await mintTokens(world, world.users.length)
  return world.csrs.flatMap((csr) => tokens.map((token) => proxyRequest(target, token, csr)))
}

/** The CSR of a request, so that users and CSRs do not always meet in the same pairs. */
const csrFor = ({ csrs, users }: World, index: number): string =>
  csrs[Math.floor(index / users.length) % csrs.length] ?? ''

const proxyRequest = ({ url }: Target, token: string, csr: string): Buffer =>
  httpRequest({
    path: '/v1/proxies',
    host: new URL(url).host,
    token,
    contentType: 'application/pkcs10',
    body: csr,
  })
