import { expect, onTestFinished, test, vi } from 'vitest'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { passSteadyTime } from '../support/steady-time.ts'
import { TtsError } from '../../src/base/errors.ts'
import { createTokenCache } from '../../src/tokens/token-cache.ts'
import { AUDIENCE, refusalOf, settingsFor, verifierFor } from './support.ts'

const provider = useIdentityProvider()
const token = {
  providerId: 'iam',
  issuer: 'https://iam.example.org',
  publishedIssuer: 'https://iam.example.org/',
  sub: 'u',
  claims: {},
  scopes: [],
  clientId: undefined,
  profile: 'generic' as const,
  clientOnly: false,
  expiresAt: new Date(60_000),
}

test('a verified token is remembered until its bound and no longer', async () => {
  let nowMs = 0
  let runs = 0
  const cache = createTokenCache({ now: () => new Date(nowMs) })
  const verify = async () => {
    runs += 1
    return { token, untilMs: 60_000 }
  }
  await cache.resolve('a', verify)
  nowMs = 59_999
  await cache.resolve('a', verify)
  expect(runs).toBe(1)
  await cache.resolve('b', verify)
  expect(runs).toBe(2)
  nowMs = 60_000
  await cache.resolve('a', verify)
  expect(runs).toBe(3)
})

test('a clock that is set back lengthens nothing', async () => {
  let nowMs = 3_600_000
  let runs = 0
  const cache = createTokenCache({ now: () => new Date(nowMs) })
  const verify = async () => {
    runs += 1
    return { token, untilMs: nowMs + 60_000 }
  }
  const refuse = async () => {
    runs += 1
    throw new TtsError('invalid_token', 'revoked', { check: 'active' })
  }
  await cache.resolve('a', verify)
  await refusalOf(cache.resolve('b', refuse))
  nowMs = 0
  await cache.resolve('a', verify)
  await refusalOf(cache.resolve('b', refuse))
  expect(runs).toBe(2)
  passSteadyTime(11_000)
  await refusalOf(cache.resolve('b', refuse))
  await cache.resolve('a', verify)
  expect(runs).toBe(3)
  passSteadyTime(61_000)
  await cache.resolve('a', verify)
  expect(runs).toBe(4)
})

test('refusals are not remembered, and callers share one run', async () => {
  let runs = 0
  const cache = createTokenCache({ now: () => new Date(0) })
  const fail = async () => {
    runs += 1
    await Promise.resolve()
    throw new Error('no')
  }
  const both = [cache.resolve('a', fail), cache.resolve('a', fail)]
  expect((await Promise.allSettled(both)).map(({ status }) => status)).toEqual([
    'rejected',
    'rejected',
  ])
  expect(runs).toBe(1)
  await expect(cache.resolve('a', fail)).rejects.toThrow('no')
  expect(runs).toBe(2)
})

test('it is bounded in size and in what runs at once', async () => {
  const cache = createTokenCache({ now: () => new Date(0), maxTokens: 3, maxInFlight: 2 })
  const verify = async () => ({ token, untilMs: 1 })
  for (let n = 0; n < 10; n += 1) await cache.resolve(`${n}`, verify)
  expect(cache.size()).toBe(3)
  let release: () => void = () => undefined
  const held = new Promise<void>((resolve) => (release = resolve))
  const slow = async () => held.then(verify)
  const running = ['x', 'y'].map((text) => cache.resolve(text, slow))
  const error = await refusalOf(cache.resolve('z', slow))
  expect(error).toMatchObject({ code: 'overloaded', retryAfterSeconds: 1 })
  release()
  await Promise.all(running)
})

test('one address has a share of what runs at once', async () => {
  const cache = createTokenCache({ now: () => new Date(0), maxInFlight: 16 })
  let release: () => void = () => undefined
  const held = new Promise<void>((resolve) => (release = resolve))
  const slow = async () => held.then(() => ({ token, untilMs: 1 }))
  const running = ['1', '2'].map((text) => cache.resolve(text, slow, 'a'))
  expect(await refusalOf(cache.resolve('3', slow, 'a'))).toMatchObject({
    code: 'limit_reached',
    check: 'address_verifications',
  })
  running.push(cache.resolve('4', slow, 'b'), cache.resolve('1', slow, 'a'))
  release()
  await Promise.all(running)
  await cache.resolve('3', slow, 'a')
})

test('a hit does not outlive the token, whatever the cache allows', async () => {
  const settings = settingsFor(provider().issuer, { clock_leeway_seconds: 0 })
  const verifier = verifierFor({ iam: settings })
  const exp = Math.floor(Date.now() / 1000) + 20
  const short = provider().mint({ claims: { aud: AUDIENCE, exp } })
  const first = await verifier.verify(short)
  expect(await verifier.verify(short)).toBe(first)
  verifier.advance(25)
  expect((await refusalOf(verifier.verify(short))).check).toBe('expired')
})

test('a hit verifies no signature', async () => {
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  const good = provider().mint({ claims: { aud: AUDIENCE } })
  const verifications = vi.spyOn(crypto.subtle, 'verify')
  onTestFinished(() => verifications.mockRestore())
  const first = await verifier.verify(good)
  expect(verifications).toHaveBeenCalledTimes(1)
  for (let n = 0; n < 10; n += 1) expect(await verifier.verify(good)).toBe(first)
  expect(verifications).toHaveBeenCalledTimes(1)
})
