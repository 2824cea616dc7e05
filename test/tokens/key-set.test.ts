import { chmod, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeJwt, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { passSteadyTime } from '../support/steady-time.ts'
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

test('a clock that is set back keeps nobody from the new keys', async () => {
  const verifier = await readyVerifier()
  verifier.advance(7 * 3600)
  await verifier.verify(good())
  await until(() => provider().faults.count('/jwk') === 2)
  verifier.advance(-7 * 3600)
  await provider().keys.replace()
  // Whether a token is older than the keys is seen by the clock that is right now, too.
  expect(await refusalOf(verifier.verify(good()))).toMatchObject({
    code: 'provider_unavailable',
    check: 'key',
    retryAfterSeconds: 30,
  })
  expect(verifier.status()[0]?.keysFetchedAt?.getTime()).toBeLessThanOrEqual(Date.now())
  passSteadyTime(31_000)
  await verifier.verify(good())
})

test('a clock that is set back does not lengthen the pause after a failed fetch', async () => {
  const verifier = await readyVerifier()
  await provider().keys.replace()
  provider().faults.set('/jwk', { kind: 'status', status: 500 })
  verifier.advance(7 * 3600)
  expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
  provider().faults.clear()
  verifier.advance(-6 * 3600)
  passSteadyTime(6_000)
  await verifier.verify(good())
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
  verifier.advance(31)
  expect((await refusalOf(verifier.verify(foreign))).check).toBe('signature')
})

test('symmetric and private members of a key set are of no use', async () => {
  const body = { keys: [{ kty: 'oct', k: 'AAAA', kid: provider().keys.current.kid }] }
  provider().faults.set('/jwk', { kind: 'body', body })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  expect((await refusalOf(verifier.verify(good()))).check).toBe('key')
})

test.for([
  { alg: 'Ed25519', configured: 'Ed25519' },
  { alg: 'EdDSA', configured: 'Ed25519' },
  { alg: 'Ed25519', configured: 'EdDSA' },
  { alg: 'Ed25519', configured: 'ES256' },
] as const)(
  'a token signed by $alg, where $configured is accepted',
  async ({ alg, configured }) => {
    const { publicKey, privateKey } = await generateKeyPair('Ed25519')
    const keys = [{ ...(await exportJWK(publicKey)), kid: 'ed' }]
    provider().faults.set('/jwk', { kind: 'body', body: { keys } })
    const verifier = verifierFor({
      iam: settingsFor(provider().issuer, { algorithms: [configured] }),
    })
    const claims = decodeJwt(good())
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg, kid: 'ed', typ: 'at+jwt' })
      .setIssuedAt()
      .setExpirationTime('5m')
      .sign(privateKey)
    if (configured === 'ES256')
      expect((await refusalOf(verifier.verify(token))).check).toBe('algorithm')
    else expect((await verifier.verify(token)).sub).toBe(claims.sub)
  },
)

/** Signed by a key that nobody publishes, under the key id of the one that is. */
const forged = async (claims: Record<string, unknown> = {}) => {
  const key = { ...(await newRsaKey()), kid: provider().keys.current.kid }
  return provider().mint({ key, claims: { aud: AUDIENCE, ...claims } })
}

test('a new key under the old key id is found by the first token that it signs', async () => {
  const verifier = await readyVerifier()
  await provider().keys.replace()
  verifier.advance(31)
  await verifier.verify(good())
  expect(provider().faults.count('/jwk')).toBe(2)
})

test('a rotation within the cooldown is answered with the time at which it is over', async () => {
  for (const rotate of ['replace', 'rotate'] as const) {
    const verifier = await readyVerifier()
    await provider().keys[rotate]()
    verifier.advance(10)
    const error = await refusalOf(verifier.verify(good()))
    expect(error).toMatchObject({ code: 'provider_unavailable', check: 'key' })
    expect(error.retryAfterSeconds).toBeGreaterThan(15)
    expect(error.retryAfterSeconds).toBeLessThanOrEqual(20)
    verifier.advance(error.retryAfterSeconds ?? 0)
    await verifier.verify(good())
  }
})

test('a token older than the keys is refused within the cooldown, without a request', async () => {
  const verifier = await readyVerifier()
  const token = await forged({ iat: Math.floor(Date.now() / 1000) - 120 })
  const error = await refusalOf(verifier.verify(token))
  expect(error).toMatchObject({ code: 'invalid_token', check: 'signature' })
  expect(provider().faults.count('/jwk')).toBe(1)
})

test('a thousand bad signatures make one request per cooldown', async () => {
  const verifier = await readyVerifier()
  const key = { ...(await newRsaKey()), kid: provider().keys.current.kid }
  for (const round of [2, 3]) {
    verifier.advance(31)
    const iat = Math.floor(Date.now() / 1000) + 31 * (round - 1)
    const flood = Array.from({ length: 1000 }, (_, index) =>
      provider().mint({ key, claims: { aud: AUDIENCE, iat, jti: `${round} ${index}` } }),
    )
    const errors = []
    for (const token of flood) errors.push(await refusalOf(verifier.verify(token)))
    expect(errors[0]).toMatchObject({ code: 'invalid_token', check: 'signature' })
    expect(new Set(errors.slice(1).map(({ check }) => check))).toEqual(new Set(['key']))
    expect(provider().faults.count('/jwk')).toBe(round)
  }
})

