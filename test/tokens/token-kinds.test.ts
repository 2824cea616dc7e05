import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { importWatts } from '../../src/migration/import-watts.ts'
import { providersSettings } from '../../src/config/provider-schema.ts'
import { kindOfAnswer, kindOfIntrospectedJwt, kindOfJwt } from '../../src/tokens/token-kind.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, refusalOf, settingsFor, verifierFor } from './support.ts'
import { CLIENT, tokenShapes, type TokenShape } from './token-shapes.ts'

const provider = useIdentityProvider()

/** Removes what the provider would add by itself, so that a shape is all there is. */
const bare = { client_id: undefined, jti: undefined }

function settingsOf({ jwt, answer, userInfo, settings }: TokenShape) {
  const { clientId, clientSecret } = provider().clients.tts
  return settingsFor(provider().issuer, {
    audiences: [AUDIENCE, CLIENT],
    ...(answer !== undefined && {
      client_id: clientId,
      client_secret: clientSecret,
      introspect: jwt === undefined ? 'opaque' : 'always',
    }),
    ...(userInfo !== undefined && { userinfo: 'always' }),
    ...settings,
  })
}

/** The provider answers as the shape says; the token. */
function presented({ jwt, typ = 'JWT', answer, userInfo }: TokenShape): string {
  const { sub } = provider().user('alice')
  const exp = Math.floor(Date.now() / 1000) + 600
  if (answer !== undefined) {
    const body = { active: true, sub, exp, ...answer }
    provider().faults.set('/introspect', { kind: 'body', body })
  }
  if (userInfo !== undefined)
    provider().faults.set('/userinfo', { kind: 'body', body: { sub, ...userInfo } })
  if (jwt === undefined) return 'an-opaque-token'
  return provider().mint({ header: { typ }, claims: { ...bare, ...jwt } })
}

describe('tokens as providers make them', () => {
  test.for(tokenShapes)('$from, $name: $check', async (shape) => {
    const verified = verifierFor({ iam: settingsOf(shape) }).verify(presented(shape))
    if (shape.check === undefined) {
      expect((await verified).sub).toBe(provider().user('alice').sub)
      return
    }
    const error = await refusalOf(verified)
    expect({ check: error.check, message: error.message }).toMatchObject({ check: shape.check })
    expect(error.remedy).toBeTruthy()
  })
})

describe('what the refusal says', () => {
  test.for([
    { jwt: { typ: 'ID' }, says: /but an ID token \(claim typ\)/ },
    { jwt: { token_use: 'id' }, says: /but an ID token \(claim token_use\)/ },
    { jwt: { typ: 'Offline' }, says: /but a refresh token \(claim typ\)/ },
    { jwt: { events: {} }, says: /but a logout token or another security event/ },
    { jwt: { typ: 'Initial' }, says: /but something else \(claim typ\)/ },
    { jwt: { nonce: 'n' }, says: /looks like an ID token \(claim nonce\)/ },
    {
      jwt: { azp: 'c', auth_time: 1, sid: 's' },
      says: /looks like an ID token \(claim auth_time\)/,
    },
    { jwt: {}, says: /nothing in it says that it is one/ },
  ])('$jwt', async ({ jwt, says }) => {
    const shape: TokenShape = { from: '', name: '', jwt: { aud: AUDIENCE, ...jwt } }
    const error = await refusalOf(verifierFor({ iam: settingsOf(shape) }).verify(presented(shape)))
    expect(error.message).toMatch(/^this (is not|does not seem to be) an access token/)
    expect(error.message).toMatch(says)
    const isUnclear = error.message.includes('does not seem to be')
    expect(error.remedy?.includes('access_token_evidence')).toBe(isUnclear)
  })

  test('who is unclear is told what to switch on', async () => {
    const shape: TokenShape = { from: '', name: '', jwt: { aud: AUDIENCE, typ: 'Bearer' } }
    const error = await refusalOf(verifierFor({ iam: settingsOf(shape) }).verify(presented(shape)))
    expect(error.message).toContain('whether it is of a user or of a client')
    expect(error.remedy).toMatch(/scope profile.*introspect: always.*allow_client_tokens/)
  })
})

test('ID tokens of a provider that was imported from WaTTS are refused, its access tokens are not', async () => {
  const { configuration } = importWatts(
    [
      'ssl = false',
      `openid.iam.client_id = ${CLIENT}`,
      'openid.iam.client_secret = s',
      'openid.iam.description = d',
      'openid.iam.request_scopes = openid',
      `openid.iam.config_endpoint = ${provider().issuer}.well-known/openid-configuration`,
    ].join('\n'),
  )
  const imported = providersSettings.parse(configuration['providers'])['iam']
  expect(imported?.audiences).toContain(CLIENT)
  const verifier = verifierFor({ iam: { ...imported!, userinfo: 'never' } })
  const shapes = tokenShapes.filter(({ from, answer }) => from.startsWith('IAM') && !answer)
  const ids = shapes.filter(({ name }) => name.startsWith('ID'))
  expect(ids.length).toBeGreaterThan(3)
  for (const shape of ids)
    expect((await refusalOf(verifier.verify(presented(shape)))).check, shape.name).toBe('type')
  const access = { from: '', name: '', jwt: { aud: CLIENT, client_id: CLIENT, jti: 'j' } }
  await verifier.verify(presented(access))
})

