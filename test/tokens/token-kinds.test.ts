/**
 * Tokens of every kind as providers write them (claims only, values made up): what is taken for an access token of a person, and
 * by which check the others are refused.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { providerSettings, type ProviderSettings } from '../../src/config/provider-schema.ts'
import { TtsError } from '../../src/errors.ts'
import { checkClaims, type Claims } from '../../src/tokens/claim-checks.ts'
import { checkUser } from '../../src/tokens/identity-checks.ts'
import { checkIntrospection } from '../../src/tokens/introspection.ts'
import type { Provider } from '../../src/tokens/providers.ts'
import { tokenKindOf } from '../../src/tokens/token-kind.ts'
import type { SettingsInput } from './support.ts'

const ISSUER = 'https://idp.example.org'
const CLIENT = 'portal'
const NOW = new Date('2026-11-26T12:00:00Z')
const second = Math.floor(NOW.getTime() / 1000)

/** As `tts import-watts` writes them: the client's id is an audience, so that ID tokens are of the right one. */
function settings(more: SettingsInput = {}): ProviderSettings {
  const client = { client_id: 'tts', client_secret: 's' }
  return providerSettings.parse({ issuer: ISSUER, audiences: [CLIENT], ...client, ...more })
}

const base = { iss: ISSUER, sub: 'a1b2', aud: CLIENT, iat: second - 60, exp: second + 3600 }

interface Shape {
  readonly name: string
  readonly claims: Claims
  readonly typ?: string
  /** The check that refuses it; undefined: it is taken. */
  readonly refused?: string
}

/** The check that refuses a JWT, or undefined. */
function refusalOf({ claims, typ }: Shape, settingsUsed: ProviderSettings): string | undefined {
  try {
    const all = { ...base, ...claims }
    checkClaims(all, { settings: settingsUsed, now: NOW, headerType: typ })
    checkUser(all, settingsUsed)
    return undefined
  } catch (error) {
    if (error instanceof TtsError) return error.check
    throw error
  }
}

