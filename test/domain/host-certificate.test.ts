/** The service's own host certificate: kept, renewed, replaced after a revocation, the same on all replicas. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { formatSlashDn, parseSlashDn } from '../../ca/name-text.ts'
import {
  createHostCertificate,
  HOST_SERVICE,
  type HostCertificate,
} from '../../src/domain/host-certificate.ts'
import type { Store } from '../../src/domain/store.ts'
import { makeAuthority } from '../support/issuing.ts'
import { passSteadyTime } from '../support/steady-time.ts'
import { describeStores } from '../store/support.ts'

const DAY_MS = 86_400_000
const start = new Date('2026-11-23T12:00:00.000Z')
const origin = { requestId: 'r', address: 'local', interface: 'cli' }

describeStores('the host certificate', (fixture) => {
  const open = async (): Promise<Store> => fixture.open(await fixture.newDatabase())
  let now = start
  async function replica(
    store: Store,
    kind: 'ec-p256' | 'ec-p384' = 'ec-p256',
  ): Promise<HostCertificate> {
    return createHostCertificate({
      store,
      authority: await makeAuthority(kind),
      now: () => now,
      randomBytes,
      base: parseSlashDn('/C=EU/O=INDIGO/OU=TTS'),
      host: 'tts.example.org',
      crlUrl: undefined,
    })
  }
  const serialOf = async (host: HostCertificate): Promise<string> =>
    (await host.current()).certificate.serial

  test('is made once, for all replicas and after a restart', async () => {
    now = start
    const store = await open()
    const replicas = [await replica(store), await replica(store), await replica(store)]
    const serials = await Promise.all(replicas.map(serialOf))
    expect(new Set(serials).size).toBe(1)
    expect(await serialOf(await replica(store))).toBe(serials[0])
    const { certificate } = await (await replica(store)).current()
    expect(formatSlashDn(certificate.subject)).toBe('/C=EU/O=INDIGO/OU=TTS/CN=tts.example.org')
  })

  test('is renewed 30 days before its end, and in use until then', async () => {
    now = start
    const store = await open()
    const host = await replica(store)
    const first = await serialOf(host)
    now = new Date(start.getTime() + 59 * DAY_MS)
    expect(await serialOf(host)).toBe(first)
    now = new Date(start.getTime() + 60.1 * DAY_MS)
    const second = await serialOf(host)
    expect(second).not.toBe(first)
    expect(await serialOf(await replica(store))).toBe(second)
  })

  async function revokeIt(store: Store, serial: string): Promise<void> {
    const [credential] = await store.listCredentials({ serviceId: HOST_SERVICE })
    expect(credential).toMatchObject({ endEntitySerial: serial })
    expect(credential?.identity).toMatchObject({ issuer: 'host', sub: 'tts.example.org' })
    await store.revoke({
      credentialId: credential?.id ?? '',
      reason: 'keyCompromise',
      at: now,
      origin,
    })
  }

  test('is replaced within a minute once it was revoked, and listed until then', async () => {
    now = start
    const store = await open()
    const host = await replica(store)
    const first = await serialOf(host)
    await revokeIt(store, first)
    now = new Date(start.getTime() + 61_000)
    expect(await serialOf(host)).not.toBe(first)
  })

  test('is replaced within a minute even if the clock was set back', async () => {
    now = new Date(start.getTime() + 3_600_000)
    const store = await open()
    const host = await replica(store)
    const first = await serialOf(host)
    now = start
    await revokeIt(store, first)
    passSteadyTime(61_000)
    expect(await serialOf(host)).not.toBe(first)
  })

  test('of a former CA is not used', async () => {
    now = start
    const store = await open()
    const first = await serialOf(await replica(store))
    expect(await serialOf(await replica(store, 'ec-p384'))).not.toBe(first)
  })
})
