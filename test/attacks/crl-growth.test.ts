/**
 * Revocations that have piled up: the service starts, revokes and publishes, and answers meanwhile. TTS_TEST_FULL=1
 * takes 300,000 of them.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readCrl } from '../../ca/crl.ts'
import { createLog } from '../../src/base/log.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { serve } from '../../src/service/serve.ts'
import { soundCsr } from '../api/support.ts'
import { isFull } from '../support/full.ts'
import { openssl } from '../support/openssl.ts'
import { startTestService } from '../support/service.ts'
import { pause, report, watch } from './support.ts'

const COUNT = isFull ? 300_000 : 30_000

test('the CRL of many revocations', async () => {
  const service = await startTestService({
    configuration: { limits: { revocations_per_hour_per_identity: 3 } },
  })
  const token = service.token()
  const headers = { authorization: `Bearer ${token}` }
  const ask = async (url: string): Promise<string> => {
    const answer = await fetch(`${url}/v1/proxies`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/pkcs10', accept: 'application/json' },
      body: await soundCsr(),
    })
    expect(answer.status).toBe(200)
    return ((await answer.json()) as { id: string }).id
  }
  await ask(service.url)
  await service.running.stop()
  fillRevocations(join(service.directory, 'data', 'tts.db'))

  const log = createLog({ level: 'error', name: 'tts', destination: { write: () => undefined } })
  const loaded = await loadConfiguration(join(service.directory, 'tts.yaml'), {})
  const again = await serve(loaded, log)
  try {
    const { url } = again
    let answered = 0
    const over = new AbortController()
    const probing = (async () => {
      while (!over.signal.aborted) {
        expect((await fetch(`${url}/healthz`)).status).toBe(200)
        answered += 1
        await sleep(100)
      }
    })()
    const bystander = {
      url,
      token: (username?: string, claims?: Record<string, unknown>) =>
        service.token(username, claims),
    }
    // The first request of an identity makes its RSA key, and that of a service fetches the JWKS: not what is
    // measured here.
    await watch(bystander, async () => pause(200))
    // Read afterwards: the test's own reading of a long CRL must not hold up the service in the same process.
    const published: { crl: Buffer; serial: string }[] = []
    const attacked = await watch(bystander, async () => {
      const before = await again.service.crls.current()
      expect(before.revocations).toBe(COUNT)
      expect(answered).toBeGreaterThan(0)
      for (const status of [200, 200, 200, 429]) {
        const id = await ask(url)
        const answer = await fetch(`${url}/v1/credentials/${id}`, { method: 'DELETE', headers })
        expect(answer.status).toBe(status)
        const body = (await answer.json()) as { end_entity_serial?: string; failed_check?: string }
        if (status !== 200) {
          expect(JSON.stringify(body)).toContain('revocation_rate')
          expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0)
          continue
        }
        const crl = Buffer.from(await (await fetch(`${url}/ca/crl.der`)).arrayBuffer())
        published.push({ crl, serial: body.end_entity_serial ?? '' })
      }
    })
    report('CRL', await watch(bystander, async () => pause(1500)), attacked)
    expect(Object.keys(attacked.statuses)).toEqual(['200'])
    for (const { crl, serial } of published) {
      expect(readCrl(crl).revoked.has(serial)).toBe(true)
      const args = ['crl', '-inform', 'DER', '-in', 'crl', '-noout']
      expect(await openssl(args, { crl })).toMatchObject({ ok: true })
    }
    const { der, revocations } = await again.service.crls.current()
    expect(revocations).toBe(COUNT + 3)
    expect(readCrl(der).revoked.size).toBe(COUNT + 3)
    over.abort()
    await probing
  } finally {
    await again.stop()
    await service.stop()
  }
}, 180_000)

/** As many EECs that have not ended, each revoked, beside the identity that is there. */
function fillRevocations(path: string): void {
  const database = new DatabaseSync(path, { timeout: 10_000 })
  try {
    const now = Date.now()
    database.exec(`
      begin immediate;
      create temporary table n as with recursive c(i) as (select 1 union all select i + 1 from c where i < ${COUNT}) select i from c;
      insert into certificates (serial, kind, subject, not_before, not_after, fingerprint, key_kind, identity_id, position)
        select printf('40%030x', i), 'eec', '/CN=x', ${now}, ${now + 86_400_000 * 10}, printf('%064x', i), 'ec-p256',
          (select id from identities limit 1), 0 from n;
      insert into revocations (serial, revoked_at, reason)
        select printf('40%030x', i), ${now - 86_400_000} + i, 'keyCompromise' from n;
      commit;`)
  } finally {
    database.close()
  }
}