test('a bad signature during an outage: a new token may be good, an old one is not', async () => {
  const verifier = await readyVerifier()
  const old = await forged({ iat: Math.floor(Date.now() / 1000) - 120 })
  provider().faults.set('/jwk', { kind: 'status', status: 500 })
  verifier.advance(31)
  expect((await refusalOf(verifier.verify(await forged()))).code).toBe('provider_unavailable')
  expect((await refusalOf(verifier.verify(old))).check).toBe('signature')
})

describe('keys on disk', () => {
  let directory = ''
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tts-keys-'))
  })
  const started: { close(): Promise<void> }[] = []
  afterEach(async () => {
    // They may still write.
    await Promise.all(started.splice(0).map(async (verifier) => verifier.close()))
    await rm(directory, { recursive: true, force: true })
  })

  const start = (changes: { readonly issuer?: string } = {}) => {
    const settings = settingsFor(changes.issuer ?? provider().issuer)
    const keyDirectory = join(directory, 'keys')
    const verifier = verifierFor({ iam: settings }, undefined, { keyDirectory })
    started.push(verifier)
    return verifier
  }
  const file = () => join(directory, 'keys', 'iam.json')
  /** A process that fetched the keys and ended; from then on the provider is away. */
  async function ranBefore(): Promise<void> {
    const verifier = start()
    await verifier.verify(good())
    await expect.poll(async () => stat(file()).catch(() => undefined)).toBeDefined()
    await verifier.close()
    provider().faults.set('*', { kind: 'reset' })
  }

  test('serve the users of a provider that is away at the start', async () => {
    await ranBefore()
    expect((await stat(file())).mode & 0o777).toBe(0o600)
    const verifier = start()
    const { issuer } = provider()
    // Plugins identify people by it, so the slash at its end must not come and go.
    expect(await verifier.verify(good())).toMatchObject({ publishedIssuer: issuer })
    expect(await verifier.publishedIssuer(issuer.replace(/\/$/, ''))).toBe(issuer)
    await expect.poll(() => verifier.status()[0]?.lastError).toBeDefined()
    expect(verifier.status()[0]).toMatchObject({ ready: true, usingCached: true })
    expect((await refusalOf(verifier.verify(await forged()))).code).toBe('provider_unavailable')
  })

  test('follow a rotation while only discovery fails', async () => {
    await ranBefore()
    await provider().keys.replace()
    provider().faults.clear()
    provider().faults.set('/.well-known/openid-configuration', { kind: 'status', status: 500 })
    const verifier = start()
    verifier.advance(31)
    await verifier.verify(good())
  })

  test('are not used beyond their maximum age', async () => {
    await ranBefore()
    const verifier = start()
    verifier.advance(49 * 3600)
    expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
    expect(verifier.status()[0]?.ready).toBe(false)
  })

  test('have the age that the file says, also if the clock is set back later', async () => {
    await ranBefore()
    const content = JSON.parse(await readFile(file(), 'utf8')) as object
    const fetchedAt = new Date(Date.now() - 47 * 3_600_000).toISOString()
    await writeFile(file(), JSON.stringify({ ...content, fetched_at: fetchedAt }))
    const verifier = start()
    await verifier.verify(good())
    verifier.advance(-3600)
    passSteadyTime(2 * 3_600_000)
    expect((await refusalOf(verifier.verify(good()))).code).toBe('provider_unavailable')
  })

  test.for([
    { name: 'of another issuer', change: { issuer: 'https://other.example.org' } },
    {
      name: 'whose published issuer is another one',
      change: { published_issuer: 'https://other.example.org/' },
    },
    { name: 'from the future', change: { fetched_at: '2999-01-01T00:00:00.000Z' } },
    { name: 'without keys', change: { keys: 'none' } },
    { name: 'with a field that is not known', change: { more: 1 } },
  ])('$name are not used', async ({ change }) => {
    await ranBefore()
    const content = JSON.parse(await readFile(file(), 'utf8')) as object
    await writeFile(file(), JSON.stringify({ ...content, ...change }))
    expect((await refusalOf(start().verify(good()))).code).toBe('provider_unavailable')
  })

  test('that others can write are not used', async () => {
    await ranBefore()
    await chmod(file(), 0o666)
    expect((await refusalOf(start().verify(good()))).code).toBe('provider_unavailable')
  })

  test('that cannot be written are a warning, and nothing else', async () => {
    await writeFile(join(directory, 'keys'), 'a file in the way')
    const verifier = start()
    await verifier.verify(good())
    await expect.poll(() => verifier.lines.join('\n')).toContain('provider.keys-unsaved')
  })
})
