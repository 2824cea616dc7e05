/** Two ids of one issuer: each checks the token with its own audiences, and both name the same people. */
import { expect, test } from 'vitest'
import { authorise } from '../../src/domain/issuing/authorise.ts'
import { rulesSettings } from '../../src/config/rules-schema.ts'
import { explainToken } from '../../src/tokens/explain.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, accessTokenAt, refusalOf, settingsFor, verifierFor } from './support.ts'

const provider = useIdentityProvider()

const [forOne, forTwo] = ['https://one.example.org', 'https://two.example.org']
function twoIds(changes: Parameters<typeof settingsFor>[1] = {}) {
  const { issuer } = provider()
  const bare = issuer.replace(/\/$/, '')
  return verifierFor({
    one: settingsFor(issuer, { audiences: [forOne], ...changes }),
    two: settingsFor(bare, { audiences: [forTwo], alias: 'one', ...changes }),
  })
}
const tokenFor = (aud: string | readonly string[]): string =>
  provider().mint({ claims: { sub: provider().user('alice').sub, aud } })

test.for([
  { aud: forOne, ids: ['one'] },
  { aud: forTwo, ids: ['two'] },
  { aud: [forTwo, forOne], ids: ['one', 'two'] },
])('a token for $aud is of $ids', async ({ aud, ids }) => {
  const token = await twoIds().verify(tokenFor(aud))
  expect([token.providerId, ...(token.otherProviderIds ?? [])]).toEqual(ids)
  expect(token.issuer).toBe(provider().issuer.replace(/\/$/, ''))
})

test('`tts check --token` shows the checks of the one that accepts it', async () => {
  const failed = async (aud: string): Promise<readonly string[]> => {
    const checks = await explainToken(tokenFor(aud), twoIds(), new Date())
    expect(checks.find(({ check }) => check === 'issuer')?.detail).toMatch(/ is provider one, two$/)
    return checks.filter(({ ok }) => !ok).map(({ check }) => check)
  }
  expect(await failed(forTwo)).toEqual([])
  expect(await failed('https://three.example.org')).toEqual(['audience'])
})

test('a token for neither is refused', async () => {
  const refusal = await refusalOf(twoIds().verify(tokenFor('https://three.example.org')))
  expect([refusal.code, refusal.check]).toEqual(['invalid_token', 'audience'])
})

test('opaque tokens too', async () => {
  const { clientId: client_id, clientSecret: client_secret } = provider().clients.tts
  const introspect = { introspect: 'opaque', client_id, client_secret } as const
  provider().tokens.format = 'opaque'
  const opaque = await accessTokenAt(provider())
  provider().tokens.format = 'jwt'
  const both = await twoIds({ ...introspect, audiences: [AUDIENCE] }).verify(opaque)
  expect([both.providerId, both.otherProviderIds]).toEqual(['one', ['two']])
  const { issuer } = provider()
  const second = await verifierFor({
    one: settingsFor(issuer, { ...introspect, audiences: [forOne] }),
    two: settingsFor(issuer, { ...introspect, alias: 'one' }),
  }).verify(opaque)
  expect([second.providerId, second.otherProviderIds]).toEqual(['two', undefined])
  expect((await refusalOf(twoIds(introspect).verify(opaque))).check).toBe('audience')
})

test.for([
  { aud: forOne, rule: 'one', allowed: true },
  { aud: forOne, rule: 'two', allowed: false },
  { aud: forTwo, rule: 'two', allowed: true },
  { aud: [forOne, forTwo], rule: 'two', allowed: true },
])('a rule for $rule and a token for $aud: $allowed', async ({ aud, rule, allowed }) => {
  const token = await twoIds().verify(tokenFor(aud))
  const anybody = (id: string) => [{ provider: id, claims: { sub: { any: true } } }]
  expect(authorise(rulesSettings.parse({ allow: anybody(rule) }), token).allowed).toBe(allowed)
  const forbidding = rulesSettings.parse({ allow: anybody('any'), forbid: anybody(rule) })
  expect(authorise(forbidding, token).allowed).toBe(!allowed)
})

/** `introspect` of both ids; `one` has the wrong secret, so that it cannot be asked. */
async function whileOneIsOut(introspect: 'opaque' | 'always', audiences: readonly string[]) {
  const { clientId: client_id, clientSecret: client_secret } = provider().clients.tts
  const { issuer } = provider()
  const settings = { introspect, client_id, audiences: [...audiences] }
  const out = settingsFor(issuer, { ...settings, client_secret: 'wrong', audiences: [AUDIENCE] })
  const two = settingsFor(issuer, { ...settings, client_secret, alias: 'one' })
  const verifier = verifierFor({ one: out, two })
  provider().tokens.format = introspect === 'opaque' ? 'opaque' : 'jwt'
  const token = await accessTokenAt(provider())
  provider().tokens.format = 'jwt'
  return refusalOf(verifier.verify(token))
}

test.for(['opaque', 'always'] as const)(
  'an outage of one id is neither a refusal nor an answer, introspect: %s',
  async (introspect) => {
    // The other id accepts the token; a rule may forbid the one that cannot be asked.
    expect((await whileOneIsOut(introspect, [AUDIENCE])).code).toBe('provider_unavailable')
    // The other id refuses it; the one that cannot be asked may accept it.
    expect((await whileOneIsOut(introspect, [forTwo])).code).toBe('provider_unavailable')
  },
)
