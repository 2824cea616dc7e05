import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { type Running, serve } from '../../src/service/serve.ts'
import {
  ask as askPostgres,
  missingPostgresPackage,
  type PostgresCluster,
  startPostgres,
} from '../support/postgres.ts'
import { type TestService, testConfiguration } from '../support/service.ts'
import { delegate, eventsOf, providerSettings, renew } from './delegation-support.ts'
import { wideLimits } from './support.ts'

async function untilReady(url: string): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if ((await fetch(`${url}/readyz`)).ok) return
    await sleep(10)
  }
  throw new Error('a replica did not become ready')
}

const required = process.env['TTS_TEST_REQUIRE_TOOLS'] === '1'

describe.skipIf(missingPostgresPackage !== undefined && !required)(
  'two replicas on one PostgreSQL',
  () => {
    let directory = ''
    let cluster: PostgresCluster
    let provider: IdentityProvider
    let url = ''
    const replicas: Running[] = []
    const seen = { underWay: 0, most: 0 }

    beforeAll(async () => {
      directory = await mkdtemp(join(tmpdir(), 'tts-replicas-'))
      cluster = await startPostgres()
      url = await cluster.createDatabase()
      provider = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
      const path = join(directory, 'tts.yaml')
      const settings = {
        ...testConfiguration(provider),
        data_dir: join(directory, 'data'),
        ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
        providers: { iam: providerSettings(provider) },
        limits: wideLimits,
        store: { url },
      }
      await writeFile(path, stringify(settings))
      for (let replica = 0; replica < 2; replica += 1) {
        const log = createLog({ level: 'silent', name: 'tts' })
        replicas.push(await serve(await loadConfiguration(path, {}), log))
      }
      for (const replica of replicas) await untilReady(replica.url)
    })
    afterAll(async () => {
      await Promise.all(replicas.map((replica) => replica.stop()))
      await provider.close()
      await cluster.stop()
      await rm(directory, { recursive: true, force: true })
    })

    const service = (index: number): TestService =>
      ({ url: replicas[index]!.url, running: replicas[index]!, provider }) as TestService

    /** Notes how many refreshes are at the provider at once. */
    function watchRefreshes(): void {
      Object.assign(seen, { underWay: 0, most: 0 })
      const original = provider.faults.intercept.bind(provider.faults)
      provider.faults.intercept = async (path, request, response) => {
        if (path === '/token') {
          seen.underWay += 1
          seen.most = Math.max(seen.most, seen.underWay)
          response.once('close', () => {
            seen.underWay -= 1
          })
        }
        return original(path, request, response)
      }
    }

    test('renew at once: one refresh at a time, and no token is lost', async () => {
      watchRefreshes()
      provider.faults.set('/token', { kind: 'slow', delayMs: 30 })
      const made = await delegate(service(0))
      provider.faults.resetCounts()
      for (let round = 0; round < 5; round += 1) {
        const responses = await Promise.all(
          Array.from({ length: 8 }, (_, index) => renew(service(index % 2), made)),
        )
        expect(responses.map(({ status }) => status)).toEqual(Array.from({ length: 8 }, () => 200))
      }
      expect(seen.most).toBe(1)
      // Each replica shares its own: two each round at the least that they need, and not one for each caller.
      expect(provider.faults.count('/token')).toBeGreaterThanOrEqual(10)
      expect(provider.faults.count('/token')).toBeLessThanOrEqual(20)
      provider.faults.clear()
      expect((await renew(service(1), made)).status).toBe(200)
      expect(await eventsOf(service(0), made)).not.toContain('refused')
    })

    test('what one revokes, the other renews no more', async () => {
      const made = await delegate(service(0))
      expect((await renew(service(1), made)).status).toBe(200)
      await fetch(`${replicas[0]!.url}/v1/delegations/${made.id}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${made.renewal_secret}` },
      })
      expect((await renew(service(1), made)).status).toBe(410)
    })

    test('a lock whose connection broke is had again, and the next renewal works', async () => {
      const made = await delegate(service(0))
      expect((await renew(service(0), made)).status).toBe(200)
      provider.faults.resetCounts()
      provider.faults.set('/token', { kind: 'slow', delayMs: 200 })
      const renewal = renew(service(0), made)
      await expect.poll(() => provider.faults.count('/token')).toBe(1)
      // The holder's session dies while it refreshes: its lock is gone.
      const locks = `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'`
      await askPostgres(url, locks)
      const other = renew(service(1), made)
      expect((await renewal).status).toBe(200)
      // The other one came with a token that was being replaced: told to come again, never ended.
      expect([200, 503]).toContain((await other).status)
      provider.faults.clear()
      expect((await renew(service(1), made)).status).toBe(200)
      expect((await renew(service(0), made)).status).toBe(200)
      expect(await eventsOf(service(0), made)).not.toContain('ended')
    })
  },
)
