/** Endpoints that the operator sets, in place of those of the discovery document or where it has none. */
import { expect, test } from 'vitest'
import { providerSettings } from '../../src/config/provider-schema.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import {
  accessTokenAt,
  refusalOf,
  settingsFor,
  type SettingsInput,
  verifierFor,
} from './support.ts'

const provider = useIdentityProvider()
const at = (path: string): string => new URL(path, provider().issuer).href

/** The provider's discovery document, without some of its members. */
async function discoveryWithout(...names: readonly string[]): Promise<void> {
  const document = (await (await fetch(at('.well-known/openid-configuration'))).json()) as object
  const kept = Object.entries(document).filter(([name]) => !names.includes(name))
  provider().faults.set('/.well-known/openid-configuration', {
    kind: 'body',
    body: Object.fromEntries(kept),
  })
}

function verifierWith(changes: SettingsInput) {
  const { clientId, clientSecret } = provider().clients.tts
  const client = { client_id: clientId, client_secret: clientSecret }
  return verifierFor({ iam: settingsFor(provider().issuer, { ...client, ...changes }) })
}

const logIn = async (): Promise<string> => accessTokenAt(provider())

test('introspection where discovery has none (Ory Hydra)', async () => {
  provider().tokens.format = 'opaque'
  const token = await logIn()
  await discoveryWithout('introspection_endpoint')
  const without = verifierWith({ introspect: 'opaque' })
  expect((await refusalOf(without.verify(token))).check).toBe('format')
  const endpoints = { introspection: at('introspect') }
  const verifier = verifierWith({ introspect: 'opaque', endpoints })
  expect((await verifier.verify(token)).sub).toBe(provider().user('alice').sub)
})

test('keys and UserInfo where discovery has none', async () => {
  const token = await logIn()
  await discoveryWithout('jwks_uri', 'userinfo_endpoint')
  const without = await refusalOf(verifierWith({}).verify(token))
  expect(without).toMatchObject({ code: 'provider_unavailable' })
  expect(without.remedy).toContain('it does not publish keys (jwks_uri)')
  const endpoints = { jwks: at('jwk'), userinfo: at('userinfo') }
  const verified = await verifierWith({ userinfo: 'always', endpoints }).verify(token)
  expect(verified.claims).toMatchObject({ preferred_username: 'alice' })
})

test('the setting wins over the document', async () => {
  const verifier = verifierWith({ endpoints: { jwks: at('no-such-path') } })
  const error = await refusalOf(verifier.verify(await logIn()))
  expect(error.remedy).toContain('its key set answered HTTP 404')
})

test.for([
  { introspection: 'http://hydra.example.org/introspect' },
  { introspection: '/introspect' },
  { userinfo: 'https://user@idp.example.org/userinfo' },
  { jwks: 'https://idp.example.org/jwks#keys' },
  { jwks: 'file:///etc/passwd' },
  { keys: 'https://idp.example.org/jwks' },
])('%o is refused at the start', (endpoints) => {
  const settings = { issuer: 'https://idp.example.org', audiences: ['a'], endpoints }
  const { error } = providerSettings.safeParse(settings)
  const [issue] = error?.issues ?? []
  expect(issue?.path[0]).toBe('endpoints')
  expect(issue?.message).toMatch(/must be an https URL|Unrecognized key/)
})

test('a query is part of an endpoint, as some providers have it', () => {
  const endpoints = { jwks: 'https://login.example.org/keys?p=b2c_1' }
  const settings = { issuer: 'https://idp.example.org', audiences: ['a'], endpoints }
  expect(providerSettings.parse(settings).endpoints).toEqual(endpoints)
})
