import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { createRootCertificate, openAuthority } from '../../ca/authority.ts'
import { wholeSeconds } from '../../ca/certificate.ts'
import { type CrlEntry, readCrl } from '../../ca/crl.ts'
import { generatePrivateKey } from '../../ca/key.ts'
import { parseSlashDn } from '../../ca/name-text.ts'
import { toPem } from '../../ca/pem.ts'
import { createCrlKeeper } from '../../src/domain/crl-keeper.ts'
import type { CrlRecord, Store } from '../../src/domain/records.ts'
import { createLog } from '../../src/log.ts'

const DAY_MS = 86_400_000
const begin = new Date('2026-11-23T12:00:00.000Z')
const privateKey = await generatePrivateKey('ec-p256')
const authority = openAuthority(
  toPem(
    'CERTIFICATE',
    await createRootCertificate({
      subject: parseSlashDn('/O=T/CN=CA'),
      privateKey,
      validity: {
        notBefore: wholeSeconds(new Date(begin.getTime() - DAY_MS)),
        notAfter: wholeSeconds(new Date(begin.getTime() + 3650 * DAY_MS)),
      },
      serial: Buffer.from('0102', 'hex'),
    }),
  ),
  privateKey,
)

/** CRL records in memory; like PostgreSQL, revocations may come in while a CRL is being made. */
function crlWorld() {
  const revoked: CrlEntry[] = []
  let latest: CrlRecord | undefined
  let nowMs = begin.getTime()
  let made = 0
  const gates: Promise<void>[] = []
  const store: Pick<Store, 'latestCrl' | 'countRevocations' | 'createCrl'> = {
    latestCrl: async () => latest,
    countRevocations: async () => revoked.length,
    createCrl: async (_keepAfter, build) => {
      const revocations = revoked.length
      const entries = [...revoked]
      await gates.shift()
      const built = await build((latest?.number ?? 0) + 1, entries)
      latest = { ...built, number: (latest?.number ?? 0) + 1, revocations }
      made += 1
      return latest
    },
  }
  const lines: string[] = []
  const keeper = createCrlKeeper({
    store: store as Store,
    authority,
    now: () => new Date(nowMs),
    log: createLog({
      level: 'info',
      name: 't',
      destination: { write: (line) => void lines.push(line) },
    }),
    settings: { lifetimeSeconds: 30 * 86_400, refreshSeconds: 86_400 },
  })
  const revoke = (): string => {
    const serial = `01${randomBytes(8).toString('hex')}`
    revoked.push({ serial, revokedAt: new Date(nowMs), reason: 'unspecified' })
    return serial
  }
  return { keeper, revoke, gates, made: () => made, advance: (ms: number) => (nowMs += ms) }
}

describe('current', () => {
  test('makes the first one, and then serves it', async () => {
    const { keeper, made } = crlWorld()
    const crl = await keeper.current()
    expect(crl.number).toBe(1)
    expect(readCrl(crl.der).number).toBe(1)
    expect(crl.nextUpdate.getTime() - begin.getTime()).toBe(30 * DAY_MS)
    expect(await keeper.current()).toBe(crl)
    expect(made()).toBe(1)
  })

  test('at once: one is made', async () => {
    const { keeper, made } = crlWorld()
    const all = await Promise.all(Array.from({ length: 10 }, async () => keeper.current()))
    expect(new Set(all.map(({ number }) => number))).toEqual(new Set([1]))
    expect(made()).toBe(1)
  })

  test('one that was made while the clock was ahead is replaced', async () => {
    const { keeper, advance } = crlWorld()
    advance(10 * DAY_MS)
    await keeper.current()
    advance(-10 * DAY_MS)
    const crl = await keeper.current()
    expect(crl.number).toBe(2)
    expect(crl.thisUpdate.getTime()).toBeLessThan(begin.getTime())
  })

  test('a revocation makes the next one due', async () => {
    const { keeper, revoke } = crlWorld()
    await keeper.current()
    const serial = revoke()
    const crl = await keeper.current()
    expect(crl.number).toBe(2)
    expect([...readCrl(crl.der).revoked.keys()]).toEqual([serial])
  })

  test('a revocation while one is being made is on the one that is answered', async () => {
    const { keeper, revoke, gates } = crlWorld()
    await keeper.current()
    revoke()
    let open = (): void => undefined
    gates.push(new Promise((resolve) => (open = resolve)))
    const first = keeper.current()
    await new Promise((resolve) => setImmediate(resolve))
    // Committed after the CRL under way had listed its entries.
    const serial = revoke()
    const second = keeper.current()
    await new Promise((resolve) => setImmediate(resolve))
    open()
    expect(readCrl((await first).der).revoked.has(serial)).toBe(false)
    expect(readCrl((await second).der).revoked.has(serial)).toBe(true)
  })

  test('a day later a new one is made though nothing was revoked', async () => {
    const { keeper, advance } = crlWorld()
    await keeper.current()
    advance(DAY_MS - 1000)
    expect((await keeper.current()).number).toBe(1)
    advance(1000)
    expect((await keeper.current()).number).toBe(2)
  })

  test('a failure reaches the caller, and the next call tries again', async () => {
    const { keeper, gates } = crlWorld()
    gates.push(Promise.reject(new Error('disk full')))
    await expect(keeper.current()).rejects.toThrow('disk full')
    expect((await keeper.current()).number).toBe(1)
  })
})
