import { describe, expect, test } from 'vitest'
import { explainToken } from '../../src/tokens/explain.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, refusalOf, settingsFor, verifierFor, type SettingsInput } from './support.ts'

const provider = useIdentityProvider()
const SCOPE = 'openid profile email offline_access'
const logIn = (audience: string | undefined = AUDIENCE, scope = SCOPE) =>
  obtainAccessToken({
    issuer: provider().issuer,
    clientId: 'demo-cli',
    username: 'alice',
    scope,
    ...(audience !== '' && { audience }),
  })

function asking(changes: SettingsInput = {}) {
  const { clientId, clientSecret } = provider().clients.tts
  return settingsFor(provider().issuer, {
    client_id: clientId,
    client_secret: clientSecret,
    introspect: 'opaque',
    ...changes,
  })
}
const soon = (): number => Math.floor(Date.now() / 1000) + 600

describe('opaque tokens', () => {
  test.for(['iam-1.12', 'iam-2026'] as const)('are told by introspection, %s', async (shape) => {
    Object.assign(provider().tokens, { format: 'opaque', introspection: shape })
    const { access_token } = await logIn(`other ${AUDIENCE}`)
    const verified = await verifierFor({ iam: asking({ required_scopes: ['profile'] }) }).verify(
      access_token,
    )
    expect(verified).toMatchObject({
      sub: provider().user('alice').sub,
      scopes: SCOPE.split(' '),
      clientId: 'demo-cli',
      claims: { groups: ['cms', 'cms/production'] },
    })
    expect(verified.claims).not.toHaveProperty('active')
  })

  test('a refresh token is no access token', async () => {
    provider().tokens.format = 'opaque'
    const { refresh_token = '' } = await logIn()
    const error = await refusalOf(verifierFor({ iam: asking() }).verify(refresh_token))
    expect(error.check).toMatch(/^type$/)
  })

  test('one that nobody knows', async () => {
    const error = await refusalOf(verifierFor({ iam: asking() }).verify('unknown'))
    expect(error).toMatchObject({ code: 'invalid_token', check: 'active' })
  })

  test.for<{ name: string; answer: Record<string, unknown>; check: string }>([
    { name: 'active as a word', answer: { active: 'true' }, check: 'provider' },
    { name: 'inactive', answer: { active: false }, check: 'active' },
    { name: 'no expiry', answer: { exp: undefined }, check: 'missing_expiry' },
    { name: 'expired', answer: { exp: 1 }, check: 'expired' },
    { name: 'of another issuer', answer: { iss: 'https://evil.example' }, check: 'issuer' },
    { name: 'for others', answer: { aud: ['x', 'y'] }, check: 'audience' },
    { name: 'for others, by blanks', answer: { aud: 'x y' }, check: 'audience' },
    { name: 'for nobody', answer: { aud: undefined }, check: 'audience' },
    { name: 'a client alone', answer: { sub: 'c', client_id: 'c' }, check: 'user' },
    { name: 'a client and no sub', answer: { sub: undefined, client_id: 'c' }, check: 'user' },
    { name: 'nobody at all', answer: { sub: undefined }, check: 'subject' },
    { name: 'no type', answer: { token_type: undefined }, check: 'type' },
    { name: 'a refresh token by typ', answer: { typ: 'Refresh' }, check: 'type' },
  ])('an answer is checked as strictly as a JWT: $name', async ({ answer, check }) => {
    const good = { active: true, sub: 'u', exp: soon(), aud: AUDIENCE, token_type: 'Bearer' }
    provider().faults.set('/introspect', { kind: 'body', body: { ...good, ...answer } })
    const error = await refusalOf(verifierFor({ iam: asking() }).verify('opaque'))
    expect(error.check).toBe(check)
  })

  describe.for(['never', 'always'] as const)(
    'the last second of one, with userinfo: %s',
    (userinfo) => {
      const exp = 2_000_000_000
      const at = { ms: 0 }
      const verifierAt = async (leeway: number) => {
        provider().tokens.format = 'opaque'
        const { access_token: token } = await logIn()
        const { sub } = provider().user('alice')
        const body = { active: true, sub, exp, aud: AUDIENCE, token_type: 'Bearer' }
        provider().faults.set('/introspect', { kind: 'body', body })
        const settings = asking({ clock_leeway_seconds: leeway, userinfo })
        const verifier = verifierFor({ iam: settings }, undefined, { now: () => new Date(at.ms) })
        return { verify: async () => verifier.verify(token) }
      }

      test.for([
        { leeway: 0, ms: exp * 1000 - 1, check: undefined },
        { leeway: 0, ms: exp * 1000, check: 'expired' },
        { leeway: 30, ms: (exp + 30) * 1000 - 1, check: undefined },
        { leeway: 30, ms: (exp + 30) * 1000, check: 'expired' },
      ])(
        'asked for the first time, leeway $leeway, at $ms: $check',
        async ({ leeway, ms, check }) => {
          at.ms = ms
          const { verify } = await verifierAt(leeway)
          if (check === undefined) expect((await verify()).expiresAt).toEqual(new Date(exp * 1000))
          else expect(await refusalOf(verify())).toMatchObject({ code: 'invalid_token', check })
        },
      )

      test('known from before: until then it is remembered, and then expired', async () => {
        at.ms = (exp - 2) * 1000
        const { verify } = await verifierAt(0)
        const first = await verify()
        at.ms = exp * 1000 - 1
        expect(await verify()).toBe(first)
        at.ms = exp * 1000
        expect((await refusalOf(verify())).check).toBe('expired')
      })
    },
  )

  test.for([
    { kind: 'status', status: 500 },
    { kind: 'malformed' },
    { kind: 'reset' },
    { kind: 'huge' },
    { kind: 'redirect', location: 'http://127.0.0.1:9/' },
  ] as const)('no answer never makes a token good: %o', async (fault) => {
    provider().faults.set('/introspect', fault)
    const error = await refusalOf(verifierFor({ iam: asking() }).verify('opaque'))
    expect(error.code).toBe('provider_unavailable')
    expect(error.retryAfterSeconds).toBeGreaterThan(0)
  })

  test('a hang costs the deadline and no more', async () => {
    provider().faults.set('/introspect', { kind: 'hang' })
    const verifier = verifierFor({ iam: asking({ timeout_seconds: 0.1 }) })
    const error = await refusalOf(verifier.verify('opaque'))
    expect(error.remedy).toContain('no answer in time')
  })

  test('our client refused: the operator is told, the secret is not', async () => {
    const verifier = verifierFor({ iam: asking({ client_secret: 'a-wrong-secret' }) })
    const error = await refusalOf(verifier.verify('opaque'))
    expect(error).toMatchObject({ code: 'provider_unavailable' })
    expect(error.remedy).toMatch(/client_secret_file/)
    expect(`${error.stack}${String(error.cause)}${verifier.lines.join()}`).not.toContain('a-wrong')
  })

  test('several providers are asked; one that cannot tell makes it 503', async () => {
    Object.assign(provider().tokens, { format: 'opaque' })
    const { access_token } = await logIn()
    const gone = asking({ issuer: 'http://127.0.0.1:9/' })
    const verifier = verifierFor({ gone, iam: asking() })
    expect((await verifier.verify(access_token)).providerId).toBe('iam')
    expect((await refusalOf(verifier.verify('unknown'))).code).toBe('provider_unavailable')
  })
})

