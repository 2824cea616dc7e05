import { randomBytes } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { type Authority, createRootCertificate, openAuthority } from '../../../ca/authority.ts'
import { wholeSeconds } from '../../../ca/certificate.ts'
import { verifyCrl } from '../../../ca/chain-revocation.ts'
import { readCrl, readCrlOutline } from '../../../ca/crl.ts'
import { generatePrivateKey } from '../../../ca/key.ts'
import { parseSlashDn } from '../../../ca/name-text.ts'
import { toPem } from '../../../ca/pem.ts'
import { createCrlPublisher } from '../../../src/domain/revocation/crl-publisher.ts'
import type { CrlRecord, RevokedCertificate } from '../../../src/domain/records.ts'
import type { Store } from '../../../src/domain/store.ts'
import { createLog } from '../../../src/base/log.ts'

const DAY_MS = 86_400_000
const begin = new Date('2026-11-23T12:00:00.000Z')

async function newAuthority(name: string): Promise<Authority> {
  const privateKey = await generatePrivateKey('ec-p256')
  const certificate = await createRootCertificate({
    subject: parseSlashDn(name),
    privateKey,
    validity: {
      notBefore: wholeSeconds(new Date(begin.getTime() - DAY_MS)),
      notAfter: wholeSeconds(new Date(begin.getTime() + 3650 * DAY_MS)),
    },
    serial: Buffer.from('0102', 'hex'),
  })
  return openAuthority(toPem('CERTIFICATE', certificate), privateKey)
}

const authority = await newAuthority('/O=T/CN=CA')

/** CRL records in memory; like PostgreSQL, revocations may come in while a CRL is being made. */
function crlWorld() {
  const revoked: RevokedCertificate[] = []
  let latest: CrlRecord | undefined
  let isWhole = true
  let nowMs = begin.getTime()
  let made = 0
  let listed = 0
  let archived = 0
  const gates: Promise<void>[] = []
  const storing: (() => Promise<void>)[] = []
  const placeOf = ({ revokedAt, serial }: Pick<RevokedCertificate, 'revokedAt' | 'serial'>) =>
    `${revokedAt.toISOString()} ${serial}`
  const store: Pick<
    Store,
    | 'latestCrl'
    | 'latestCrlNumber'
    | 'countRevocations'
    | 'countArchivedRevocations'
    | 'listRevocations'
    | 'addCrl'
  > = {
    latestCrl: async () => (isWhole ? latest : undefined),
    latestCrlNumber: async () => latest?.number ?? 0,
    countRevocations: async () => archived + revoked.length,
    countArchivedRevocations: async () => archived,
    listRevocations: async ({ from, after, limit }) => {
      listed += 1
      const rows = revoked
        .filter(({ revokedAt }) => revokedAt >= from)
        .sort((a, b) => Number(placeOf(a) > placeOf(b)) - Number(placeOf(a) < placeOf(b)))
        .filter((row) => after === undefined || placeOf(row) > placeOf(after))
        .slice(0, limit)
      await gates.shift()
      return rows
    },
    addCrl: async (crl) => {
      await storing.shift()?.()
      if (crl.number !== (latest?.number ?? 0) + 1) return false
      latest = crl
      isWhole = true
      made += 1
      return true
    },
  }
  const lines: string[] = []
  const publisher = createCrlPublisher({
    store,
    authority,
    now: () => new Date(nowMs),
    log: createLog({
      level: 'info',
      name: 't',
      destination: { write: (line) => void lines.push(line) },
    }),
    settings: { lifetimeSeconds: 30 * 86_400, refreshSeconds: 86_400 },
  })
  const revoke = (at = nowMs, daysLeft = 11): string => {
    const serial = `01${randomBytes(8).toString('hex')}`
    const notAfter = new Date(nowMs + daysLeft * DAY_MS)
    revoked.push({ serial, revokedAt: new Date(at), reason: 'unspecified', notAfter })
    return serial
  }
  return {
    publisher,
    store,
    revoke,
    gates,
    storing,
    lines,
    made: () => made,
    listed: () => listed,
    advance: (ms: number) => (nowMs += ms),
    damage: () => (isWhole = false),
    archive: (serial: string) => {
      archived += 1
      revoked.splice(
        revoked.findIndex((row) => row.serial === serial),
        1,
      )
    },
  }
}

const serialsOn = (crl: CrlRecord): string[] => [...readCrl(crl.der).revoked.keys()]

