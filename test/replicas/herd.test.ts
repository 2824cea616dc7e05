/**
 * Many workers that start at the same moment, each with an address of its own, and each wants a proxy from four
 * replicas behind HAProxy. Who is refused comes back after `Retry-After` and up to half of it more. TTS_TEST_FULL=1:
 * 10,000.
 */
import { Agent } from 'node:https'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { isFull } from '../support/full.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { ask, type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { post } from '../support/replica-load.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'
import { AUDIENCE } from '../support/service.ts'

const WORKERS = isFull ? 10_000 : 600
const IDENTITIES = 50
const MOST_ATTEMPTS = 60
const REQUEST_TIMEOUT_MS = 60_000

/** Low enough that a part is refused, also where the machine is fast. */
const limits = { key_pool_size: 0, requests_in_flight: isFull ? 200 : 20, address_share: 1 }

describeWithTools('a herd of workers', ['postgresql', 'haproxy'], () => {
  let cluster: PostgresCluster
  let database = ''
  let provider: IdentityProvider
  let replicas: Replicas
  beforeAll(async () => {
    cluster = await startPostgres()
    database = await cluster.createDatabase()
    provider = await startIdentityProvider()
    const configuration = { limits: { ...limits, identity_share: 1, replicas: 1 } }
    replicas = await startReplicas({ count: 4, database, provider, configuration })
  })
  afterAll(async () => {
    await replicas.stop()
    await provider.close()
    await cluster.stop()
  })

  test(`${WORKERS} are all served`, { timeout: 600_000 }, async () => {
    const csr = await createCsr([], createSigner(await generatePrivateKey('ec-p256')))
    const tokens = Array.from({ length: IDENTITIES }, (_, index) =>
      provider.mint({ claims: { sub: `pilot-${index}`, groups: ['cms'], aud: AUDIENCE } }),
    )
    const begun = performance.now()
    const served: number[] = []
    const refusals: Record<string, number> = {}
    const note = (reason: string): void => void (refusals[reason] = (refusals[reason] ?? 0) + 1)

    const worker = async (number: number): Promise<void> => {
      const localAddress = `127.1.${Math.floor(number / 250)}.${(number % 250) + 1}`
      const { url, certificate } = replicas
      const token = tokens[number % IDENTITIES] ?? ''
      for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
        const agent = new Agent({ ca: certificate, localAddress })
        const wanted = { url, agent, token, csr, timeoutMs: REQUEST_TIMEOUT_MS }
        const answer = await post(wanted).catch((error: unknown) => String(error))
        agent.destroy()
        if (typeof answer !== 'string' && answer.status === 200) {
          served.push(performance.now() - begun)
          return
        }
        note(typeof answer === 'string' ? answer : `${answer.status}`)
        const seconds = typeof answer === 'string' ? 1 : Number(answer.retryAfter)
        expect(seconds).toBeGreaterThan(0)
        await sleep(seconds * 1000 * (1 + Math.random() / 2))
      }
    }
    await Promise.all(Array.from({ length: WORKERS }, async (_, number) => worker(number)))

    const at = (share: number): string =>
      `${(served.toSorted((a, b) => a - b)[Math.ceil(served.length * share) - 1]! / 1000).toFixed(1)} s`
    process.stdout.write(
      `${served.length} of ${WORKERS} served: half after ${at(0.5)}, 99 % after ${at(0.99)}, all after ${at(1)}; ` +
        `refusals: ${JSON.stringify(refusals)}\n`,
    )
    expect(served).toHaveLength(WORKERS)
    const isAnswer = (reason: string): boolean => ['429', '503'].includes(reason)
    // One process cannot make 10,000 TLS handshakes within HAProxy's `timeout http-request`, so some are closed.
    if (!isFull) expect(Object.keys(refusals).filter((reason) => !isAnswer(reason))).toEqual([])
    const [row] = await ask(database, 'select count(*)::int as count from credentials')
    const { count } = row as { readonly count: number }
    expect(count).toBeGreaterThanOrEqual(WORKERS)
    // A few may be on record twice, whose connection broke before the answer.
    expect(count).toBeLessThan(WORKERS * 1.02)
  })
})
