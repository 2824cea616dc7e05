/** All clients together. */
import { createCsr } from '../../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../../ca/key.ts'
import type { Evidence } from '../evidence.ts'
import type { Random } from '../plan.ts'
import type { ChaosSystem } from '../system.ts'
import type { LoadContext } from './client.ts'
import { type HeldDelegation, renewingClient, suspendingProvider } from './delegations.ts'
import { badTokenClient, csrClient, serviceKeyClient, wattsClient } from './proxies.ts'
import { banningOperator, revokingClient } from './revocations.ts'
import { fileReader, worker } from './workers.ts'

export interface ChaosLoad {
  readonly context: LoadContext
  /** Ends all clients after their current request. Throws what a client could not understand. */
  end(): Promise<void>
}

/** What the load needs of the run. */
export interface LoadParts {
  readonly system: ChaosSystem
  readonly evidence: Evidence
  readonly random: Random
  readonly delegations: readonly HeldDelegation[]
}

/** Starts clients of every kind, at both installations. */
export async function startChaosLoad({
  system,
  evidence,
  random,
  delegations,
}: LoadParts): Promise<ChaosLoad> {
  const privateKey = await generatePrivateKey('ec-p256')
  const pem = await createCsr([], createSigner(privateKey))
  const over = new AbortController()
  const csr = { pem, privateKey }
  const served = new Set<string>()
  const context = { system, evidence, random, over: over.signal, served, csr }
  const clients = [
    ...[0, 1, 2].map(async (number) => csrClient(context, 'replicas', number)),
    csrClient(context, 'single', 3),
    ...(['replicas', 'single'] as const).flatMap((installation) => [
      serviceKeyClient(context, installation),
      wattsClient(context, installation),
      badTokenClient(context, installation),
      revokingClient(context, installation, 0),
    ]),
    revokingClient(context, 'replicas', 1),
    banningOperator(context),
    suspendingProvider(context),
    ...delegations.map(async (held) => renewingClient(context, held)),
    ...system.certcaches.flatMap((certcache) => [
      worker(context, certcache),
      fileReader(context, certcache),
    ]),
  ]
  const settled = Promise.allSettled(clients)
  return {
    context,
    async end() {
      over.abort()
      const failed = (await settled).find(({ status }) => status === 'rejected')
      if (failed?.status === 'rejected') throw failed.reason
    },
  }
}
