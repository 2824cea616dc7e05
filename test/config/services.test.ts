/** Settings of services and their plugins, of the WaTTS API, and the ids that providers cannot have. */
import { describe, expect, test } from 'vitest'
import { configurationSchema } from '../../src/config/schema.ts'
import { createServices } from '../../src/domain/issuing/service.ts'
import { createLog } from '../../src/base/log.ts'

const problems = (configuration: object): string[] =>
  (configurationSchema.safeParse(configuration).error?.issues ?? []).map(
    ({ path, message }) => `${path.join('.')}: ${message}`,
  )
const service = (settings: object) => ({ services: { s: settings } })
const command = { command: ['/opt/plugin'] }
const provider = { issuer: 'https://iam.example.org/', audiences: ['a'] }

describe('what is refused', () => {
  // prettier-ignore
  test.for([
    { name: 'executable without its section', given: service({ plugin: 'executable' }), says: /^services\.s\.executable: needs the section/ },
    { name: 'the section for another plugin', given: service({ plugin: 'info', executable: command }), says: /^services\.s\.executable: must be used only with the plugin executable/ },
    { name: 'settings for another plugin', given: service({ plugin: 'info', settings: {} }), says: /^services\.s\.settings: must be used only with the plugin ssh-certificate/ },
    { name: 'a shell line', given: service({ plugin: 'executable', executable: { command: 'cat | sh' } }), says: /^services\.s\.executable\.command: / },
    { name: 'a negative limit', given: service({ plugin: 'info', credential_limit: -1 }), says: /^services\.s\.credential_limit: / },
    { name: 'another word than infinite', given: service({ plugin: 'info', credential_limit: 'none' }), says: /^services\.s\.credential_limit: / },
    { name: 'another deletion', given: service({ plugin: 'info', revoke_on_delete: 'soon' }), says: /^services\.s\.revoke_on_delete: / },
    { name: 'a deletion of another unit', given: service({ plugin: 'info', revoke_on_delete: { after_days: 1 } }), says: /^services\.s\.revoke_on_delete: / },
    { name: 'a provider `any`', given: { providers: { any: provider } }, says: /^providers\.any: / },
    { name: 'a provider `rsp…`', given: { providers: { 'rsp-x': provider } }, says: /^providers\.rsp-x: / },
    { name: 'no time to pick up', given: { watts: { credential_timeout_seconds: 0 } }, says: /^watts\.credential_timeout_seconds: / },
  ])('$name', ({ given, says }) => {
    const found = problems(given)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(says)
  })
})

describe('account names of more than one provider', () => {
  const other = { issuer: 'https://other.example.org/', audiences: ['a'] }
  const portal = { keys_location: 'https://p.example.org/jwks', base_url: 'https://p.example.org/' }
  const rule = (name: string) => ({ provider: name, claims: { sub: { any: true } } })
  const ssh = (allow: string[], settings?: object, more: object = {}) => ({
    providers: { iam: provider, other },
    services: {
      s: { plugin: 'ssh-certificate', settings, authz: { allow: allow.map(rule) }, ...more },
    },
  })
  const says =
    /^services\.s\.settings\.principal_issuer: must be set, because users of iam, other may .* principal_template, or allow only one provider/
  const relying = (given: object) => ({ ...given, relying_services: { portal } })

  // prettier-ignore
  test.for([
    { name: 'two rules', given: ssh(['iam', 'other']), says },
    { name: 'any', given: ssh(['any']), says },
    { name: 'one of them and any', given: ssh(['iam', 'any']), says },
    { name: 'other settings', given: ssh(['any'], { principal_claim: 'uid' }), says },
    { name: 'a forbid rule does not count', given: ssh([], undefined, { authz: { allow: [rule('any')], forbid: [rule('other')] } }), says },
    { name: 'any, and a relying service', given: relying({ ...ssh(['any']), providers: { iam: provider } }), says: /users of iam, rsp-portal may/ },
    { name: 'a provider and a relying service', given: relying(ssh(['iam', 'rsp-portal'])), says: /users of iam, rsp-portal may/ },
  ])('$name: refused', ({ given, says: wanted }) => {
    expect(problems(given)).toEqual([expect.stringMatching(wanted)])
  })

  // prettier-ignore
  test.for([
    { name: 'an issuer', given: ssh(['any'], { principal_issuer: provider.issuer }) },
    { name: 'a template', given: ssh(['any'], { principal_template: 'tts-{digest}' }) },
    { name: 'rules for one provider', given: ssh(['iam', 'iam']) },
    { name: 'nobody', given: ssh([]) },
    { name: 'switched off', given: ssh(['any'], undefined, { enabled: false }) },
    { name: 'one provider is configured', given: { ...ssh(['any']), providers: { iam: provider } } },
    { name: 'a relying service that is not', given: ssh(['iam', 'rsp-gone']) },
    { name: 'another plugin', given: { ...ssh([]), services: { s: { plugin: 'info', authz: { allow: [rule('any')] } } } } },
  ])('$name: in order', ({ given }) => {
    expect(problems(given)).toEqual([])
  })
})