describe('current', () => {
  test('makes the first one, and then serves it', async () => {
    const { publisher, made } = crlWorld()
    const crl = await publisher.current()
    expect(crl.number).toBe(1)
    expect(readCrl(crl.der).number).toBe(1)
    expect(crl.nextUpdate.getTime() - begin.getTime()).toBe(30 * DAY_MS)
    expect(await publisher.current()).toBe(crl)
    expect(made()).toBe(1)
  })

  test('at once: one is made', async () => {
    const { publisher, made } = crlWorld()
    const all = await Promise.all(Array.from({ length: 10 }, async () => publisher.current()))
    expect(new Set(all.map(({ number }) => number))).toEqual(new Set([1]))
    expect(made()).toBe(1)
  })

  test('one that was made while the clock was ahead is replaced', async () => {
    const { publisher, advance } = crlWorld()
    advance(10 * DAY_MS)
    await publisher.current()
    advance(-10 * DAY_MS)
    const crl = await publisher.current()
    expect(crl.number).toBe(2)
    expect(crl.thisUpdate.getTime()).toBeLessThan(begin.getTime())
  })

  test.for([{ restarts: false }, { restarts: true }])(
    'a revocation makes the next one due after others moved to the archive (restart: $restarts)',
    async ({ restarts }) => {
      const { publisher, store, revoke, archive, advance } = crlWorld()
      const old = [revoke(), revoke(), revoke()]
      advance(60 * DAY_MS)
      const { number } = await publisher.current()
      for (const serial of old) archive(serial)
      const now = (): Date => new Date(begin.getTime() + 60 * DAY_MS)
      const log = createLog({ level: 'silent', name: 't' })
      const settings = { lifetimeSeconds: 30 * 86_400, refreshSeconds: 86_400 }
      const later = restarts
        ? createCrlPublisher({ store, authority, now, log, settings })
        : publisher
      expect((await later.current()).number).toBe(number)
      const serial = revoke(now().getTime(), 80)
      const crl = await later.current()
      expect(crl.number).toBe(number + 1)
      expect(serialsOn(crl)).toEqual([serial])
      // Everything is accounted for: no further CRL is due.
      expect((await later.current()).number).toBe(number + 1)
    },
  )

  test('a revocation makes the next one due', async () => {
    const { publisher, revoke } = crlWorld()
    await publisher.current()
    const serial = revoke()
    const crl = await publisher.current()
    expect(crl.number).toBe(2)
    expect([...readCrl(crl.der).revoked.keys()]).toEqual([serial])
  })

  test('a revocation while one is being made is on the one that is answered', async () => {
    const { publisher, revoke, gates } = crlWorld()
    await publisher.current()
    revoke()
    let open = (): void => undefined
    gates.push(new Promise((resolve) => (open = resolve)))
    const first = publisher.current()
    await new Promise((resolve) => setImmediate(resolve))
    // Committed after the CRL under way had listed its entries.
    const serial = revoke()
    const second = publisher.current()
    await new Promise((resolve) => setImmediate(resolve))
    open()
    expect(readCrl((await first).der).revoked.has(serial)).toBe(false)
    expect(readCrl((await second).der).revoked.has(serial)).toBe(true)
  })

  test('a day later a new one is made though nothing was revoked', async () => {
    const { publisher, advance } = crlWorld()
    await publisher.current()
    advance(DAY_MS - 1000)
    expect((await publisher.current()).number).toBe(1)
    advance(1000)
    expect((await publisher.current()).number).toBe(2)
  })

  test('one that is not whole in the database is replaced, and the log says so', async () => {
    const theirs = await crlWorld().publisher.current()
    const { publisher, store, damage, lines } = crlWorld()
    await store.addCrl(theirs)
    damage()
    expect((await publisher.published()).number).toBe(2)
    expect(lines.some((line) => line.includes('"crl.incomplete"'))).toBe(true)
  })

  test('a failure reaches the caller, and the next call tries again', async () => {
    const { publisher, gates } = crlWorld()
    gates.push(Promise.reject(new Error('disk full')))
    await expect(publisher.current()).rejects.toThrow('disk full')
    expect((await publisher.current()).number).toBe(1)
  })
})

test('after a roll-over of the key, nobody gets the stored CRL under the former key', async () => {
  const { publisher, store, revoke } = crlWorld()
  const serial = revoke()
  await publisher.current()
  const next = await newAuthority('/O=T/CN=CA 2')
  const [log, now] = [createLog({ level: 'silent', name: 't' }), () => begin]
  const settings = { lifetimeSeconds: 30 * 86_400, refreshSeconds: 86_400 }
  const started = createCrlPublisher({ store, authority: next, now, log, settings })
  const first = started.current()
  // Until the CRL is signed again, other requests find it in the database, too.
  const answers = [first]
  for (let turn = 0; turn < 20; turn += 1) {
    await Promise.resolve()
    answers.push(started.current())
  }
  for (const crl of await Promise.all(answers)) {
    expect(crl.number).toBe(1)
    expect(serialsOn(crl)).toEqual([serial])
    expect(verifyCrl(readCrlOutline(crl.der), next.certificate)).toBe(true)
  }
})

