/**
 * Four replicas behind HAProxy. One is killed with -9 each few seconds, under load and while credentials are revoked;
 * clients whose connection breaks ask again. TTS_TEST_FULL=1: for two minutes.
 */
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { isFull } from '../support/full.ts'
import { describeWithTools } from '../support/grid-tools.ts'
import { ask, type PostgresCluster, startPostgres } from '../support/postgres.ts'
import { type Load, missingRecords, nothingMissing, startLoad } from '../support/replica-load.ts'
import { type Replicas, startReplicas } from '../support/replicas.ts'

const DURATION_MS = isFull ? 120_000 : 20_000
const BETWEEN_KILLS_MS = 2500

describeWithTools('four replicas, killed in turn', ['postgresql', 'haproxy', 'openssl'], () => {
  let cluster: PostgresCluster
  let database = ''
  let provider: IdentityProvider
  let replicas: Replicas
  beforeAll(async () => {
    cluster = await startPostgres()
    database = await cluster.createDatabase()
    provider = await startIdentityProvider()
    replicas = await startReplicas({ count: 4, database, provider })
  })
  afterAll(async () => {
    await replicas.stop()
    await provider.close()
    await cluster.stop()
  })

  /** Revokes through all replicas what identities of one request have got. Returns the serials of their EECs. */
  async function revokeSome(load: Load, over: AbortSignal): Promise<readonly string[]> {
    const revoked: string[] = []
    for (let next = 0; !over.aborted; next += 1) {
      const replica = replicas.all[next % replicas.all.length]!
      const [made] = load.received.filter(
        ({ sub, endEntitySerial }) => sub.startsWith('new-') && !revoked.includes(endEntitySerial),
      )
      await sleep(150)
      if (made === undefined) continue
      const answer = await fetch(`${replica.url}/v1/credentials/${made.id}`, {
        method: 'DELETE',
        headers: { authorization: `Bearer ${made.token}` },
        signal: AbortSignal.timeout(10_000),
      }).catch(() => undefined)
      if (answer?.status === 200) revoked.push(made.endEntitySerial)
    }
    return revoked
  }

  const column = async (sql: string): Promise<readonly unknown[]> =>
    (await ask(database, sql)).map((row) => Object.values(row as object)[0])

  test('what clients received is on record, once; CRLs have one line; no lock stays', async () => {
    const { url, certificate, all } = replicas
    const load = await startLoad({ url, certificate, provider, clients: 6, pauseMs: 20 })
    const over = new AbortController()
    const revoking = revokeSome(load, over.signal)
    const end = performance.now() + DURATION_MS
    let kills = 0
    while (performance.now() < end || kills < 4) {
      await sleep(BETWEEN_KILLS_MS)
      const victim = all[kills % all.length]!
      await victim.kill()
      kills += 1
      await victim.start()
    }
    over.abort()
    const revoked = await revoking
    await load.end()

    const { received, refused, broken } = load
    const numbers = await column('select number::int from crls order by number')
    process.stdout.write(
      `${kills} kills: ${received.length} received, ${refused.length} refused, ${broken.length} connections broken; ` +
        `${revoked.length} revoked, CRL ${String(numbers.at(-1))}; slowest answer ${Math.round(load.slowest())} ms\n`,
    )
    expect(received.length).toBeGreaterThan(100)
    expect(revoked.length).toBeGreaterThan(3)
    // HAProxy has the request of a replica that died answered by another one.
    expect(refused.filter(({ status }) => status !== 503)).toEqual([])
    expect(refused.length + broken.length).toBeLessThan(received.length / 50)
    expect(await missingRecords(database, received)).toEqual(nothingMissing)
    // The same look finds a proxy that is not on record, and one that was given twice.
    const [one] = received
    if (one === undefined) throw new Error('no client received a proxy')
    const gone = { ...one, id: 'gone', serial: 'gone' }
    expect(await missingRecords(database, [one, one, gone])).toEqual({
      credentials: ['gone'],
      certificates: ['gone'],
      audited: ['gone'],
      twice: [one.id, one.serial],
    })

    // No CRL of the same number twice, none left out.
    expect(numbers).toEqual(numbers.map((_, index) => Number(numbers[0]) + index))
    const texts = async (): Promise<readonly string[]> =>
      Promise.all(all.map(async ({ url: replica }) => crlText(replica)))
    // A replica remembers a CRL for a second.
    await expect.poll(async () => new Set(await texts()).size, { timeout: 10_000 }).toBe(1)
    const [text = ''] = await texts()
    expect(revoked.filter((serial) => !text.includes(serial))).toEqual([])

    await expect
      .poll(async () => column(`select 1 from pg_locks where locktype = 'advisory'`), {
        timeout: 10_000,
      })
      .toEqual([])
  })
})

async function crlText(replica: string): Promise<string> {
  const der = await (await fetch(`${replica}/ca/crl.der`)).bytes()
  const words = ['crl', '-inform', 'DER', '-noout', '-text']
  return execFileSync('openssl', words, { input: der }).toString().toLowerCase()
}
