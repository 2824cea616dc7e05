import { describe, expect, test } from 'vitest'
import { configurationSchema } from '../../src/config/schema.ts'

const listen = { public_url: 'https://tts.example.org' }
const sound = { enabled: true, audiences: ['https://storage.example.org'] }
const providers = (issuer: string) => ({ iam: { issuer, audiences: ['a'] } })

const two = {
  iam: { issuer: 'https://iam.example.org', audiences: ['a'] },
  egi: { issuer: 'https://egi.example.org', audiences: ['a'] },
}

function problems(given: object): readonly string[] {
  const { error } = configurationSchema.safeParse(given)
  return (error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('access_tokens', () => {
  test('are off by default, and short-lived', () => {
    expect(configurationSchema.parse({}).access_tokens).toEqual({
      enabled: false,
      audiences: [],
      scopes: [],
      maximum_lifetime_seconds: 1200,
      groups_maximum_age_seconds: 604_800,
    })
    expect(problems({ listen, access_tokens: sound })).toEqual([])
  })

  const url = 'needs listen.public_url with https, because it is the issuer of the tokens'
  const own = 'must not be true while a provider has the issuer listen.public_url'
  // prettier-ignore
  test.for([
    { name: 'no audience', given: { listen, access_tokens: { enabled: true } }, says: ['access_tokens.audiences: must have at least one audience, because access_tokens.enabled is true'] },
    { name: 'an audience with a space', given: { listen, access_tokens: { ...sound, audiences: ['a b'] } }, says: ['access_tokens.audiences.0: must be 1 to 255 characters of ASCII without spaces'] },
    { name: 'an audience with a line feed', given: { listen, access_tokens: { ...sound, audiences: ['a\n'] } }, says: ['access_tokens.audiences.0: must be 1 to 255 characters of ASCII without spaces'] },
    { name: 'two scopes in one', given: { listen, access_tokens: { ...sound, scopes: ['a b'] } }, says: ['access_tokens.scopes.0: must be a scope without spaces'] },
    { name: 'no public URL', given: { access_tokens: sound }, says: [`access_tokens.enabled: ${url}`] },
    { name: 'a public URL with http', given: { listen: { public_url: 'http://tts.example.org' }, access_tokens: sound }, says: [`access_tokens.enabled: ${url}`] },
    { name: 'our own issuer as provider', given: { listen, access_tokens: sound, providers: providers('https://tts.example.org/') }, says: [`access_tokens.enabled: ${own}`] },
    { name: 'our own issuer, written otherwise', given: { listen, access_tokens: sound, providers: providers('https://TTS.example.org:443') }, says: [`access_tokens.enabled: ${own}`] },
    { name: 'two providers', given: { listen, access_tokens: sound, providers: two }, says: ['access_tokens.groups_provider: must be set, because there are several providers'] },
    { name: 'an unknown provider of groups', given: { listen, access_tokens: { ...sound, groups_provider: 'x' }, providers: two }, says: ['access_tokens.groups_provider: must be the id of a configured provider'] },
    { name: 'two providers, one of groups', given: { listen, access_tokens: { ...sound, groups_provider: 'iam' }, providers: two }, says: [] },
  ])('$name', ({ given, says }) => {
    expect(problems(given)).toEqual(says)
  })

  test.for([59, 21_601, 1.5, '1200'])('a lifetime of %s is refused', (value) => {
    expect(
      problems({ listen, access_tokens: { ...sound, maximum_lifetime_seconds: value } }),
    ).toHaveLength(1)
  })
})
