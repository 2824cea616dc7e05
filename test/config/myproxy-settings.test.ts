import { describe, expect, test } from 'vitest'
import { configurationSchema } from '../../src/config/schema.ts'

const sound = { listen: '0.0.0.0' }
const others = { listen: { public_url: 'https://tts.example.org' } }

function problems(given: object): readonly (readonly [string, string])[] {
  const { error } = configurationSchema.safeParse({ ...others, ...given })
  return (error?.issues ?? []).map(({ path, message }) => [path.join('.'), message])
}

describe('the MyProxy server', () => {
  test('is off by default', () => {
    expect(configurationSchema.parse({}).myproxy).toEqual({
      port: 7512,
      service: 'x509',
      code_lifetime_seconds: 300,
    })
  })

  test.for([
    { myproxy: sound },
    { myproxy: { ...sound, service: 'proxy' } },
    { myproxy: sound, listen: {}, voms: { host: 'tts.example.org' } },
    { myproxy: { service: 'none' }, listen: {} },
  ])('%j is in order', (given) => {
    expect(problems(given)).toEqual([])
  })

  const noHost =
    'needs a host certificate, and no setting has a DNS name for it: set listen.public_url or voms.host'
  const noService = 'must be the id of a service with the plugin x509-certificate or x509-proxy'

  test.for<readonly [object, string, string]>([
    [{ myproxy: sound, listen: {} }, 'myproxy.listen', noHost],
    [{ myproxy: sound, listen: { public_url: 'https://192.0.2.1' } }, 'myproxy.listen', noHost],
    [{ myproxy: { ...sound, service: 'none' } }, 'myproxy.service', noService],
    [
      { myproxy: { ...sound, service: 'info' }, services: { info: { plugin: 'info' } } },
      'myproxy.service',
      noService,
    ],
  ])('%j is refused', ([given, path, message]) => {
    expect(problems(given)).toEqual([[path, message]])
  })

  test.for([
    ['port', 0],
    ['port', 65_536],
    ['code_lifetime_seconds', 29],
    ['code_lifetime_seconds', 3601],
    ['service', ''],
    ['listen', ''],
  ] as const)('%s must not be %j', ([key, value]) => {
    expect(problems({ myproxy: { ...sound, [key]: value } })[0]?.[0]).toBe(`myproxy.${key}`)
  })
})
