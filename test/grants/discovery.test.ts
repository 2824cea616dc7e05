import { describe, expect, test } from 'vitest'
import {
  configurationFor,
  discoverGrantConfiguration,
  rememberedConfiguration,
  type GrantProvider,
} from '../../src/grants/discovery.ts'
import { createGrantClient } from '../../src/grants/grant-client.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { passSteadyTime } from '../support/steady-time.ts'
import { calm, logIn, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()
const DISCOVERY = '/.well-known/openid-configuration'
const HOUR_MS = 3_600_000

const settings = (changes: Partial<GrantProvider> = {}): GrantProvider => ({
  issuer: provider().issuer,
  providerId: 'iam',
  timeoutMs: 2_000,
  ...provider().clients.certcache,
  ...changes,
})

describe('discovery', () => {
  test.for(['', '/'])('an issuer written with "%s" at its end', async (end) => {
    const issuer = provider().issuer.replace(/\/$/, end)
    const configuration = await discoverGrantConfiguration(settings({ issuer }))
    expect(configuration.serverMetadata().token_endpoint).toBe(`${provider().issuer}token`)
  })

  test.for([
    {
      name: 'another issuer',
      change: { issuer: 'https://evil.example/' },
      words: /another issuer/,
    },
    { name: 'two slashes', change: { issuer: 'DOUBLE' }, words: /another issuer/ },
    {
      name: 'no token endpoint',
      change: { token_endpoint: undefined },
      words: /no token_endpoint/,
    },
    {
      name: 'a token endpoint in clear',
      change: { token_endpoint: 'http://10.0.0.1/token' },
      words: /token_endpoint is not an https URL/,
    },
    {
      name: 'an authorization endpoint in clear',
      change: { authorization_endpoint: 'http://10.0.0.1/' },
      words: /authorization_endpoint is not/,
    },
    {
      name: 'a device endpoint in clear',
      change: { device_authorization_endpoint: 'http://10.0.0.1/' },
      words: /device_authorization_endpoint is not/,
    },
    {
      name: 'a revocation endpoint in clear',
      change: { revocation_endpoint: 'http://10.0.0.1/' },
      words: /revocation_endpoint is not/,
    },
  ])('$name is refused', async ({ change, words }) => {
    const { issuer } = provider()
    const changed = change.issuer === 'DOUBLE' ? { issuer: `${issuer}/` } : change
    const body = { issuer, token_endpoint: `${issuer}token`, ...changed }
    provider().faults.set(DISCOVERY, { kind: 'body', body })
    const { error } = await refusalOf(discoverGrantConfiguration(settings()))
    expect(error).toMatchObject({ code: 'provider_unavailable', check: 'provider_unreachable' })
    expect(error.remedy).toMatch(words)
  })

  test('a provider without keys will do: nothing is verified here', async () => {
    const { issuer } = provider()
    const body = { issuer, token_endpoint: `${issuer}token` }
    provider().faults.set(DISCOVERY, { kind: 'body', body })
    await discoverGrantConfiguration(settings())
  })

  test.for(['http://iam.example.org/', 'iam.example.org', 'https://a:b@iam/', 'https://iam/?x'])(
    'the issuer %s is a mistake of the operator',
    async (issuer) => {
      const { error } = await refusalOf(discoverGrantConfiguration(settings({ issuer })))
      expect(error).toMatchObject({ code: 'configuration', check: 'issuer' })
      expect(error.message).not.toContain(issuer)
    },
  )
})

describe('a remembered discovery', () => {
  test('is made once for many, again after six hours, and an old one is better than none', async () => {
    let offsetMs = 0
    const remembered = rememberedConfiguration(
      settings(),
      () => new Date(1_800_000_000_000 + offsetMs),
    )
    provider().faults.set(DISCOVERY, { kind: 'status', status: 500 })
    expect((await refusalOf(remembered())).error.code).toBe('provider_unavailable')
    provider().faults.clear()
    provider().faults.resetCounts()
    const asked = (): number => provider().faults.count(DISCOVERY)
    await Promise.all([remembered(), remembered()])
    offsetMs = 5 * HOUR_MS
    await remembered()
    expect(asked()).toBe(1)
    offsetMs = 7 * HOUR_MS
    provider().faults.set(DISCOVERY, { kind: 'status', status: 500 })
    await remembered()
    expect(asked()).toBe(2)
    provider().faults.clear()
    await remembered()
    await remembered()
    expect(asked()).toBe(3)
    // A clock that was set back says nothing about its age; the steady one does.
    offsetMs = -HOUR_MS
    await remembered()
    expect(asked()).toBe(3)
    passSteadyTime(7 * HOUR_MS)
    await remembered()
    expect(asked()).toBe(4)
  })
})

test('another client at a provider that is discovered already', async () => {
  const known = await discoverGrantConfiguration(settings())
  const client = createGrantClient({
    configuration: async () => configurationFor(known, provider().clients.tts),
    providerId: 'iam',
    timeoutMs: 2_000,
    now: () => new Date(),
  })
  const subjectToken = await logIn(provider())
  const request = { subjectToken, audience: undefined, scopes: SCOPES, signal: calm() }
  expect((await client.exchange(request)).refreshToken).toEqual(expect.any(String))
})
