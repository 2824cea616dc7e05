import { describe, expect, test } from 'vitest'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { explainToken } from '../../src/tokens/explain.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { refusalOf, settingsFor, type SettingsInput, verifierFor } from './support.ts'

const provider = useIdentityProvider({ tokens: { format: 'opaque' } })
const soon = (): number => Math.floor(Date.now() / 1000) + 600
const alice = (): string => provider().user('alice').sub

const logIn = async () =>
  obtainAccessToken({
    issuer: provider().issuer,
    clientId: 'demo-cli',
    username: 'alice',
    scope: 'openid profile offline_access',
  })

const client = () => {
  const { clientId, clientSecret } = provider().clients.tts
  return { client_id: clientId, client_secret: clientSecret }
}
const atUserInfo = (changes: SettingsInput = {}) =>
  settingsFor(provider().issuer, {
    introspect: 'userinfo',
    accept_missing_audience: true,
    ...changes,
  })
const introspecting = (changes: SettingsInput = {}) =>
  settingsFor(provider().issuer, { ...client(), introspect: 'opaque', ...changes })

const explained = async (token: string, settings: ReturnType<typeof settingsFor>) => {
  const checks = await explainToken(token, verifierFor({ iam: settings }), new Date())
  return checks.map(({ check, ok }) => `${check} ${ok ? 'ok' : 'failed'}`)
}

describe('introspect: userinfo', () => {
  test('takes what UserInfo accepts, for at most five minutes', async () => {
    const { access_token: token } = await logIn()
    const before = Date.now()
    const verified = await verifierFor({ iam: atUserInfo() }).verify(token)
    expect(verified).toMatchObject({
      sub: alice(),
      scopes: [],
      clientId: undefined,
      clientOnly: false,
      claims: { groups: ['cms', 'cms/production'], preferred_username: 'alice' },
    })
    expect(verified.expiresAt.getTime()).toBeLessThanOrEqual(before + 305_000)
    expect(provider().faults.count('/introspect')).toBe(0)
    expect(await explained(token, atUserInfo())).toEqual([
      'format ok',
      'active ok',
      'user ok',
      'scope ok',
      'claims ok',
    ])
  })

  test('asks once per lookup, and again after the time of its cache', async () => {
    const { access_token: token } = await logIn()
    const settings = atUserInfo({ introspection_cache_seconds: 30, userinfo: 'always' })
    const verifier = verifierFor({ iam: settings })
    await verifier.verify(token)
    await verifier.verify(token)
    expect(provider().faults.count('/userinfo')).toBe(1)
    verifier.advance(31)
    provider().tokens.suspension = 'everywhere'
    provider().user('alice').suspended = true
    expect((await refusalOf(verifier.verify(token))).check).toBe('active')
  })

  test.for<{ name: string; token?: 'refresh'; body?: object; check: string }>([
    { name: 'a refresh token', token: 'refresh', check: 'active' },
    { name: 'an answer without subject', body: { name: 'Alice' }, check: 'provider' },
    { name: 'a subject that is no text', body: { sub: 7 }, check: 'provider' },
    { name: 'an empty subject', body: { sub: '' }, check: 'provider' },
  ])('$name: $check', async ({ token, body, check }) => {
    const { refresh_token: refresh = '', access_token: access } = await logIn()
    if (body !== undefined) provider().faults.set('/userinfo', { kind: 'body', body })
    const verifier = verifierFor({ iam: atUserInfo() })
    const error = await refusalOf(verifier.verify(token === 'refresh' ? refresh : access))
    expect(error.check).toBe(check)
  })

  test('claims about the token are not taken from UserInfo', async () => {
    const { access_token: token } = await logIn()
    const body = {
      sub: alice(),
      aud: 'x',
      scope: 'storage.read:/',
      client_id: 'y',
      iss: 'z',
      exp: 1,
    }
    provider().faults.set('/userinfo', { kind: 'body', body })
    const verified = await verifierFor({ iam: atUserInfo() }).verify(token)
    expect(verified).toMatchObject({ scopes: [], clientId: undefined })
    expect(Object.keys(verified.claims).toSorted()).toEqual(['exp', 'iss', 'sub'])
  })

  test('a provider without the endpoint cannot be asked', async () => {
    const { access_token: token } = await logIn()
    const { issuer } = provider()
    provider().faults.set('/.well-known/openid-configuration', {
      kind: 'body',
      body: { issuer, jwks_uri: `${issuer}jwk`, token_endpoint: `${issuer}token` },
    })
    const error = await refusalOf(verifierFor({ iam: atUserInfo() }).verify(token))
    expect(error).toMatchObject({ code: 'invalid_token', check: 'format' })
    expect(error.message).toContain('(iam has no userinfo endpoint)')
    expect(error.remedy).toBe('Send a JWT, or set endpoints.userinfo of the provider.')
    const checks = await explainToken(token, verifierFor({ iam: atUserInfo() }), new Date())
    expect(checks.slice(1)).toEqual([
      {
        check: 'format',
        ok: false,
        detail: 'not a JWT, and the provider iam has no userinfo endpoint',
        remedy: 'Set providers.iam.endpoints.userinfo.',
      },
    ])
  })
})