// prettier-ignore
const jwts: readonly Shape[] = [
  // INDIGO IAM, by profile
  { name: 'IAM, iam, as it comes', typ: 'JWT', claims: { client_id: CLIENT, jti: 'j' } },
  { name: 'IAM, iam, all switches on', typ: 'JWT', claims: { client_id: CLIENT, jti: 'j', scope: 'openid profile', groups: ['cms'], nbf: second, preferred_username: 'alice' } },
  { name: 'IAM, wlcg', typ: 'JWT', claims: { client_id: CLIENT, 'wlcg.ver': '1.0', 'wlcg.groups': ['/cms'], scope: 'openid wlcg.groups' } },
  { name: 'IAM, aarc', typ: 'JWT', claims: { client_id: CLIENT, eduperson_entitlement: ['urn:x:group:cms'], voperson_id: 'v' } },
  { name: 'IAM, kc', typ: 'JWT', claims: { client_id: CLIENT, roles: ['cms'], scope: 'openid' } },
  { name: 'IAM, after token exchange', typ: 'JWT', claims: { client_id: 'tts', act: { sub: CLIENT } } },
  { name: 'IAM ID token', typ: 'JWT', claims: { auth_time: second, groups: ['cms'], name: 'Alice' }, refused: 'type' },
  { name: 'IAM ID token, wlcg', typ: 'JWT', claims: { auth_time: second, 'wlcg.ver': '1.0', 'wlcg.groups': ['/cms'] }, refused: 'type' },
  { name: 'IAM ID token of the code flow', typ: 'JWT', claims: { auth_time: second, nonce: 'n', at_hash: 'h', kid: 'rsa1' }, refused: 'type' },
  { name: 'IAM client token', typ: 'JWT', claims: { sub: CLIENT, client_id: CLIENT, scope: 'x' }, refused: 'user' },
  // Keycloak
  { name: 'Keycloak 26', typ: 'JWT', claims: { typ: 'Bearer', azp: CLIENT, sid: 's', acr: '1', scope: 'openid profile', jti: 'onrtac:1', preferred_username: 'alice' } },
  { name: 'Keycloak 26, no profile', typ: 'JWT', claims: { typ: 'Bearer', azp: CLIENT, sid: 's', scope: 'openid', jti: 'onrtac:1' } },
  { name: 'Keycloak 24, nonce inside', typ: 'JWT', claims: { typ: 'Bearer', azp: CLIENT, session_state: 's', sid: 's', nonce: 'n', scope: 'openid' } },
  { name: 'Keycloak, at+jwt switched on', typ: 'at+jwt', claims: { azp: CLIENT, sid: 's', scope: 'openid' } },
  { name: 'Keycloak ID token', typ: 'JWT', claims: { typ: 'ID', azp: CLIENT, sid: 's', at_hash: 'h', acr: '1' }, refused: 'type' },
  { name: 'Keycloak ID token with a scope by a mapper', typ: 'JWT', claims: { typ: 'ID', azp: CLIENT, scope: 'openid', client_id: CLIENT }, refused: 'type' },
  { name: 'Keycloak refresh token', typ: 'JWT', claims: { typ: 'Refresh', azp: CLIENT, sid: 's', scope: 'openid' }, refused: 'type' },
  { name: 'Keycloak offline token', typ: 'JWT', claims: { typ: 'Offline', azp: CLIENT, sid: 's', scope: 'openid' }, refused: 'type' },
  { name: 'Keycloak logout token', typ: 'JWT', claims: { typ: 'Logout', events: {}, sid: 's' }, refused: 'type' },
  { name: 'Keycloak logout token, logout+jwt', typ: 'logout+jwt', claims: { client_id: CLIENT, sid: 's' }, refused: 'type' },
  { name: 'Keycloak service account', typ: 'JWT', claims: { typ: 'Bearer', azp: 'robot', scope: 'profile', preferred_username: 'service-account-robot' }, refused: 'user' },
  { name: 'Keycloak service account, scope service_account alone', typ: 'JWT', claims: { typ: 'Bearer', azp: 'robot', client_id: 'robot', clientHost: '192.0.2.1', clientAddress: '192.0.2.1', scope: 'email' }, refused: 'user' },
  { name: 'Keycloak service account, no scope that tells', typ: 'JWT', claims: { typ: 'Bearer', azp: 'robot', acr: '1', scope: 'email' }, refused: 'user' },
  { name: 'Keycloak 26 service account, refresh tokens on', typ: 'JWT', claims: { typ: 'Bearer', azp: 'robot', sid: 's', scope: 'email', jti: 'onrtcc:1' }, refused: 'user' },
  { name: 'Keycloak lightweight', typ: 'JWT', claims: { typ: 'Bearer', azp: CLIENT, sub: undefined, aud: undefined, sid: 's', jti: 'onltac:1' }, refused: 'subject' },
  // Dex writes access tokens and ID tokens alike
  { name: 'Dex, either', typ: 'JWT', claims: { at_hash: 'h', email: 'a@example.org', name: 'alice' }, refused: 'type' },
  // Ory Hydra
  { name: 'Hydra', typ: 'JWT', claims: { client_id: CLIENT, scp: ['openid', 'offline'], ext: {}, jti: 'j' } },
  { name: 'Hydra ID token', typ: 'JWT', claims: { sid: 's', at_hash: 'h', auth_time: second, rat: second, acr: '0' }, refused: 'type' },
  { name: 'Hydra client token', typ: 'JWT', claims: { sub: 'robot', client_id: 'robot', scp: ['x'] }, refused: 'user' },
  // Others
  { name: 'EGI Check-in', typ: 'JWT', claims: { typ: 'Bearer', azp: CLIENT, sid: 's', scope: 'openid', sub: `${'a'.repeat(64)}@egi.eu` } },
  { name: 'CILogon, WLCG profile without a client', typ: 'JWT', claims: { 'wlcg.ver': '1.0', scope: 'compute.create', sub: 'http://cilogon.org/serverA/users/1' } },
  { name: 'SciToken', typ: 'JWT', claims: { ver: 'scitoken:2.0', scope: 'read:/' } },
  { name: 'oidc-provider, for a resource', typ: 'at+jwt', claims: { client_id: CLIENT, scope: 'openid', jti: 'j' } },
  { name: 'oidc-provider ID token', typ: 'JWT', claims: { at_hash: 'h', auth_time: second, sid: 's' }, refused: 'type' },
  { name: 'mock-oauth2-server, either', typ: 'JWT', claims: { jti: 'j', tid: 'default', nbf: second }, refused: 'type' },
  { name: 'mock-oauth2-server ID token with nonce', typ: 'JWT', claims: { azp: CLIENT, nonce: 'n' }, refused: 'type' },
  { name: 'Cognito', claims: { token_use: 'access', client_id: CLIENT, scope: 'openid', username: 'alice' } },
  { name: 'Cognito ID token', claims: { token_use: 'id', 'cognito:username': 'alice', auth_time: second }, refused: 'type' },
  { name: 'Auth0', typ: 'JWT', claims: { azp: CLIENT, scope: 'openid profile' } },
  { name: 'Auth0 client token', typ: 'JWT', claims: { azp: 'robot', scope: 'x', gty: 'client-credentials', sub: 'robot@clients' }, refused: 'user' },
  { name: 'Auth0 ID token', typ: 'JWT', claims: { sid: 's', name: 'Alice', nonce: 'n' }, refused: 'type' },
  { name: 'Okta', claims: { cid: CLIENT, scp: ['openid'], uid: 'u' } },
  { name: 'Entra', typ: 'JWT', claims: { azp: CLIENT, scp: 'User.Read', oid: 'o' } },
  { name: 'Entra application', typ: 'JWT', claims: { azp: 'robot', scp: 'x', idtyp: 'app' }, refused: 'user' },
  { name: 'any ID token with auth_time, sid and azp', typ: 'JWT', claims: { auth_time: second, sid: 's', azp: CLIENT, groups: ['cms'] }, refused: 'type' },
  { name: 'a security event', typ: 'secevent+jwt', claims: { client_id: CLIENT, events: {} }, refused: 'type' },
  { name: 'a DPoP proof', typ: 'dpop+jwt', claims: { client_id: CLIENT, htm: 'POST' }, refused: 'type' },
]