describe('JWTs with introspect: always', () => {
  test('carry the scopes that IAM leaves out, until they are revoked', async () => {
    const { access_token } = await logIn()
    const settings = asking({ introspect: 'always', required_scopes: ['openid'] })
    const verifier = verifierFor({ iam: settings })
    expect((await verifier.verify(access_token)).scopes).toContain('openid')
    await fetch(`${provider().issuer}revoke`, {
      method: 'POST',
      body: new URLSearchParams({ client_id: 'demo-cli', token: access_token }),
    })
    await verifier.verify(access_token)
    verifier.advance(31)
    expect((await refusalOf(verifier.verify(access_token))).check).toBe('active')
  })

  test('a signed token of a suspended user', async () => {
    const { access_token } = await logIn()
    provider().tokens.suspension = 'everywhere'
    provider().user('alice').suspended = true
    const verifier = verifierFor({ iam: asking({ introspect: 'always' }) })
    expect((await refusalOf(verifier.verify(access_token))).check).toBe('active')
  })

  test('an answer about somebody else, and one that would change claims', async () => {
    const { access_token } = await logIn()
    const verifier = verifierFor({ iam: asking({ introspect: 'always' }) })
    const body = { active: true, sub: 'mallory' }
    provider().faults.set('/introspect', { kind: 'body', body })
    expect((await refusalOf(verifier.verify(access_token))).check).toBe('subject')
    const more = { active: true, client_id: 'mallory', aud: 'x', exp: 1, extra: 'e' }
    provider().faults.set('/introspect', { kind: 'body', body: more })
    const verified = await verifier.verify(access_token)
    expect(verified.claims).toMatchObject({ client_id: 'demo-cli', aud: AUDIENCE, extra: 'e' })
  })
})

