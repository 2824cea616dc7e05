import type { MintRequest } from '../../demo/identity-provider/mint.ts'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import type { SigningKey } from '../../demo/identity-provider/signing-keys.ts'
import type { TtsErrorCode } from '../../src/base/errors.ts'
import { AUDIENCE, type SettingsInput } from './support.ts'

/** What rows may need of the running test. */
export interface World {
  readonly idp: IdentityProvider
  /** A key that the provider does not have. */
  readonly foreignKey: SigningKey
}

export const now = (): number => Math.floor(Date.now() / 1000)

/** One way in which a token can be bad, and how it is refused. */
export interface BadToken {
  readonly name: string
  /** Changes to a token that is good otherwise. */
  readonly mint?: (world: World) => MintRequest
  /** A change to its text. */
  readonly text?: (token: string, world: World) => string
  readonly settings?: SettingsInput
  readonly code?: TtsErrorCode
  readonly check: string
  readonly message: RegExp
}

const claims =
  (changes: Record<string, unknown>): (() => MintRequest) =>
  () => ({ claims: changes })
const header =
  (changes: Record<string, unknown>): (() => MintRequest) =>
  () => ({ header: changes })

/** One row per way, on one line each so that the table can be read as one. */
// prettier-ignore
export const badTokens: readonly BadToken[] = [
  // the text
  { name: 'empty', text: () => '', check: 'format', message: /characters/ },
  { name: 'blanks', text: (t) => ` ${t}`, check: 'format', message: /characters/ },
  { name: 'quoted', text: (t) => `"${t}"`, check: 'format', message: /characters/ },
  { name: '16 KiB and a byte', text: () => 'a'.repeat(16_385), check: 'size', message: /^the access token has 16385 bytes; this service accepts at most 16384$/ },
  { name: 'opaque', text: () => 'abcdef', check: 'format', message: /not a signed JWT/ },
  { name: 'cut to two parts', text: (t) => t.slice(0, t.lastIndexOf('.')), check: 'format', message: /JWT/ },
  { name: 'five parts, a JWE', text: (t) => `${t}.a.b`, check: 'format', message: /not a signed JWT/ },
  { name: 'claims not JSON', text: (t) => t.replace(/\.[^.]+\./, '.bm90IGpzb24.'), check: 'format', message: /JWT/ },
  // the signature
  { name: 'alg none', mint: () => ({ signature: 'none' }), check: 'algorithm', message: /algorithm/ },
  { name: 'HS256 with the public key', mint: () => ({ signature: 'HS256-public-key' }), check: 'algorithm', message: /algorithm/ },
  { name: 'RS512, not configured', mint: () => ({ signature: 'RS512' }), check: 'algorithm', message: /algorithm/ },
  { name: 'PS256 said to be RS256', mint: () => ({ signature: 'PS256', header: { alg: 'RS256' } }), check: 'signature', message: /signature/ },
  { name: 'no signature', mint: () => ({ signature: 'empty' }), check: 'signature', message: /signature/ },
  { name: 'one bit of the signature', text: (t) => `${t.slice(0, -9)}${t.at(-9) === 'A' ? 'B' : 'A'}${t.slice(-8)}`, check: 'signature', message: /signature/ },
  { name: 'claims exchanged', text: (t, { idp }) => t.replace(/\.[^.]+\./, `.${Buffer.from(JSON.stringify({ iss: idp.issuer, sub: 'root', exp: now() + 60 })).toString('base64url')}.`), check: 'signature', message: /signature/ },
  { name: 'another key under our kid', mint: ({ idp, foreignKey }) => ({ key: { ...foreignKey, kid: idp.keys.current.kid } }), check: 'signature', message: /signature/ },
  { name: 'another key, no kid', mint: ({ foreignKey }) => ({ key: foreignKey, header: { kid: undefined } }), check: 'signature', message: /signature/ },
  { name: 'unknown kid', mint: ({ foreignKey }) => ({ key: foreignKey }), check: 'key', message: /does not publish/ },
  { name: 'key in the header', mint: ({ foreignKey }) => ({ key: foreignKey, header: { kid: undefined, jwk: foreignKey.publicKey.export({ format: 'jwk' }) } }), check: 'signature', message: /signature/ },
  { name: 'critical header', mint: header({ crit: ['exp'], exp: 1 }), check: 'critical_header', message: /crit/ },
  { name: 'critical b64', mint: header({ crit: ['b64'], b64: true }), check: 'critical_header', message: /crit/ },
  // what it is
  { name: 'typ logout+jwt', mint: header({ typ: 'logout+jwt' }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'typ of a number', mint: header({ typ: 1 }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'Keycloak ID token', mint: claims({ typ: 'ID' }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'Keycloak refresh token', mint: claims({ typ: 'Refresh' }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'ID token with nonce', mint: claims({ nonce: 'n' }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'ID token with at_hash', mint: claims({ at_hash: 'h' }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'logout token', mint: claims({ events: {} }), check: 'type', message: /not (seem to be )?an access token/ },
  { name: 'nothing that says what it is', mint: claims({ client_id: undefined }), check: 'type', message: /nothing in it says/ },
  { name: 'ID token with c_hash', mint: claims({ c_hash: 'h' }), settings: { access_token_evidence: 'none' }, check: 'type', message: /an ID token \(claim c_hash\)/ },
  { name: 'bound to a key', mint: claims({ cnf: { jkt: 'x' } }), check: 'type', message: /cnf/ },
  { name: 'WLCG profile 2.0', mint: claims({ 'wlcg.ver': '2.0' }), check: 'profile_version', message: /wlcg.ver/ },
  { name: 'WLCG profile 10.0', mint: claims({ 'wlcg.ver': '10.0' }), check: 'profile_version', message: /wlcg.ver/ },
  { name: 'two audiences in one text', mint: claims({ aud: `other ${AUDIENCE}` }), check: 'audience', message: /another service/ },
  { name: 'claims nested 200 levels deep', mint: claims({ deep: JSON.parse('['.repeat(200) + ']'.repeat(200)) as unknown }), check: 'claims', message: /nested/ },
  // who
  { name: 'other issuer', mint: claims({ iss: 'https://evil.example/' }), check: 'issuer', message: /issuer/ },
  { name: 'no issuer', mint: claims({ iss: undefined }), check: 'issuer', message: /does not name its issuer/ },
  { name: 'issuer with two slashes', mint: ({ idp }) => ({ claims: { iss: `${idp.issuer}/` } }), check: 'issuer', message: /issuer/ },
  { name: 'issuer as a list', mint: ({ idp }) => ({ claims: { iss: [idp.issuer] } }), check: 'issuer', message: /issuer/ },
  { name: 'no sub', mint: claims({ sub: undefined }), check: 'subject', message: /sub/ },
  { name: 'empty sub', mint: claims({ sub: '' }), check: 'subject', message: /sub/ },
  { name: 'sub of a number', mint: claims({ sub: 0 }), check: 'subject', message: /sub/ },
  { name: 'sub of 1025 characters', mint: claims({ sub: 'a'.repeat(1025) }), check: 'subject', message: /sub/ },
  { name: 'client only, as at IAM', mint: claims({ sub: 'demo-cli' }), check: 'user', message: /client/ },
  { name: 'client only, by azp', mint: claims({ sub: 'robot', client_id: undefined, azp: 'robot', scope: 'openid' }), check: 'user', message: /client/ },
  { name: 'client only, as at Keycloak', mint: claims({ preferred_username: 'service-account-x' }), check: 'user', message: /client/ },
  // when
  { name: 'expired', mint: () => ({ claims: { exp: now() - 61 } }), check: 'expired', message: /expired/ },
  { name: 'no exp', mint: claims({ exp: undefined }), check: 'missing_expiry', message: /exp/ },
  { name: 'exp of a string', mint: () => ({ claims: { exp: String(now() + 60) } }), check: 'missing_expiry', message: /exp/ },
  { name: 'exp in milliseconds', mint: () => ({ claims: { exp: Date.now() + 60_000 } }), check: 'missing_expiry', message: /exp/ },
  { name: 'nbf ahead', mint: () => ({ claims: { nbf: now() + 120 } }), check: 'not_yet_valid', message: /nbf/ },
  { name: 'nbf of a string', mint: claims({ nbf: 'soon' }), check: 'not_yet_valid', message: /nbf/ },
  { name: 'iat ahead', mint: () => ({ claims: { iat: now() + 120 } }), check: 'not_yet_valid', message: /iat/ },
  { name: 'issued for too long', settings: { maximum_token_lifetime_seconds: 600 }, check: 'lifetime', message: /longer/ },
  { name: 'lifetime untold', mint: claims({ iat: undefined }), settings: { maximum_token_lifetime_seconds: 86_400 }, check: 'lifetime', message: /longer/ },
  // for whom
  { name: 'other audience', mint: claims({ aud: 'https://other.example' }), check: 'audience', message: /another service/ },
  { name: 'audience as a prefix', mint: claims({ aud: `${AUDIENCE}.evil.example` }), check: 'audience', message: /another service/ },
  { name: 'no audience', mint: claims({ aud: undefined }), check: 'audience', message: /has no audience/ },
  { name: 'one audience with a blank', mint: claims({ aud: `x ${AUDIENCE}` }), check: 'audience', message: /another service/ },
  { name: 'a list of audiences with a blank', mint: claims({ aud: [`x ${AUDIENCE}`] }), check: 'audience', message: /another service/ },
  { name: 'empty list of audiences', mint: claims({ aud: [] }), check: 'audience', message: /has no audience/ },
  { name: 'audience as an object', mint: claims({ aud: { 0: AUDIENCE } }), check: 'audience', message: /has no audience/ },
  { name: 'the WLCG any audience', mint: claims({ aud: 'https://wlcg.cern.ch/jwt/v1/any' }), check: 'audience', message: /another service/ },
  { name: 'another audience though a missing one is accepted', mint: claims({ aud: 'x' }), settings: { accept_missing_audience: true }, check: 'audience', message: /another service/ },
  // for what
  { name: 'lacks a scope', mint: claims({ scope: 'openid' }), settings: { required_scopes: ['tts'] }, code: 'insufficient_scope', check: 'scope', message: /tts/ },
  { name: 'scope as a prefix', mint: claims({ scope: 'tts.read' }), settings: { required_scopes: ['tts'] }, code: 'insufficient_scope', check: 'scope', message: /tts/ },
  { name: 'tells no scopes', settings: { required_scopes: ['tts'] }, code: 'insufficient_scope', check: 'scope', message: /does not name/ },
]
