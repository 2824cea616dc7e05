import { expect, test } from 'vitest'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, refusalOf, settingsFor, until, verifierFor } from './support.ts'

const provider = useIdentityProvider()
const DISCOVERY = '/.well-known/openid-configuration'
const good = () => provider().mint({ claims: { aud: AUDIENCE } })

test('a provider that is down at the start is refused with 503, and used when it is up', async () => {
  await provider().goDown()
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  const error = await refusalOf(verifier.verify(good()))
  expect(error).toMatchObject({ code: 'provider_unavailable', check: 'provider' })
  expect(error.retryAfterSeconds).toBeGreaterThan(0)
  expect(verifier.status()).toMatchObject([
    { id: 'iam', ready: false, lastError: 'the connection was refused', discoveredAt: undefined },
  ])
  await provider().comeUp()
  await until(() => verifier.status()[0]?.ready === true)
  expect((await verifier.verify(good())).providerId).toBe('iam')
  expect(verifier.status()[0]).toMatchObject({ lastError: undefined, usingCached: false })
})

test('how long to wait for it is right after the clock is set back, too', async () => {
  await provider().goDown()
  const retry = { firstMs: 60_000, longestMs: 60_000 }
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) }, undefined, { retry })
  await refusalOf(verifier.verify(good()))
  verifier.advance(-3600)
  const { code, retryAfterSeconds } = await refusalOf(verifier.verify(good()))
  await provider().comeUp()
  expect(code).toBe('provider_unavailable')
  expect(retryAfterSeconds).toBeGreaterThanOrEqual(29)
  expect(retryAfterSeconds).toBeLessThanOrEqual(60)
})

test('one provider down does not touch the other', async () => {
  const verifier = verifierFor({
    gone: settingsFor('http://127.0.0.1:9/'),
    iam: settingsFor(provider().issuer),
  })
  expect((await verifier.verify(good())).providerId).toBe('iam')
  await until(() => verifier.status()[0]?.lastError !== undefined)
  expect(verifier.status().map(({ ready }) => ready)).toEqual([false, true])
})

test('a provider that hangs costs the deadline and no more', async () => {
  provider().faults.set(DISCOVERY, { kind: 'hang' })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer, { timeout_seconds: 0.1 }) })
  expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
  expect(verifier.status()[0]?.lastError).toBe('no answer in time')
})

test.for([
  { name: 'HTTP 500', fault: { kind: 'status', status: 500 }, error: /HTTP 500/ },
  { name: 'no JSON', fault: { kind: 'malformed' }, error: /understood/ },
  { name: 'a reset connection', fault: { kind: 'reset' }, error: /connection failed/ },
  { name: 'an endless document', fault: { kind: 'huge' }, error: /too large/ },
  {
    name: 'a redirect',
    fault: { kind: 'redirect', location: 'http://127.0.0.1:9/' },
    error: /HTTP 302/,
  },
  {
    name: 'another issuer',
    fault: { kind: 'body', body: { issuer: 'https://evil.example/', jwks_uri: 'https://x/' } },
    error: /another issuer/,
  },
] as const)('discovery with $name is no discovery', async ({ fault, error }) => {
  provider().faults.set(DISCOVERY, fault)
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  await until(() => verifier.status()[0]?.lastError !== undefined)
  expect(verifier.status()[0]?.lastError).toMatch(error)
  expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
})

test.for([
  { jwks_uri: 'http://keys.example.org/jwk' },
  { jwks_uri: 'file:///etc/passwd' },
  { jwks_uri: 'data:application/json,{"keys":[]}' },
  { jwks_uri: undefined },
  { introspection_endpoint: 'http://10.0.0.1/introspect' },
  { userinfo_endpoint: 'http://localhost.evil.example/' },
])('a discovery document with %o is refused', async (change) => {
  const { issuer } = provider()
  const body = { issuer, jwks_uri: `${issuer}jwk`, ...change }
  provider().faults.set(DISCOVERY, { kind: 'body', body })
  const verifier = verifierFor({ iam: settingsFor(issuer) })
  await until(() => verifier.status()[0]?.lastError !== undefined)
  expect(verifier.status()[0]?.lastError).toMatch(/not an https URL|not publish keys/)
})

test('nothing in a token makes us fetch an address from it', async () => {
  const asked: string[] = []
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) }, async (url, options) => {
    asked.push(url)
    return fetch(url, options)
  })
  const header = { jku: 'http://127.0.0.1:9/jwk', x5u: 'http://127.0.0.1:9/', kid: 'none' }
  await refusalOf(verifier.verify(provider().mint({ header, claims: { aud: AUDIENCE } })))
  const claims = { iss: 'http://127.0.0.1:9/' }
  await refusalOf(verifier.verify(provider().mint({ claims })))
  expect(new Set(asked.map((url) => new URL(url).origin))).toEqual(
    new Set([new URL(provider().issuer).origin]),
  )
})

test('the wait of a caller ends with its signal', async () => {
  provider().faults.set(DISCOVERY, { kind: 'hang' })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  const signal = AbortSignal.timeout(20)
  expect((await refusalOf(verifier.verify(good(), { signal }))).code).toBe('provider_unavailable')
  expect((await refusalOf(verifier.verify(good(), { signal: AbortSignal.abort() }))).code).toBe(
    'provider_unavailable',
  )
})
