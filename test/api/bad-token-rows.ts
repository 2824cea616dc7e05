import type { MintRequest } from '../../demo/identity-provider/mint.ts'
import type { SigningKey } from '../../demo/identity-provider/signing-keys.ts'
import { AUDIENCE, type TestService } from '../support/service.ts'

export interface World {
  readonly service: TestService
  /** A key that the provider does not have. */
  readonly foreignKey: SigningKey
}

/** One way in which a token can be bad, and the answer over HTTP. */
export interface BadTokenRow {
  readonly name: string
  readonly token: (world: World) => string | Promise<string>
  readonly status?: number
  readonly code?: string
  readonly check: string
  /** error_description of the challenge; the same words as `detail`. */
  readonly says: string
}

const now = (): number => Math.floor(Date.now() / 1000)

/** A token of alice that is sound but for the changes, and older than the keys of the service. */
function mint(world: World, changes: MintRequest): string {
  const { provider } = world.service
  const user = provider.user('alice')
  const own = { sub: user.sub, groups: user.groups, aud: AUDIENCE, iat: now() - 60 }
  const claims = { ...own, ...changes.claims }
  return provider.mint({ ...changes, claims })
}

const claims =
  (changes: Record<string, unknown>) =>
  (world: World): string =>
    mint(world, { claims: changes })

