import { describe, expect, test } from 'vitest'
import { configurationSchema } from '../../src/config/schema.ts'

const sound = { keys_location: 'https://p.example.org/jwk', base_url: 'https://p.example.org/app' }
const provider = { issuer: 'https://iam.example.org/', audiences: ['a'] }

function problems(given: object): readonly string[] {
  const { error } = configurationSchema.safeParse(given)
  return (error?.issues ?? []).map(({ path }) => path.join('.'))
}

describe('a relying service', () => {
  test('has safe defaults', () => {
    const { relying_services: services } = configurationSchema.parse({
      relying_services: { portal: sound },
    })
    expect(services['portal']).toEqual({
      ...sound,
      show_ui: true,
      perform_login: true,
      audiences: [],
      require_referer: true,
      maximum_token_age_seconds: 300,
      clock_leeway_seconds: 30,
      requests_per_second: 10,
      burst: 50,
      timeout_seconds: 10,
    })
  })

  test.for([
    'https://p.example.org/jwk?format=json',
    'http://127.0.0.1:8080/jwk',
    'file:///etc/tts/portal.json',
  ])('keys at %s', (location) => {
    expect(
      problems({ relying_services: { portal: { ...sound, keys_location: location } } }),
    ).toEqual([])
  })

  test.for([
    { name: 'keys by http', change: { keys_location: 'http://p.example.org/jwk' } },
    { name: 'keys with a user', change: { keys_location: 'https://u:p@p.example.org/jwk' } },
    { name: 'keys of another host', change: { keys_location: 'file://host/etc/keys' } },
    { name: 'keys of a relative file', change: { keys_location: 'keys.json' } },
    { name: 'a file with a query', change: { keys_location: 'file:///etc/keys?x' } },
    { name: 'no keys', change: { keys_location: undefined } },
    { name: 'a base by http', change: { base_url: 'http://p.example.org/' } },
    { name: 'a base with a query', change: { base_url: 'https://p.example.org/?a' } },
    { name: 'a base with a user', change: { base_url: 'https://u@p.example.org/' } },
    { name: 'no base', change: { base_url: undefined } },
    { name: 'an alias that is no name', change: { alias: 'a@b' } },
    { name: 'a life of a day', change: { maximum_token_age_seconds: 86_400 } },
    { name: 'an unknown key', change: { algorithms: ['HS256'] } },
  ])('$name is refused', ({ change }) => {
    const found = problems({ relying_services: { portal: { ...sound, ...change } } })
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(/^relying_services\.portal/)
  })

  test('its users have an alias of their own', () => {
    const alias = ['relying_services.b.alias']
    const two = { a: { ...sound, alias: 'x' }, b: { ...sound, alias: 'X' } }
    expect(problems({ relying_services: two })).toEqual(alias)
    const providers = { iam: { ...provider, alias: 'rsp-b' } }
    expect(problems({ providers, relying_services: { b: sound } })).toEqual(alias)
    expect(problems({ relying_services: { with_underscore: sound } })).toEqual([
      'relying_services.with_underscore.alias',
    ])
    const named = { with_underscore: { ...sound, alias: 'portal' } }
    expect(problems({ relying_services: named })).toEqual([])
  })

  test('needs the web page, through which its users come', () => {
    expect(problems({ web: { enabled: false }, relying_services: { a: sound } })).toEqual([
      'relying_services.a',
    ])
  })
})