describe('JWTs', () => {
  test.for(jwts)('$name', (shape) => {
    expect(refusalOf(shape, settings())).toBe(shape.refused)
  })

  test('Dex and mock-oauth2-server, where the operator takes what shows nothing: their ID tokens pass too', () => {
    const lax = settings({ accept_tokens_of_unknown_kind: true })
    const taken = (name: string): unknown => {
      const shape = jwts.find((one) => one.name === name)
      return shape && refusalOf(shape, lax)
    }
    expect(taken('Dex, either')).toBeUndefined()
    expect(taken('mock-oauth2-server, either')).toBeUndefined()
    // What says that it is something else stays refused.
    for (const name of [
      'Keycloak ID token',
      'Cognito ID token',
      'mock-oauth2-server ID token with nonce',
    ])
      expect(taken(name)).toBe('type')
  })

  test('tokens of clients, where they are allowed', () => {
    const lax = settings({ allow_client_tokens: true })
    for (const shape of jwts.filter(({ refused }) => refused === 'user'))
      expect(refusalOf(shape, lax), shape.name).toBeUndefined()
  })
})

interface Introspected {
  readonly name: string
  readonly answer: Claims
  /** The claims of the JWT that was asked about; undefined for an opaque token. */
  readonly signed?: Claims
  readonly refused?: string
}

function refusalOfAnswer({ answer, signed }: Introspected): string | undefined {
  const settingsUsed = settings({ introspect: 'always' })
  const provider = { id: 'idp', settings: settingsUsed } as unknown as Provider
  const { iss: _iss, ...told } = base
  try {
    const full = { active: true, ...(signed ? {} : told), ...answer }
    const all = signed && { ...base, ...signed }
    if (all !== undefined) checkClaims(all, { settings: settingsUsed, now: NOW, headerType: 'JWT' })
    const claims = checkIntrospection(full, provider, { now: NOW, signed: all })
    checkUser(claims, settingsUsed)
    return undefined
  } catch (error) {
    if (error instanceof TtsError) return error.check
    throw error
  }
}

