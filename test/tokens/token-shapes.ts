import type { SettingsInput } from './support.ts'
import { AUDIENCE } from './support.ts'

/** One token as its provider really makes it, with invented values, and what becomes of it. */
export interface TokenShape {
  readonly from: string
  readonly name: string
  /** Of a JWT, besides iss, sub (alice), iat and exp. Undefined: an opaque token. */
  readonly jwt?: Readonly<Record<string, unknown>>
  /** Header `typ`; `JWT` unless told otherwise. */
  readonly typ?: string | undefined
  /** What introspection answers, besides `active`, `sub` and `exp`; the provider is asked when it is there. */
  readonly answer?: Readonly<Record<string, unknown>>
  readonly userInfo?: Readonly<Record<string, unknown>>
  readonly settings?: SettingsInput
  /** The check that refuses it; undefined: it is accepted. */
  readonly check?: 'type' | 'user' | 'subject' | 'audience' | 'scope'
}

/** The client that people log in with; its id stands in `audiences`, as `tts import-watts` writes it. */
export const CLIENT = 'watts-client'
const idp = CLIENT
const aud = AUDIENCE
const jti = 'b7e5c6f0-3c1f-4f39-9d3e-1f6a1f6a0001'
const auth_time = 1_760_000_000
const any = { accept_missing_audience: true }
const none: SettingsInput = { access_token_evidence: 'none' }
const dex = {
  aud: idp,
  at_hash: 'h',
  nonce: 'n',
  email: 'a@example.org',
  groups: ['cms'],
  name: 'a',
}
const kc = {
  typ: 'Bearer',
  azp: idp,
  jti,
  aud: [aud, 'account'],
  acr: '1',
  scope: 'openid email',
  realm_access: { roles: ['x'] },
}
const user = { sid: 's', auth_time, preferred_username: 'alice' }
const robot = { preferred_username: 'service-account-robot' }
const notes = { client_id: 'robot', clientHost: '192.0.2.1', clientAddress: '192.0.2.1' }

