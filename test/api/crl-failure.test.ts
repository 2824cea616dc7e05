/** No new CRL can be stored: the old one is served, revocations are recorded, and the service starts. */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import { readCrl } from '../../ca/crl.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { serve } from '../../src/service/serve.ts'
import { startTestService } from '../support/service.ts'
import { soundCsr } from './support.ts'

test('the old CRL is served while no new one can be made', async () => {
  const service = await startTestService()
  const headers = { authorization: `Bearer ${service.token()}` }
  const execute = (sql: string): void => {
    const path = join(service.directory, 'data', 'tts.db')
    const database = new DatabaseSync(path, { timeout: 10_000 })
    database.exec(sql)
    database.close()
  }
  const crlOf = async (url: string) => {
    const answers = ['crl.der', 'crl.pem', 'trust-anchors.tar.gz'].map((name) =>
      fetch(`${url}/ca/${name}`),
    )
    const [der, ...rest] = await Promise.all(answers)
    for (const { status } of rest) expect(status).toBe(200)
    return readCrl(Buffer.from((await der?.arrayBuffer()) ?? new ArrayBuffer(0)))
  }
  const issued = await fetch(`${service.url}/v1/proxies`, {
    method: 'POST',
    headers: { ...headers, 'content-type': 'application/pkcs10', accept: 'application/json' },
    body: await soundCsr(),
  })
  const { id } = (await issued.json()) as { id: string }
  const revoke = async (url: string) => {
    const answer = await fetch(`${url}/v1/credentials/${id}`, { method: 'DELETE', headers })
    return { status: answer.status, text: await answer.text() }
  }
  const before = await crlOf(service.url)
  execute(`create trigger no_crl before insert on crls begin select raise(abort, 'full'); end`)
  const refused = await revoke(service.url)
  expect(refused).toMatchObject({ status: 503 })
  expect(refused.text).toContain('is revoked, but the CRL with the revocation')
  expect((await crlOf(service.url)).number).toBe(before.number)
  await service.running.stop()

  const lines: string[] = []
  const log = createLog({
    level: 'info',
    name: 'tts',
    destination: { write: (line) => void lines.push(line) },
  })
  const again = await serve(await loadConfiguration(join(service.directory, 'tts.yaml'), {}), log)
  try {
    expect((await crlOf(again.url)).number).toBe(before.number)
    await expect.poll(() => lines.filter((line) => line.includes('crl.failed'))).toHaveLength(1)
    execute('drop trigger no_crl')
    expect((await revoke(again.url)).status).toBe(200)
    const after = await crlOf(again.url)
    expect(after.number).toBe((before.number ?? 0) + 1)
    expect(after.revoked.size).toBe(1)
  } finally {
    await again.stop()
    await service.stop()
  }
})