test.for(['Site_X509', '_x', 'a.b-c', '7', 'A'.repeat(64)])('the id %s is accepted', (id) => {
  const issuer = 'https://iam.example.org'
  const given = {
    services: { [id]: { plugin: 'info' } },
    providers: { [id]: { issuer, audiences: ['a'], alias: 'x' } },
  }
  expect(problems(given)).toEqual([])
})

test('services that the configuration does not name are not shown', () => {
  const { services } = configurationSchema.parse({ services: { x509: { enabled: true } } })
  expect(services['proxy']?.authz.hide).toBe(true)
  expect(services['x509']?.authz.hide).toBe(false)
})

describe('what a service is', () => {
  const create = (settings: object) =>
    createServices(configurationSchema.parse(service(settings)).services, {
      endEntityLifetimeSeconds: 950_400,
      vos: [],
      log: createLog({ level: 'silent', name: 'test' }),
    }).then((services) => services.get('s')!)

  test('defaults', async () => {
    expect(await create({ plugin: 'info' })).toMatchObject({
      enabled: true,
      lifetimes: undefined,
      priority: undefined,
      credentialLimit: 10_000,
      deletion: { revokesAfterSeconds: 0 },
      passesAccessToken: false,
      allowsSameState: false,
      authz: { hide: false },
    })
  })

  test.for([
    { given: { plugin: 'x509-proxy' }, seconds: 60 },
    { given: { plugin: 'x509-certificate' }, seconds: 60 },
    { given: { plugin: 'ssh-certificate' }, seconds: 0 },
    { given: { plugin: 'info', revoke_on_delete: 'never' }, seconds: Infinity },
    { given: { plugin: 'x509-proxy', revoke_on_delete: 'at_once' }, seconds: 0 },
    { given: { plugin: 'x509-proxy', revoke_on_delete: { after_seconds: 5 } }, seconds: 5 },
  ])('$given: DELETE revokes after $seconds s', async ({ given, seconds }) => {
    expect((await create(given)).deletion).toEqual({ revokesAfterSeconds: seconds })
  })

  test('a program that is not there disables its service, and says why', async () => {
    const found = await create({
      plugin: 'executable',
      executable: { command: ['/nonexistent/p'] },
    })
    expect(found.enabled).toBe(false)
    expect(found.plugin.problem?.reason).toMatch(/./)
  })

  test('lifetimes go with certificates', async () => {
    await expect(create({ plugin: 'info', default_lifetime_seconds: 60 })).rejects.toMatchObject({
      code: 'configuration',
      message:
        'services.s.default_lifetime_seconds: must not be set, because the plugin info does not make certificates',
    })
    expect(
      (await create({ plugin: 'ssh-certificate', maximum_lifetime_seconds: 3600 })).lifetimes,
    ).toEqual({ defaultSeconds: 3600, maximumSeconds: 3600 })
  })
})
