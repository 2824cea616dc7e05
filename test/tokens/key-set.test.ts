import { expect, test } from 'vitest'
import { newRsaKey } from '../../demo/identity-provider/signing-keys.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, refusalOf, settingsFor, until, verifierFor } from './support.ts'

const provider = useIdentityProvider()
/** Tokens that outlive the jumps of the clock in these tests. */
const good = () =>
  provider().mint({ claims: { aud: AUDIENCE, exp: Math.floor(Date.now() / 1000) + 1e6 } })

async function readyVerifier(changes = {}) {
  const verifier = verifierFor({ iam: settingsFor(provider().issuer, changes) })
  await verifier.verify(good())
  return verifier
}

test('a new key is found when its id is seen, the old one no longer trusted', async () => {
  const verifier = await readyVerifier()
  const old = good()
  await provider().keys.rotate()
  verifier.advance(31)
  await verifier.verify(good())
  expect(provider().faults.count('/jwk')).toBe(2)
  expect((await refusalOf(verifier.verify(old))).check).toBe('key')
})

test('a flood of unknown key ids is no flood of requests', async () => {
  const verifier = await readyVerifier()
  const key = await newRsaKey()
  verifier.advance(31)
  const flood = Array.from({ length: 200 }, (_, index) =>
    provider().mint({ key, header: { kid: `unknown-${index}` }, claims: { aud: AUDIENCE } }),
  )
  const errors = await Promise.all(flood.map((token) => refusalOf(verifier.verify(token))))
  expect(new Set(errors.map((error) => error.check))).toEqual(new Set(['key']))
  for (const token of flood) await refusalOf(verifier.verify(token))
  expect(provider().faults.count('/jwk')).toBe(2)
})

test('keys outlive an outage up to their maximum age', async () => {
  const verifier = await readyVerifier()
  provider().faults.set('*', { kind: 'reset' })
  verifier.advance(47 * 3600)
  await verifier.verify(good())
  verifier.advance(2 * 3600)
  const error = await refusalOf(verifier.verify(good()))
  expect(error.code).toBe('provider_unavailable')
  expect(verifier.status()[0]?.ready).toBe(false)
})

test('an unknown key id while the keys cannot be fetched: nobody can tell', async () => {
  const verifier = await readyVerifier()
  await provider().keys.rotate()
  provider().faults.set('/jwk', { kind: 'status', status: 500 })
  verifier.advance(31)
  expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
  for (let n = 0; n < 20; n += 1) await refusalOf(verifier.verify(good()))
  expect(provider().faults.count('/jwk')).toBe(2)
  provider().faults.clear()
  verifier.advance(6)
  await verifier.verify(good())
})

test('old keys are renewed in the background, without anybody waiting', async () => {
  const verifier = await readyVerifier()
  provider().faults.set('/jwk', { kind: 'slow', delayMs: 50 })
  verifier.advance(6 * 3600 + 1)
  await verifier.verify(good())
  const fetchedAt = () => verifier.status()[0]?.keysFetchedAt?.getTime()
  const before = fetchedAt()
  await until(() => fetchedAt() !== before)
  expect(provider().faults.count('/jwk')).toBe(2)
})

test.for([
  { name: 'no list of keys', fault: { kind: 'body', body: { keys: 'x' } } },
  { name: 'keys without bound', fault: { kind: 'huge' } },
  { name: 'half a document', fault: { kind: 'malformed' } },
  { name: 'a redirect to good keys', fault: { kind: 'redirect', location: '/elsewhere' } },
  { name: 'members that are no objects', fault: { kind: 'body', body: { keys: [1, null] } } },
] as const)('a key set with $name is refused', async ({ fault }) => {
  provider().faults.set('/jwk', fault)
  provider().faults.set('/elsewhere', { kind: 'body', body: provider().keys.publicSet() })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
})

test('a token without kid is tried with every key that fits', async () => {
  await provider().keys.rotate(true)
  const verifier = await readyVerifier()
  const token = provider().mint({ header: { kid: undefined }, claims: { aud: AUDIENCE } })
  await verifier.verify(token)
  const key = await newRsaKey()
  const foreign = provider().mint({ key, header: { kid: undefined }, claims: { aud: AUDIENCE } })
  expect((await refusalOf(verifier.verify(foreign))).check).toBe('signature')
})

test('symmetric and private members of a key set are of no use', async () => {
  const body = { keys: [{ kty: 'oct', k: 'AAAA', kid: provider().keys.current.kid }] }
  provider().faults.set('/jwk', { kind: 'body', body })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  expect((await refusalOf(verifier.verify(good()))).check).toBe('key')
})
