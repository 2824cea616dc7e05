/** A TLS server that goes on with another certificate. */
import { pino } from 'pino'
import type { SecureContextOptions } from 'node:tls'
import { afterEach, expect, test, vi } from 'vitest'
import { followHeldTls, heldTlsOptions } from '../../src/http/held-tls.ts'

afterEach(() => void vi.useRealTimers())

const held = (name: string) => ({ certificatePem: name, keyPem: `${name} key`, end: new Date(0) })

test('options that are fixed are there with every certificate', async () => {
  vi.useFakeTimers()
  const fixed = { maxVersion: 'TLSv1.2' } as const
  const used = held('first')
  expect(heldTlsOptions(used, fixed)).toEqual({
    cert: 'first',
    key: 'first key',
    minVersion: 'TLSv1.2',
    maxVersion: 'TLSv1.2',
  })
  const given: SecureContextOptions[] = []
  let current = used
  const server = { setSecureContext: (options: SecureContextOptions) => void given.push(options) }
  const source = { current: async () => current }
  const log = pino({ level: 'silent' })
  const following = followHeldTls(server, source, { log, used, fixed })
  await vi.advanceTimersByTimeAsync(60_000)
  expect(given).toEqual([])
  current = held('second')
  await vi.advanceTimersByTimeAsync(60_000)
  following.stop()
  expect(given).toEqual([heldTlsOptions(held('second'), fixed)])
})
