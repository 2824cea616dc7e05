import { beforeEach, describe, expect, test, vi } from 'vitest'
import { readKrl } from '../../../ca/ssh/krl.ts'
import { sshPublicKeyOf } from '../../../ca/ssh/public-key.ts'
import { createKrlSource } from '../../../src/domain/issuing/ssh.ts'
import type { Log } from '../../../src/base/log.ts'
import { sshKeyPair } from '../../support/ssh-keys.ts'

const publicKey = sshPublicKeyOf(sshKeyPair('ed25519').publicKey)
const begin = new Date('2026-11-23T12:00:00.000Z')

/** Revocations in memory, of this process and of others. */
function krlWorld() {
  const serials: bigint[] = []
  const asked = { counts: 0, lists: 0 }
  let here = 0
  let broken = false
  const logged = vi.fn<(fields: object, text: string) => void>()
  const krl = createKrlSource({
    sshAuthority: { publicKey },
    store: {
      countRevokedSsh: async () => {
        asked.counts += 1
        if (broken) throw new Error('database gone')
        return serials.length
      },
      revokedSshSerials: async () => {
        asked.lists += 1
        return [...serials]
      },
      revokedHere: () => here,
    },
    now: () => begin,
    log: { error: logged } as unknown as Log,
  })
  const revokeElsewhere = (): void => void serials.push(BigInt(serials.length + 1))
  const revoke = (): void => {
    revokeElsewhere()
    here += 1
  }
  const breakIt = (): void => void (broken = true)
  return { krl, revoke, revokeElsewhere, breakIt, asked, logged }
}

const serialsOf = (krl: Buffer): readonly bigint[] => readKrl(krl).serials

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['performance'], now: 0 })
  return () => vi.useRealTimers()
})

describe('the KRL', () => {
  test('is made once, however many ask and however long nothing is revoked', async () => {
    const { krl, asked } = krlWorld()
    const first = await krl()
    for (let second = 0; second < 600; second += 1) {
      vi.advanceTimersByTime(1001)
      expect(await Promise.all([krl(), krl(), krl()])).toEqual([first, first, first])
    }
    expect(asked).toEqual({ counts: 601, lists: 1 })
  })

  test('has what was revoked here at once, and what was elsewhere a second later', async () => {
    const { krl, revoke, revokeElsewhere } = krlWorld()
    await krl()
    revoke()
    expect(serialsOf(await krl())).toEqual([1n])
    revokeElsewhere()
    vi.advanceTimersByTime(1001)
    expect(serialsOf(await krl())).toEqual([1n, 2n])
  })

  test('is made anew after an hour, so that what has ended leaves it', async () => {
    const { krl, asked } = krlWorld()
    await krl()
    vi.advanceTimersByTime(3_600_001)
    await krl()
    expect(asked.lists).toBe(2)
  })

  test('is the old one while no new one can be made, with a line in the log', async () => {
    const { krl, revoke, breakIt, logged } = krlWorld()
    const old = await krl()
    breakIt()
    revoke()
    expect(await krl()).toBe(old)
    expect(logged).toHaveBeenCalledWith(
      expect.objectContaining({ event: 'krl.failed' }),
      expect.any(String),
    )
  })

  test('is an error when there never was one, and is tried again', async () => {
    const { krl, breakIt, asked } = krlWorld()
    breakIt()
    await expect(krl()).rejects.toThrow('database gone')
    await expect(krl()).rejects.toThrow('database gone')
    expect(asked.counts).toBe(2)
  })
})