describe('UserInfo', () => {
  test.for(['always', 'when_missing_groups'] as const)('%s adds the groups', async (userinfo) => {
    const { access_token } = await logIn()
    const verifier = verifierFor({ iam: settingsFor(provider().issuer, { userinfo }) })
    const { claims } = await verifier.verify(access_token)
    expect(claims).toMatchObject({ groups: ['cms', 'cms/production'], email: 'alice@example.org' })
    expect(provider().faults.count('/userinfo')).toBe(1)
  })

  test('is not asked when the token tells groups', async () => {
    provider().tokens.includeAuthnInfo = true
    const { access_token } = await logIn()
    const settings = settingsFor(provider().issuer, { userinfo: 'when_missing_groups' })
    await verifierFor({ iam: settings }).verify(access_token)
    expect(provider().faults.count('/userinfo')).toBe(0)
  })

  test.for([
    // Keycloak puts realm_access into every token.
    { rules: ['groups'], claims: { realm_access: { roles: ['r'] } }, asked: true },
    { rules: ['groups'], claims: { groups: [] }, asked: false },
    { rules: ['groups', 'email'], claims: { groups: ['cms'] }, asked: true },
    { rules: ['groups', 'sub', 'scope'], claims: { groups: ['cms'] }, asked: false },
    { rules: ['wlcg.groups'], claims: { groups: ['cms'] }, asked: true },
    { rules: ['wlcg.groups'], claims: { 'wlcg.groups': ['/cms'] }, asked: false },
    { rules: ['realm_access.roles'], claims: { groups: ['cms'] }, asked: true },
    // UserInfo cannot add to a claim that is there.
    { rules: ['realm_access.roles'], claims: { realm_access: {} }, asked: false },
    // Claims that UserInfo never sets.
    { rules: ['groups', 'act.sub'], claims: { groups: ['cms'] }, asked: false },
    // No rule reads a claim that UserInfo could set: any groups will do.
    { rules: ['sub', 'acr', 'aud'], claims: { acr: '2' }, asked: false },
    { rules: ['sub', 'client_id'], claims: {}, asked: true },
    { rules: ['sub', 'client_id'], claims: { realm_access: {} }, asked: false },
    { rules: [], claims: {}, asked: true },
    { rules: [], claims: { entitlements: [] }, asked: false },
  ])(
    'when_missing_groups, rules on $rules, token with $claims: asked $asked',
    async ({ rules, claims, asked }) => {
      const { sub } = provider().user('alice')
      const token = provider().mint({ claims: { sub, aud: AUDIENCE, ...claims } })
      const settings = settingsFor(provider().issuer, { userinfo: 'when_missing_groups' })
      provider().faults.set('/userinfo', { kind: 'body', body: { sub, extra: 'e' } })
      const ruleClaims = new Map([['iam', rules]])
      const verifier = verifierFor({ iam: settings }, undefined, { ruleClaims })
      const verified = await verifier.verify(token)
      expect(verified.claims['extra']).toBe(asked ? 'e' : undefined)
      expect(provider().faults.count('/userinfo')).toBe(asked ? 1 : 0)
      await verifier.verify(token)
      expect(provider().faults.count('/userinfo')).toBe(asked ? 1 : 0)
      const explained = await explainToken(token, verifier, new Date())
      expect(explained.map(({ check }) => check).includes('userinfo')).toBe(asked)
    },
  )

  test('never changes what the token says, and has no say about the token', async () => {
    provider().tokens.includeAuthnInfo = true
    const { access_token } = await logIn()
    const { sub } = provider().user('alice')
    const token = { scope: 'admin', scp: ['admin'], client_id: 'x', azp: 'x', cid: 'x' }
    const body = { sub, groups: ['admin'], ...token, extra: 'e' }
    provider().faults.set('/userinfo', { kind: 'body', body })
    const settings = settingsFor(provider().issuer, { userinfo: 'always' })
    const verified = await verifierFor({ iam: settings }).verify(access_token)
    expect(verified.claims).toMatchObject({ groups: ['cms', 'cms/production'], extra: 'e' })
    expect(verified).toMatchObject({ scopes: [], clientId: 'demo-cli' })
  })

  test.for([
    {
      name: 'of somebody else',
      fault: { kind: 'body', body: { sub: 'mallory' } },
      check: 'subject',
    },
    { name: 'refused', fault: { kind: 'status', status: 401 }, check: 'userinfo' },
    { name: 'broken', fault: { kind: 'status', status: 500 }, check: 'provider' },
    {
      name: 'of a service account',
      fault: { kind: 'body', body: { preferred_username: 'service-account-x' } },
      check: 'user',
    },
  ] as const)('$name', async ({ fault, check }) => {
    const { access_token } = await logIn()
    const { sub } = provider().user('alice')
    const body = 'body' in fault ? { sub, ...fault.body } : undefined
    provider().faults.set('/userinfo', body === undefined ? fault : { kind: 'body', body })
    const settings = settingsFor(provider().issuer, { userinfo: 'always' })
    expect((await refusalOf(verifierFor({ iam: settings }).verify(access_token))).check).toBe(check)
  })
})