describe('an introspection answer that leaves out what RFC 7662 makes optional', () => {
  const answer = (changes: Record<string, unknown> = {}) => {
    const body = { active: true, exp: soon(), aud: 'https://tts.example.org', ...changes }
    provider().faults.set('/introspect', { kind: 'body', body })
  }

  test.for<{ name: string; changes: Record<string, unknown> }>([
    { name: 'token_type', changes: { sub: 'ALICE', client_id: 'c', scope: 'openid' } },
    { name: 'token_type and sub', changes: { client_id: 'c', username: 'alice' } },
    { name: 'sub', changes: { token_type: 'Bearer', username: 'alice' } },
  ])('$name: UserInfo completes it', async ({ changes }) => {
    const { access_token: token } = await logIn()
    answer(changes['sub'] === 'ALICE' ? { ...changes, sub: alice() } : changes)
    const verifier = verifierFor({ iam: introspecting({ userinfo: 'always' }) })
    expect(await verifier.verify(token)).toMatchObject({ sub: alice(), clientOnly: false })
    expect(provider().faults.count('/userinfo')).toBe(1)
    expect(await explained(token, introspecting())).toEqual([
      'format ok',
      'active ok',
      'user ok',
      'scope ok',
      'claims ok',
    ])
  })

  test.for<{ name: string; changes: Record<string, unknown>; check: string }>([
    { name: 'of a refresh token', changes: { sub: 'ALICE' }, check: 'type' },
    { name: 'of another subject', changes: { sub: 'bob', token: 'access' }, check: 'subject' },
    { name: 'of another audience', changes: { aud: 'x', token: 'access' }, check: 'audience' },
    { name: 'of a key-bound token', changes: { cnf: {}, token: 'access' }, check: 'type' },
    { name: 'that says refresh', changes: { typ: 'Refresh', token: 'access' }, check: 'type' },
    { name: 'that has expired', changes: { exp: 1, token: 'access' }, check: 'expired' },
    { name: 'of a client', changes: { client_id: 'c' }, check: 'type' },
  ])('$name is refused: $check', async ({ changes: { token, ...changes }, check }) => {
    const { refresh_token: refresh = '', access_token: access } = await logIn()
    answer(changes['sub'] === 'ALICE' ? { ...changes, sub: alice() } : changes)
    const verifier = verifierFor({ iam: introspecting() })
    const error = await refusalOf(verifier.verify(token === 'access' ? access : refresh))
    expect(error).toMatchObject({ code: 'invalid_token', check })
  })

  test('a client, by token_type and without user: UserInfo is not asked', async () => {
    const { access_token: token } = await logIn()
    answer({ client_id: 'c', token_type: 'Bearer' })
    // Ory Hydra answers 200 without subject for a client's token.
    provider().faults.set('/userinfo', { kind: 'body', body: { iss: 'x' } })
    const error = await refusalOf(verifierFor({ iam: introspecting() }).verify(token))
    expect(error).toMatchObject({ code: 'invalid_token', check: 'user' })
    const allowed = introspecting({ allow_client_tokens: true })
    expect(await verifierFor({ iam: allowed }).verify(token)).toMatchObject({
      sub: 'c',
      clientOnly: true,
    })
    expect(provider().faults.count('/userinfo')).toBe(0)
  })

  test('a provider whose UserInfo is away decides nothing', async () => {
    const { access_token: token } = await logIn()
    answer({ sub: alice() })
    provider().faults.set('/userinfo', { kind: 'status', status: 500 })
    const error = await refusalOf(verifierFor({ iam: introspecting() }).verify(token))
    expect(error.code).toBe('provider_unavailable')
  })
})
