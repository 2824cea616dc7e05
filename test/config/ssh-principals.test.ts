import { describe, expect, test } from 'vitest'
import { configurationSchema } from '../../src/config/schema.ts'

const provider = (id: string) => ({ issuer: `https://${id}.example.org/`, audiences: ['tts'] })
const rule = (id: string) => ({ provider: id, claims: { groups: { contains: 'cms' } } })

/** Paths of the problems of a configuration with an SSH service. */
function problems(
  providers: readonly string[],
  allow: readonly string[],
  more: { settings?: object; relying?: readonly string[] } = {},
): readonly string[] {
  const { settings, relying = [] } = more
  const site = {
    keys_location: 'https://site.example.org/jwks',
    base_url: 'https://site.example.org/',
  }
  const read = configurationSchema.safeParse({
    providers: Object.fromEntries(providers.map((id) => [id, provider(id)])),
    relying_services: Object.fromEntries(relying.map((id) => [id, site])),
    services: {
      ssh: {
        plugin: 'ssh-certificate',
        authz: { allow: allow.map(rule) },
        ...(settings === undefined ? {} : { settings }),
      },
    },
  })
  return read.success
    ? []
    : read.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`)
}

describe('account names of several providers', () => {
  test.for([
    { name: 'one provider, named', providers: ['a'], allow: ['a'] },
    { name: 'one provider, any', providers: ['a'], allow: ['any'] },
    { name: 'two providers, one let in', providers: ['a', 'b'], allow: ['b', 'b'] },
    { name: 'nobody let in', providers: ['a', 'b'], allow: [] },
    {
      name: 'an issuer is believed',
      providers: ['a', 'b'],
      allow: ['any'],
      more: { settings: { principal_issuer: 'https://a.example.org/' } },
    },
    {
      name: 'a digest of both',
      providers: ['a', 'b'],
      allow: ['a', 'b'],
      more: { settings: { principal_template: 'tts-{digest}' } },
    },
  ])('taken: $name', ({ providers, allow, more }) => {
    expect(problems(providers, allow, more)).toEqual([])
  })

  test.for([
    { name: 'two named', providers: ['a', 'b'], allow: ['a', 'b'], who: 'a, b' },
    { name: 'any of two', providers: ['a', 'b'], allow: ['any'], who: 'a, b' },
    {
      name: 'other settings',
      providers: ['a', 'b'],
      allow: ['any'],
      more: { settings: { principal_claim: 'eppn' } },
      who: 'a, b',
    },
    {
      name: 'users of a relying service',
      providers: ['a'],
      allow: ['any'],
      more: { relying: ['portal'] },
      who: 'a, rsp-portal',
    },
  ])('refused: $name', ({ providers, allow, more, who }) => {
    const [problem = '', ...others] = problems(providers, allow, more)
    expect(others).toEqual([])
    expect(problem).toMatch(/^services\.ssh\.settings\.principal_issuer: must be set/)
    expect(problem).toContain(`users of several providers (${who})`)
  })
})
