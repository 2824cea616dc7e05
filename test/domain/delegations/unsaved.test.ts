/** A new refresh token that the records do not take when it comes: the spool has the only copy. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { DelegationRecords } from '../../../src/domain/delegations/records.ts'
import { TtsError } from '../../../src/base/errors.ts'
import { serve } from '../../../src/service/serve.ts'
import { loadConfiguration } from '../../../src/config/load.ts'
import { createLog } from '../../../src/base/log.ts'
import { delegate, delegating, eventsOf, type Made, renew } from '../../api/delegation-support.ts'
import { problemOf } from '../../api/support.ts'
import { startTestService, type TestService } from '../../support/service.ts'
import { join } from 'node:path'

let service: TestService
let made: Made
let records: { withRefreshToken: DelegationRecords['withRefreshToken'] }
let failing = false

beforeEach(async () => {
  service = await startTestService(delegating())
  made = await delegate(service)
  const { store } = service.running.service
  records = store.delegations
  const original = records.withRefreshToken
  failing = false
  records.withRefreshToken = (id, work, waitMs) =>
    original(
      id,
      (locked) =>
        work({
          load: () => locked.load(),
          save: async (held, about) => {
            // The mark before the refresh goes through; the disk is full when the answer comes.
            if (failing && held.attemptBegunAt === undefined)
              throw new TtsError('store_unavailable', 'the disk is full')
            return locked.save(held, about)
          },
        }),
      waitMs,
    )
})
afterEach(async () => service.stop())

async function renewOnFullDisk(): Promise<void> {
  failing = true
  const response = await renew(service, made)
  expect(await problemOf(response)).toMatchObject({ status: 503, code: 'store_unavailable' })
  expect(service.provider.faults.count('/token')).toBeGreaterThan(0)
}

describe('it lies in the spool', () => {
  test('until the next renewal, which stores and uses it', async () => {
    await renewOnFullDisk()
    failing = false
    expect((await renew(service, made)).status).toBe(200)
    expect(await eventsOf(service, made)).not.toContain('ended')
  })

  test('until the next look, which stores it', async () => {
    await renewOnFullDisk()
    await service.running.service.delegations.refresher.recover()
    expect(service.logged.join('')).toContain('delegation.unsaved')
    failing = false
    await service.running.service.delegations.refresher.recover()
    expect(await eventsOf(service, made)).toContain('rotated')
    expect((await renew(service, made)).status).toBe(200)
  })

  test('until the next service stores it', async () => {
    await renewOnFullDisk()
    failing = false
    await service.running.stop()
    const loaded = await loadConfiguration(join(service.directory, 'tts.yaml'), {})
    const next = await serve(loaded, createLog({ level: 'silent', name: 'tts' }))
    try {
      for (let attempt = 0; attempt < 100; attempt += 1)
        if ((await fetch(`${next.url}/readyz`)).ok) break
      expect((await renew(next, made)).status).toBe(200)
    } finally {
      await next.stop()
    }
  })
})