// prettier-ignore
export const tokenShapes: readonly TokenShape[] = [
  // INDIGO IAM. Its ID tokens name the client in `aud` alone.
  { from: 'IAM iam', name: 'access', jwt: { client_id: idp, jti, aud } },
  { from: 'IAM iam', name: 'access, no audience', jwt: { client_id: idp, jti }, settings: any },
  { from: 'IAM iam', name: 'access with authn info', jwt: { client_id: idp, jti, aud, name: 'a', preferred_username: 'alice', groups: ['cms'], organisation_name: 'demo' } },
  { from: 'IAM iam', name: 'access after MFA and exchange', jwt: { client_id: idp, jti, aud, acr: 'https://refeds.org/profile/mfa', act: { sub: 'other' } } },
  { from: 'IAM wlcg', name: 'access', jwt: { client_id: idp, jti, aud, 'wlcg.ver': '1.0', scope: 'openid wlcg.groups', 'wlcg.groups': ['/cms'] } },
  { from: 'IAM aarc', name: 'access', jwt: { client_id: idp, jti, aud, eduperson_entitlement: ['urn:geant:x:group:cms#iam'], voperson_id: 'v' } },
  { from: 'IAM kc', name: 'access', jwt: { client_id: idp, jti, aud, scope: 'openid profile', roles: ['cms'] } },
  { from: 'IAM iam', name: 'ID, password grant', jwt: { aud: idp, jti, auth_time, groups: ['cms'], kid: 'rsa1' }, check: 'type' },
  { from: 'IAM iam', name: 'ID, code grant', jwt: { aud: idp, jti, auth_time, groups: ['cms'], nonce: 'n', at_hash: 'h' }, check: 'type' },
  { from: 'IAM iam', name: 'ID with the barest claims', jwt: { aud: idp, jti }, check: 'type' },
  { from: 'IAM wlcg', name: 'ID', jwt: { aud: idp, jti, auth_time, 'wlcg.ver': '1.0', 'wlcg.groups': ['/cms'] }, check: 'type' },
  { from: 'IAM iam', name: 'client', jwt: { sub: idp, client_id: idp, jti, aud }, check: 'user' },
  { from: 'IAM wlcg', name: 'client', jwt: { sub: idp, client_id: idp, jti, aud, 'wlcg.ver': '1.0', scope: 'compute.create' }, check: 'user' },
  { from: 'IAM 1.12', name: 'opaque access', answer: { client_id: idp, scope: 'openid', aud: `other ${aud}`, token_type: 'Bearer', user_id: 'alice' } },
  { from: 'IAM 2026', name: 'opaque access', answer: { client_id: idp, scope: 'openid', aud: [aud], token_type: 'ACCESS_TOKEN', username: 'alice' } },
  { from: 'IAM 1.12', name: 'refresh, introspected', answer: { client_id: idp, scope: 'openid offline_access', aud, user_id: 'alice' }, check: 'type' },
  { from: 'IAM 1.12', name: 'access, introspected', jwt: { client_id: idp, jti, aud }, answer: { client_id: idp, scope: 'openid', token_type: 'Bearer' } },
  { from: 'IAM 1.12', name: 'ID, should introspection know it', jwt: { aud: idp, jti, auth_time }, answer: { client_id: idp, scope: 'id-token', token_type: 'Bearer' }, check: 'type' },
  // Keycloak 26
  { from: 'Keycloak 26', name: 'access', jwt: { ...kc, ...user } },
  { from: 'Keycloak 26', name: 'access, password grant', jwt: { ...kc, sid: 's', preferred_username: 'alice' } },
  { from: 'Keycloak 26', name: 'access without the scope profile', jwt: { ...kc, sid: 's', auth_time } },
  { from: 'Keycloak 26', name: 'access, lower-case bearer', jwt: { ...kc, ...user, typ: 'bearer' } },
  { from: 'Keycloak 26', name: 'access, header at+jwt', jwt: { ...kc, ...user }, typ: 'at+jwt' },
  { from: 'Keycloak 26', name: 'access, offline session', jwt: { ...kc, ...user, scope: 'openid offline_access' } },
  { from: 'Keycloak 26', name: 'access by exchange, no session', jwt: { ...kc, preferred_username: 'alice' } },
  { from: 'Keycloak 26', name: 'lightweight, introspected', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...user, username: 'alice' } },
  { from: 'Keycloak 26', name: 'lightweight, not introspected', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, check: 'subject' },
  { from: 'Keycloak 26', name: 'lightweight, answer for another service', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...user, aud: 'account', username: 'alice' }, check: 'audience' },
  { from: 'Keycloak 26', name: 'lightweight, answer without audience', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...user, aud: undefined, username: 'alice' }, check: 'audience' },
  { from: 'Keycloak 26', name: 'lightweight, answer without subject', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...user, sub: undefined, username: 'alice' }, check: 'subject' },
  { from: 'Keycloak 26', name: 'lightweight, answer of a refresh token', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...user, typ: 'Refresh' }, check: 'type' },
  { from: 'Keycloak 26', name: 'lightweight, bound by its answer', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...user, cnf: { jkt: 'x' }, username: 'alice' }, check: 'type' },
  { from: 'Keycloak 26', name: 'lightweight of a service account', jwt: { sub: undefined, typ: 'Bearer', azp: idp, sid: 's', scope: 'openid' }, answer: { ...kc, ...notes, ...robot, username: 'service-account-robot' }, check: 'user' },
  { from: 'anybody', name: 'client without subject, completed by an answer that has none either', jwt: { sub: undefined, client_id: 'robot', jti, scope: 'x' }, answer: { sub: undefined, client_id: 'robot', token_type: 'Bearer', aud, scope: 'x' }, check: 'subject' },
  { from: 'Keycloak 26', name: 'bound by DPoP', jwt: { ...kc, ...user, typ: 'DPoP', cnf: { jkt: 'x' } }, check: 'type' },
  { from: 'Keycloak 26', name: 'ID', jwt: { typ: 'ID', azp: idp, aud: idp, jti, at_hash: 'h', acr: '1', ...user }, check: 'type' },
  { from: 'Keycloak 26', name: 'ID with scope and client_id by mappers', jwt: { ...kc, ...user, typ: 'ID', client_id: idp }, check: 'type' },
  { from: 'Keycloak 26', name: 'ID, introspected as active by old ones', jwt: { aud: idp, azp: idp, scope: 'openid' }, answer: { typ: 'ID', azp: idp }, check: 'type' },
  { from: 'Keycloak 26', name: 'refresh', jwt: { ...kc, typ: 'Refresh', sid: 's' }, check: 'type' },
  { from: 'Keycloak 26', name: 'offline', jwt: { ...kc, typ: 'Offline', sid: 's' }, settings: none, check: 'type' },
  { from: 'Keycloak 26', name: 'logout', jwt: { typ: 'Logout', aud, jti, sid: 's', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, typ: 'logout+jwt', check: 'type' },
  { from: 'Keycloak 26', name: 'service account', jwt: { ...kc, ...notes, ...robot }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account with the scope profile alone', jwt: { ...kc, ...robot }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account with the scope service_account alone', jwt: { ...kc, ...notes }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account with neither', jwt: kc, check: 'user' },
  { from: 'Keycloak 26', name: 'service account by the grant in its jti, whatever else it says', jwt: { ...kc, auth_time: 1, name: 'x', jti: 'onrtcc:1' }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account with a session', jwt: { ...kc, sid: 's' }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account with neither, introspected', jwt: kc, answer: { ...kc, username: 'service-account-robot' }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account whose token hides it, introspected', jwt: { ...kc, username: 'alice' }, answer: { ...kc, username: 'service-account-robot' }, check: 'user' },
  { from: 'Keycloak 26', name: 'service account, UserInfo asked', jwt: kc, userInfo: robot, check: 'user' },
  { from: 'Keycloak 26', name: 'service account, allowed', jwt: kc, settings: { allow_client_tokens: true } },
  { from: 'Keycloak 26', name: 'access of a person who is told by introspection', jwt: { ...kc, sid: 's' }, answer: { ...kc, username: 'alice', token_type: 'Bearer' } },
  { from: 'Keycloak 26', name: 'access of a person who is told by UserInfo', jwt: { ...kc, sid: 's' }, userInfo: { preferred_username: 'alice' } },
  // Keycloak up to 24 and those built on it
  { from: 'Keycloak 24', name: 'access', jwt: { ...kc, ...user, nonce: 'n', session_state: 's' } },
  { from: 'Keycloak 24', name: 'ID', jwt: { typ: 'ID', azp: idp, aud: idp, nonce: 'n', at_hash: 'h', session_state: 's', ...user }, check: 'type' },
  { from: 'Keycloak 9', name: 'service account with a session', jwt: { ...kc, session_state: 's', clientId: 'robot' }, check: 'user' },
  { from: 'EGI Check-in', name: 'access', jwt: { ...kc, auth_time, session_state: 's', voperson_id: 'v@egi.eu' } },
  { from: 'EGI Check-in', name: 'ID', jwt: { typ: 'ID', azp: idp, aud: idp, auth_time, sid: 's' }, check: 'type' },
  // Dex: access tokens are ID tokens by another name, and introspection answers alike for both.
  { from: 'Dex', name: 'access', jwt: dex, check: 'type' },
  { from: 'Dex', name: 'access, evidence none', jwt: dex, settings: none },
  { from: 'Dex', name: 'access, introspected', jwt: dex, answer: { client_id: idp, aud: idp, token_type: 'Bearer', token_use: 'access_token' }, check: 'type' },
  { from: 'Dex', name: 'access, introspected, evidence none', jwt: dex, answer: { client_id: idp, aud: idp, token_type: 'Bearer', token_use: 'access_token' }, settings: none },
  { from: 'Dex', name: 'ID, code flow, evidence none', jwt: { ...dex, c_hash: 'c' }, settings: none, check: 'type' },
  { from: 'Dex', name: 'refresh, introspected, evidence none', answer: { client_id: idp, aud: idp, token_type: 'Bearer', token_use: 'refresh_token' }, settings: none, check: 'type' },
  // Ory Hydra
  { from: 'Hydra', name: 'access', jwt: { client_id: idp, jti, aud: [aud], scp: ['openid', 'tts'], ext: {} }, settings: { required_scopes: ['tts'] } },
  { from: 'Hydra', name: 'access that lacks a scope', jwt: { client_id: idp, jti, aud: [aud], scp: ['openid', 'tts.read'], ext: {} }, settings: { required_scopes: ['tts'] }, check: 'scope' },
  { from: 'Hydra', name: 'opaque access', answer: { client_id: idp, aud: [aud], scope: 'openid', token_type: 'Bearer', token_use: 'access_token' } },
  { from: 'Hydra', name: 'refresh, introspected', answer: { client_id: idp, aud: [aud], scope: 'openid', token_type: 'Bearer', token_use: 'refresh_token' }, check: 'type' },
  { from: 'Hydra', name: 'ID', jwt: { aud: [idp], jti, sid: 's', auth_time, at_hash: 'h', rat: auth_time }, check: 'type' },
  { from: 'Hydra', name: 'client', jwt: { sub: idp, client_id: idp, jti, aud: [aud], scp: [] }, check: 'user' },
  // django-oauth-toolkit
  { from: 'django-oauth-toolkit', name: 'opaque access', answer: { sub: undefined, client_id: idp, scope: 'read', username: 'alice' }, settings: any, check: 'type' },
  { from: 'django-oauth-toolkit', name: 'opaque access, evidence none', answer: { sub: undefined, client_id: idp, scope: 'read', username: 'alice' }, settings: { ...any, ...none }, check: 'subject' },
  { from: 'django-oauth-toolkit', name: 'a user who would be the client', answer: { sub: undefined, client_id: idp, scope: 'read', username: 'alice' }, settings: { ...any, ...none, allow_client_tokens: true }, check: 'subject' },
  { from: 'django-oauth-toolkit', name: 'client', answer: { sub: undefined, client_id: idp, scope: 'read' }, settings: { ...any, ...none }, check: 'user' },
  // oidc-provider
  { from: 'oidc-provider', name: 'access for a resource', jwt: { client_id: idp, jti, aud, scope: 'tts' }, typ: 'at+jwt' },
  { from: 'oidc-provider', name: 'access for a resource, no scope', jwt: { client_id: idp, jti, aud, auth_time }, typ: 'application/at+jwt' },
  { from: 'oidc-provider', name: 'opaque access', answer: { client_id: idp, scope: 'openid', aud, token_type: 'Bearer' } },
  { from: 'oidc-provider', name: 'refresh, introspected', answer: { client_id: idp, scope: 'openid offline_access', aud }, check: 'type' },
  { from: 'oidc-provider', name: 'ID', jwt: { aud: idp, auth_time, at_hash: 'h', sid: 's' }, check: 'type' },
  { from: 'oidc-provider', name: 'logout', jwt: { aud, jti, sid: 's', events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, typ: 'logout+jwt', check: 'type' },
  // mock-oauth2-server
  { from: 'mock-oauth2-server', name: 'access', jwt: { aud: [aud], jti, tid: 'default' }, check: 'type' },
  { from: 'mock-oauth2-server', name: 'access, a claim configured', jwt: { aud: [aud], jti, tid: 'default' }, settings: { access_token_evidence: { tid: 'default' } } },
  { from: 'mock-oauth2-server', name: 'access, introspected', jwt: { aud: [aud], jti, tid: 'default' }, answer: { client_id: idp, scope: 'openid', token_type: 'Bearer' } },
  { from: 'mock-oauth2-server', name: 'ID', jwt: { aud: idp, jti, azp: idp, nonce: 'n', tid: 'default' }, check: 'type' },
  { from: 'mock-oauth2-server', name: 'client', jwt: { sub: idp, aud: [idp], jti, tid: 'default' }, settings: none, check: 'user' },
  // CILogon
  { from: 'CILogon WLCG', name: 'access', jwt: { aud, jti, scope: 'compute.create', 'wlcg.ver': '1.0' } },
  { from: 'CILogon SciTokens', name: 'access', jwt: { aud, jti, scope: 'read:/cms', ver: 'scitokens:2.0' } },
  { from: 'CILogon', name: 'ID', jwt: { aud: idp, azp: idp, jti, auth_time, idp: 'https://idp.example.org', eppn: 'a@example.org' }, check: 'type' },
  // Cognito: no audience in access tokens
  { from: 'Cognito', name: 'access', jwt: { token_use: 'access', client_id: idp, jti, scope: 'openid', username: 'alice', auth_time }, settings: any },
  { from: 'Cognito', name: 'ID', jwt: { token_use: 'id', aud: idp, jti, auth_time, 'cognito:username': 'alice' }, settings: none, check: 'type' },
  { from: 'Cognito', name: 'client', jwt: { sub: idp, token_use: 'access', client_id: idp, jti, scope: 'x/y' }, settings: any, check: 'user' },
  // Auth0, Okta, Entra, ForgeRock
  { from: 'Auth0', name: 'access', jwt: { azp: idp, aud: [aud, 'https://x.auth0.example/userinfo'], scope: 'openid profile' } },
  { from: 'Auth0', name: 'access, RFC 9068', jwt: { client_id: idp, aud, jti }, typ: 'at+jwt' },
  { from: 'Auth0', name: 'ID', jwt: { aud: idp, sid: 's', name: 'a' }, check: 'type' },
  { from: 'Auth0', name: 'ID of an organisation', jwt: { aud: idp, azp: idp, sid: 's', auth_time, org_id: 'o' }, check: 'type' },
  { from: 'Auth0', name: 'client', jwt: { sub: 'robot@clients', azp: 'robot', aud, scope: 'tts', gty: 'client-credentials' }, check: 'user' },
  { from: 'Okta', name: 'access', jwt: { cid: idp, uid: 'u', aud, jti, scp: ['openid'], auth_time } },
  { from: 'Okta', name: 'client', jwt: { sub: idp, cid: idp, aud, jti, scp: ['tts'] }, check: 'user' },
  { from: 'Entra', name: 'access', jwt: { azp: idp, aud, scp: 'openid tts', ver: '2.0', tid: 't' }, settings: { required_scopes: ['tts'] } },
  { from: 'Entra', name: 'client', jwt: { azp: idp, aud, scp: 'tts', idtyp: 'app' }, check: 'user' },
  { from: 'ForgeRock', name: 'access', jwt: { tokenName: 'access_token', client_id: idp, aud, scope: ['openid'], token_type: 'Bearer', grant_type: 'authorization_code' } },
  { from: 'ForgeRock', name: 'ID', jwt: { tokenName: 'id_token', azp: idp, aud: idp, scope: ['openid'] }, check: 'type' },
  { from: 'ForgeRock', name: 'client', jwt: { tokenName: 'access_token', client_id: idp, aud, scope: ['tts'], grant_type: 'client_credentials' }, check: 'user' },
  // Apereo CAS: ID tokens name the client.
  { from: 'CAS', name: 'ID', jwt: { client_id: idp, aud: idp, jti, auth_time, sid: 's', state: 'x' }, check: 'type' },
  // Audiences: what is one text is one audience.
  { from: 'anybody', name: 'an audience with blanks', jwt: { client_id: idp, jti, aud: `x ${aud}` }, check: 'audience' },
  { from: 'anybody', name: 'no audience, and introspection tells another one', jwt: { client_id: idp, jti }, answer: { aud: 'other', token_type: 'Bearer' }, settings: any, check: 'audience' },
]