describe('a CRL carries what it counts', () => {
  test('one from the very beginning of what is read again is counted once', async () => {
    const { publisher, revoke, advance } = crlWorld()
    const serials = [revoke()]
    // What is at most ten minutes older than the newest is read again.
    advance(10 * 60_000)
    serials.push(revoke())
    await publisher.current()
    serials.push(revoke())
    const crl = await publisher.current()
    expect(crl.revocations).toBe(3)
    expect(serialsOn(crl).toSorted()).toEqual(serials.toSorted())
  })

  test('one that is dated long ago, by a clock behind, is on the next one', async () => {
    const { publisher, revoke } = crlWorld()
    const serials = [revoke()]
    await publisher.current()
    for (const at of [
      begin.getTime() - 3 * DAY_MS,
      begin.getTime() + 3 * DAY_MS,
      begin.getTime(),
    ]) {
      serials.push(revoke(at))
      const crl = await publisher.current()
      expect(serialsOn(crl).toSorted()).toEqual(serials.toSorted())
      expect(crl.revocations).toBe(serials.length)
    }
  })

  test('one more revocation does not read all the others again', async () => {
    const { publisher, revoke, listed, advance } = crlWorld()
    for (let index = 0; index < 5000; index += 1) revoke(begin.getTime() - DAY_MS + index)
    revoke()
    await publisher.current()
    const before = listed()
    advance(1000)
    revoke()
    expect(readCrl((await publisher.current()).der).revoked.size).toBe(5002)
    expect(listed() - before).toBe(1)
  })

  test('what has ended is taken off, and is back when the clock was wrong', async () => {
    const { publisher, revoke, advance } = crlWorld()
    const short = revoke(begin.getTime(), 1)
    const long = revoke()
    expect(serialsOn(await publisher.current()).toSorted()).toEqual([short, long].toSorted())
    advance(3 * DAY_MS)
    const later = await publisher.current()
    expect(serialsOn(later)).toEqual([long])
    expect(later.revocations).toBe(2)
    advance(-3 * DAY_MS)
    expect(serialsOn(await publisher.current()).toSorted()).toEqual([short, long].toSorted())
  })

  test('another process stored a CRL first: that is used when it carries everything', async () => {
    const { publisher, store, revoke, storing, made } = crlWorld()
    await publisher.current()
    const other = crlWorld()
    revoke()
    const theirs = { ...(await other.publisher.current()), number: 2, revocations: 1 }
    storing.push(async () => void (await store.addCrl(theirs)))
    expect(await publisher.current()).toBe(theirs)
    expect(made()).toBe(2)
  })

  test('and when it does not, the next number is made', async () => {
    const { publisher, store, revoke, storing } = crlWorld()
    await publisher.current()
    const serial = revoke()
    const theirs = { ...(await crlWorld().publisher.current()), number: 2, revocations: 0 }
    storing.push(async () => void (await store.addCrl(theirs)))
    const crl = await publisher.current()
    expect(crl.number).toBe(3)
    expect(serialsOn(crl)).toEqual([serial])
  })
})

describe('published', () => {
  test('is the old one while no new one can be made; the failure is logged once', async () => {
    const { publisher, revoke, storing, lines, made } = crlWorld()
    const old = await publisher.current()
    revoke()
    storing.push(() => Promise.reject(new Error('disk full')))
    await expect(publisher.current()).rejects.toThrow('disk full')
    expect(await publisher.published()).toBe(old)
    expect(made()).toBe(1)
    expect((await publisher.current()).number).toBe(2)
    expect((await publisher.published()).number).toBe(2)
    expect(lines.filter((line) => line.includes('crl.failed'))).toEqual([])
  })

  test('also when the old one has ended', async () => {
    const { publisher, storing, lines, store, advance } = crlWorld()
    const { number } = await publisher.current()
    advance(31 * DAY_MS)
    storing.push(() => Promise.reject(new Error('disk full')))
    const log = createLog({
      level: 'info',
      name: 't',
      destination: { write: (line) => void lines.push(line) },
    })
    const settings = { lifetimeSeconds: 30 * 86_400, refreshSeconds: 86_400 }
    const now = (): Date => new Date(begin.getTime() + 31 * DAY_MS)
    // As after a restart.
    const started = createCrlPublisher({ store, authority, now, log, settings })
    expect((await started.published()).number).toBe(number)
    expect(lines.filter((line) => line.includes('crl.failed'))).toHaveLength(1)
    expect((await started.current()).number).toBe(number + 1)
  })

  test('without any there is an error', async () => {
    const { publisher, storing } = crlWorld()
    storing.push(() => Promise.reject(new Error('disk full')))
    await expect(publisher.published()).rejects.toThrow('disk full')
    expect((await publisher.published()).number).toBe(1)
  })
})