describe('whatever else a token has', () => {
  const names = [
    'client_id', 'azp', 'cid', 'appid', 'scope', 'scp', 'wlcg.ver', 'ver', 'typ', 'token_use', 'token_type', 'tokenName',
    'nonce', 'at_hash', 'c_hash', 'auth_time', 'sid', 'jti', 'groups', 'events', 'amr', 'name', '__proto__', 'constructor',
  ] // prettier-ignore
  const values = fc.oneof(
    fc.constantFrom<unknown>('Bearer', 'bearer', 'access', 'access_token', 'ID', 'id', 'refresh', 'at+jwt', 'JWT'),
    fc.constantFrom<unknown>('openid', ['openid'], 'scitokens:2.0', '1.0', 1_760_000_000, {}, null, true, ''),
    fc.jsonValue(),
  ) // prettier-ignore
  const claims = fc.dictionary(fc.constantFrom(...names), values)
  const headers = fc.constantFrom('JWT', 'at+jwt', 'application/at+jwt', undefined)
  const evidences = fc.constantFrom('standard' as const, 'none' as const, { groups: 'cms' })
  const other = fc.constantFrom(
    { typ: 'ID' }, { typ: 'id' }, { typ: 'Refresh' }, { typ: 'Offline' }, { typ: 'Logout' }, { typ: 'DPoP' }, { typ: 7 },
    { token_use: 'id' }, { token_use: 'refresh' }, { token_use: 'refresh_token' }, { token_use: ['access'] },
    { token_type: 'refresh_token' }, { tokenName: 'id_token' }, { events: {} }, { c_hash: 'c' }, { s_hash: 's' },
  ) // prettier-ignore

  test('one that says that it is another kind is no access token', () => {
    fc.assert(
      fc.property(claims, other, headers, evidences, (own, said, headerType, evidence) => {
        const context = { headerType, evidence }
        const token = { ...own, ...said }
        expect(kindOfJwt(token, context).kind).not.toBe('access')
        expect(kindOfAnswer(token, context).kind).not.toBe('access')
        expect(kindOfIntrospectedJwt(token, own, context).kind).not.toBe('access')
        expect(kindOfIntrospectedJwt(own, token, context).kind).not.toBe('access')
      }),
    )
  })

  test.for([
    'logout+jwt',
    'secevent+jwt',
    'dpop+jwt',
    'JWE',
    'rt+jwt',
    '__proto__',
    '',
    1,
    null,
    {},
  ])('header typ %o makes it no access token', (headerType) => {
    const token = { typ: 'Bearer', token_use: 'access', client_id: 'c', scope: 's', jti: 'j' }
    expect(kindOfJwt(token, { headerType, evidence: 'none' }).kind).not.toBe('access')
  })

  const evidence = 'standard'
  const silent = ['client_id', 'azp', 'cid', 'appid', 'typ', 'token_use', 'token_type', 'tokenName', 'wlcg.ver', 'ver'] // prettier-ignore
  const without = (own: object, removed: readonly string[]) =>
    Object.fromEntries(Object.entries(own).filter(([name]) => !removed.includes(name)))

  test('one without evidence is no access token', () => {
    fc.assert(
      fc.property(claims, fc.constantFrom('JWT', undefined), (own, headerType) => {
        const token = without(own, silent)
        expect(kindOfJwt(token, { headerType, evidence }).kind).not.toBe('access')
        const aboutAnything = without(own, ['typ', 'token_use', 'token_type', 'tokenName'])
        expect(kindOfAnswer(aboutAnything, { evidence }).kind).not.toBe('access')
      }),
    )
  })

  test('one with the signs of a login and no scope is no access token, even with a client', () => {
    fc.assert(
      fc.property(claims, fc.constantFrom('auth_time', 'sid', 'amr'), (own, sign) => {
        const removed = [...silent.slice(4), 'scope', 'scp']
        const token = { ...without(own, removed), client_id: 'c', azp: 'c', jti: 'j', [sign]: 'x' }
        expect(kindOfJwt(token, { headerType: 'JWT', evidence }).kind).not.toBe('access')
      }),
    )
  })

  test('signed and shown to the service, it is refused', async () => {
    const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
    await fc.assert(
      fc.asyncProperty(claims, other, async (own, said) => {
        const token = provider().mint({ claims: { aud: AUDIENCE, ...own, ...said } })
        expect((await refusalOf(verifier.verify(token))).check).toBe('type')
      }),
      { numRuns: 60 },
    )
  })
})