// prettier-ignore
const answers: readonly Introspected[] = [
  { name: 'IAM 1.12', answer: { token_type: 'Bearer', client_id: CLIENT, scope: 'openid', user_id: 'alice', aud: `other ${CLIENT}` } },
  { name: 'IAM 2026', answer: { token_type: 'ACCESS_TOKEN', client_id: CLIENT, aud: ['other', CLIENT] } },
  { name: 'Hydra', answer: { token_type: 'Bearer', token_use: 'access_token', client_id: CLIENT, scope: 'openid' } },
  { name: 'Hydra refresh token', answer: { token_type: 'Bearer', token_use: 'refresh_token', client_id: CLIENT, scope: 'openid' }, refused: 'type' },
  { name: 'Dex refresh token', answer: { token_type: 'Bearer', token_use: 'refresh_token' }, refused: 'type' },
  { name: 'oidc-provider', answer: { token_type: 'Bearer', client_id: CLIENT, scope: 'openid' } },
  { name: 'a refresh token at a provider that names no kind', answer: { client_id: CLIENT, scope: 'openid offline_access' }, refused: 'type' },
  { name: 'a kind that nobody knows', answer: { token_type: 'mac' }, refused: 'type' },
  { name: 'a token bound to a key', answer: { token_type: 'DPoP' }, refused: 'type' },
  { name: 'Keycloak refresh token', answer: { typ: 'Refresh', token_type: 'Refresh', azp: CLIENT }, refused: 'type' },
  { name: 'Keycloak service account, opaque to us', answer: { typ: 'Bearer', token_type: 'Bearer', azp: 'robot', username: 'service-account-robot' }, refused: 'user' },
  { name: 'Dex: the token shows nothing, the answer does', signed: { at_hash: 'h', client_id: undefined }, answer: { token_type: 'Bearer', token_use: 'access_token' } },
  { name: 'an ID token, and an answer that does not say what it is', signed: { auth_time: second }, answer: { client_id: undefined }, refused: 'type' },
  { name: 'a JWT, and an answer that calls it a refresh token', signed: { client_id: CLIENT }, answer: { token_use: 'refresh_token' }, refused: 'type' },
  { name: 'an ID token by its own words, whatever the answer says', signed: { typ: 'ID', azp: CLIENT }, answer: { token_type: 'Bearer' }, refused: 'type' },
  { name: 'Keycloak service account, told by the answer', signed: { typ: 'Bearer', azp: 'robot', scope: 'email' }, answer: { username: 'service-account-robot', token_type: 'Bearer' }, refused: 'user' },
  { name: 'Keycloak service account, told by the answer against a session', signed: { typ: 'Bearer', azp: 'robot', sid: 's' }, answer: { username: 'service-account-robot', token_type: 'Bearer' }, refused: 'user' },
  { name: 'Keycloak person, told by the answer', signed: { typ: 'Bearer', azp: CLIENT, scope: 'email' }, answer: { username: 'alice', token_type: 'Bearer' } },
]

describe('introspection', () => {
  test.for(answers)('$name', (row) => {
    expect(refusalOfAnswer(row)).toBe(row.refused)
  })
})

test('whatever else a token says: with a sign of another kind, or with none of an access token, it is not one', () => {
  const names = [
    'client_id',
    'azp',
    'scope',
    'scp',
    'sid',
    'auth_time',
    'at_hash',
    'jti',
    'groups',
    'wlcg.ver',
    'ver',
    'acr',
  ]
  const claims = fc.dictionary(
    fc.constantFrom(...names),
    fc.oneof(fc.string(), fc.constant(['x']), fc.integer()),
  )
  const otherKind = fc.constantFrom<Claims>(
    { typ: 'ID' },
    { typ: 'Refresh' },
    { typ: 7 },
    { token_use: 'id' },
    { token_use: 'refresh_token' },
    { token_use: null },
    { events: {} },
  )
  fc.assert(
    fc.property(claims, otherKind, (some, other) => {
      expect(tokenKindOf({ claims: { ...some, ...other } })).toBe('other')
    }),
  )
  const client = ['client_id', 'azp', 'cid', 'appid', 'wlcg.ver', 'ver']
  fc.assert(
    fc.property(claims, (some) => {
      const bare = Object.fromEntries(
        Object.entries(some).filter(([name]) => !client.includes(name)),
      )
      expect(tokenKindOf({ claims: bare })).toBe('unknown')
    }),
  )
})