// prettier-ignore
export const badTokenRows: readonly BadTokenRow[] = [
  // the text
  { name: 'opaque', token: () => 'abcdef0123456789', check: 'format', says: 'the token is not a signed JWT, and introspection is not configured for any provider' },
  { name: 'quoted', token: (w) => `"${w.service.token()}"`, check: 'format', says: 'the token has characters that are not allowed in a bearer token (RFC 6750 section 2.1)' },
  { name: 'cut to two parts', token: (w) => w.service.token().replace(/\.[^.]+$/, ''), check: 'format', says: 'the token is not a signed JWT, and introspection is not configured for any provider' },
  { name: 'dots, thousands of them', token: () => '.'.repeat(16_000), check: 'format', says: 'the token is not a signed JWT, and introspection is not configured for any provider' },
  { name: 'encrypted (JWE)', token: (w) => `${w.service.token()}.a.b`, check: 'format', says: 'the token is not a signed JWT, and introspection is not configured for any provider' },
  { name: 'too long', token: (w) => w.service.token().padEnd(16_385, 'a'), check: 'size', says: 'the access token has 16385 bytes; this service accepts at most 16384' },
  // the signature
  { name: 'alg none', token: (w) => mint(w, { signature: 'none' }), check: 'algorithm', says: 'the token is signed with an algorithm that is not accepted here' },
  { name: 'HS256 with the public key', token: (w) => mint(w, { signature: 'HS256-public-key' }), check: 'algorithm', says: 'the token is signed with an algorithm that is not accepted here' },
  { name: 'unexpected algorithm RS512', token: (w) => mint(w, { signature: 'RS512' }), check: 'algorithm', says: 'the token is signed with an algorithm that is not accepted here' },
  { name: 'unexpected algorithm PS256', token: (w) => mint(w, { signature: 'PS256' }), check: 'algorithm', says: 'the token is signed with an algorithm that is not accepted here' },
  { name: 'wrong key under a known kid', token: (w) => mint(w, { key: { ...w.foreignKey, kid: w.service.provider.keys.current.kid } }), check: 'signature', says: 'the signature of the token is wrong' },
  { name: 'unknown kid', token: (w) => mint(w, { key: w.foreignKey }), check: 'key', says: 'the token is signed with a key that its issuer does not publish' },
  { name: 'key in the header', token: (w) => mint(w, { key: w.foreignKey, header: { kid: undefined, jwk: w.foreignKey.publicKey.export({ format: 'jwk' }) } }), check: 'signature', says: 'the signature of the token is wrong' },
  { name: 'critical header', token: (w) => mint(w, { header: { crit: ['exp'], exp: 1 } }), check: 'critical_header', says: 'the token requires an unsupported extension (header crit)' },
  { name: 'empty signature', token: (w) => mint(w, { signature: 'empty' }), check: 'signature', says: 'the signature of the token is wrong' },
  // from whom and for whom
  { name: 'other issuer', token: claims({ iss: 'https://evil.example.org/' }), check: 'issuer', says: 'the token comes from an issuer that is not trusted here' },
  { name: 'no issuer', token: claims({ iss: undefined }), check: 'issuer', says: 'the token does not name its issuer (claim iss)' },
  { name: 'other audience', token: claims({ aud: 'https://other.example.org' }), check: 'audience', says: `the token is meant for another service (claim aud); accepted audiences: ${AUDIENCE}` },
  { name: 'audience as prefix', token: claims({ aud: `${AUDIENCE}.evil.example` }), check: 'audience', says: `the token is meant for another service (claim aud); accepted audiences: ${AUDIENCE}` },
  { name: 'WLCG any audience', token: claims({ aud: 'https://wlcg.cern.ch/jwt/v1/any' }), check: 'audience', says: `the token is meant for another service (claim aud); accepted audiences: ${AUDIENCE}` },
  { name: 'missing aud', token: claims({ aud: undefined }), check: 'audience', says: `the token has no audience; the client must request one with the token: ${AUDIENCE}` },
  // when
  { name: 'expired', token: (w) => mint(w, { claims: { exp: now() - 61 } }), check: 'expired', says: 'the token has expired' },
  { name: 'no exp', token: claims({ exp: undefined }), check: 'missing_expiry', says: 'the token has no valid expiry time (claim exp)' },
  { name: 'nbf in the future', token: (w) => mint(w, { claims: { nbf: now() + 120 } }), check: 'not_yet_valid', says: 'the token is not valid yet (claim nbf)' },
  { name: 'iat in the future', token: (w) => mint(w, { claims: { iat: now() + 120 } }), check: 'not_yet_valid', says: 'the token is not valid yet (claim iat)' },
  // what it is and who it speaks for
  { name: 'no sub', token: claims({ sub: undefined }), check: 'subject', says: 'the token has no valid subject (claim sub)' },
  { name: 'empty sub', token: claims({ sub: '' }), check: 'subject', says: 'the token has no valid subject (claim sub)' },
  { name: 'client credentials', token: claims({ sub: 'demo-cli', client_id: 'demo-cli' }), check: 'user', says: 'the token is of a client, not of a user' },
  { name: 'ID token by nonce', token: claims({ nonce: 'n' }), check: 'type', says: 'this does not seem to be an access token: it looks like an ID token (claim nonce)' },
  { name: 'ID token by typ', token: claims({ typ: 'ID' }), check: 'type', says: 'this is not an access token but an ID token (claim typ)' },
  { name: 'refresh token', token: claims({ typ: 'Refresh' }), check: 'type', says: 'this is not an access token but a refresh token (claim typ)' },
  { name: 'logout token', token: (w) => mint(w, { header: { typ: 'logout+jwt' } }), check: 'type', says: 'this is not an access token but a logout token or another security event (header typ)' },
  { name: 'bound to a key', token: claims({ cnf: { jkt: 'x' } }), check: 'type', says: 'the token is bound to a key (cnf) and cannot be used as a bearer token' },
  // sound, and not let in
  { name: 'not in the group', token: (w) => w.service.token('bob'), status: 403, code: 'access_denied', check: 'authorisation', says: 'no rule of this service allows this user (claims checked: groups)' },
  { name: 'tells no groups', token: claims({ groups: undefined }), status: 403, code: 'access_denied', check: 'authorisation', says: 'the token has no claim groups, which the allow rules of this service need' },
  { name: 'groups of a number', token: claims({ groups: 7 }), status: 403, code: 'access_denied', check: 'authorisation', says: 'a rule of this service cannot be evaluated on the claim groups of the token' },
]
