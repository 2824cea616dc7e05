import { describe, expect, test } from 'vitest'
import { withUsualNames } from '../../src/tokens/claim-names.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import {
  accessTokenAt,
  AUDIENCE,
  refusalOf,
  settingsFor,
  type SettingsInput,
  verifierFor,
} from './support.ts'

const provider = useIdentityProvider()

const renamed = (claims: object, names: SettingsInput['claims']) =>
  withUsualNames({ ...claims }, settingsFor('https://iam.example.org', { claims: names }))

describe('the claims under their usual names', () => {
  test.for<{ name: string; claims: object; names: SettingsInput['claims']; result: object }>([
    { name: 'nothing named', claims: { groups: ['a'] }, names: {}, result: { groups: ['a'] } },
    {
      name: 'groups by path',
      claims: { realm_access: { roles: ['cms'] } },
      names: { groups: 'realm_access.roles' },
      result: { realm_access: { roles: ['cms'] }, groups: ['cms'] },
    },
    {
      name: 'groups by a name with dots',
      claims: { 'wlcg.groups': ['/cms'] },
      names: { groups: 'wlcg.groups' },
      result: { 'wlcg.groups': ['/cms'], groups: ['/cms'] },
    },
    {
      name: 'the usual claim does not count when another is named',
      claims: { groups: ['admins'] },
      names: { groups: 'roles' },
      result: {},
    },
    {
      name: 'scopes',
      claims: { scope: 'x', scp: ['y'], permissions: ['a', 'b'] },
      names: { scopes: 'permissions' },
      result: { permissions: ['a', 'b'], scope: ['a', 'b'] },
    },
    {
      name: 'scp before scope',
      claims: { scope: 'x', scp: ['y'] },
      names: { scopes: 'scp' },
      result: { scope: ['y'] },
    },
    {
      name: 'a user name',
      claims: { upn: 'alice@example.org', preferred_username: 'x', username: 'y' },
      names: { user_name: 'upn' },
      result: { upn: 'alice@example.org', preferred_username: 'alice@example.org' },
    },
    {
      name: 'the user of a client keeps its name',
      claims: { upn: 'alice', preferred_username: 'service-account-tts' },
      names: { user_name: 'upn' },
      result: { upn: 'alice', preferred_username: 'service-account-tts' },
    },
    {
      name: 'not a property of the prototype',
      claims: {},
      names: { groups: 'constructor.name' },
      result: {},
    },
  ])('$name', ({ claims, names, result }) => {
    expect(renamed(claims, names)).toEqual(result)
  })

  test.for(['sub', 'client_id', 'azp', 'aud', 'jti'])('%s is not a user name', (name) => {
    expect(() => renamed({}, { user_name: name })).toThrow(/only tokens of persons have/)
  })
})

describe('a verified token', () => {
  const settings = (names: SettingsInput['claims'], more: SettingsInput = {}) =>
    settingsFor(provider().issuer, { claims: names, ...more })
  const verify = async (claims: Record<string, unknown>, ...parts: Parameters<typeof settings>) =>
    verifierFor({ iam: settings(...parts) }).verify(
      provider().mint({
        claims: { aud: AUDIENCE, client_id: 'demo-cli', jti: '1', ...claims },
      }),
    )

  test('has groups and scopes of the named claims', async () => {
    const claims = { roles: ['cms'], permissions: 'read write' }
    const names = { groups: 'roles', scopes: 'permissions' }
    const verified = await verify(claims, names, { required_scopes: ['write'] })
    expect(verified.claims['groups']).toEqual(['cms'])
    expect(verified.scopes).toEqual(['read', 'write'])
  })

  test('lacks a scope that only another claim has', async () => {
    const error = await refusalOf(
      verify(
        { scope: 'write', permissions: 'read' },
        { scopes: 'permissions' },
        {
          required_scopes: ['write'],
        },
      ),
    )
    expect(error).toMatchObject({ code: 'insufficient_scope', check: 'scope' })
  })

  test('has the named claims of introspection and of UserInfo', async () => {
    provider().tokens.format = 'opaque'
    const token = await accessTokenAt(provider())
    const { clientId, clientSecret } = provider().clients.tts
    const client = {
      client_id: clientId,
      client_secret: clientSecret,
      introspect: 'opaque',
    } as const
    const { sub } = provider().user('alice')
    const exp = Math.floor(Date.now() / 1000) + 600
    provider().faults.set('/introspect', {
      kind: 'body',
      body: { active: true, sub, exp, aud: AUDIENCE, token_type: 'Bearer', rights: ['write'] },
    })
    provider().faults.set('/userinfo', { kind: 'body', body: { sub, ext: { teams: ['cms'] } } })
    const more = { ...client, userinfo: 'always' as const, required_scopes: ['write'] }
    const names = { scopes: 'rights', groups: 'ext.teams' }
    const verified = await verifierFor({ iam: settings(names, more) }).verify(token)
    expect(verified.scopes).toEqual(['write'])
    expect(verified.claims['groups']).toEqual(['cms'])
  })

  test('of a Keycloak client is not made a person by a user name of its own', async () => {
    const claims = { typ: 'Bearer', preferred_username: 'service-account-x', upn: 'alice' }
    expect((await refusalOf(verify(claims, { user_name: 'upn' }))).check).toBe('user')
  })

  test('of Keycloak is of a person by the named claim', async () => {
    const claims = { typ: 'Bearer', upn: 'alice' }
    expect((await refusalOf(verify(claims, {}))).check).toBe('user')
    expect(await verify(claims, { user_name: 'upn' })).toMatchObject({ clientOnly: false })
  })
})
