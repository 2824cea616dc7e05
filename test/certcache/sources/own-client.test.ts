import { expect, test } from 'vitest'
import { ownClientOptions } from '../../../src/certcache/sources/own-client.ts'
import { createGrantClient } from '../../../src/grants/grant-client.ts'
import type { Fetch } from '../../../src/tokens/limited-fetch.ts'
import { useIdentityProvider } from '../../support/identity-provider.ts'
import { settingsIn, temporaryDirectory } from '../engine-support.ts'

const provider = useIdentityProvider()

/** The request of a refresh by a client with these settings. */
async function refreshBy(changes: Record<string, unknown>) {
  const { issuer, clients } = provider()
  const { clientId: client_id, clientSecret: client_secret } = clients.certcache
  const sections = { source: { issuer, client_id, client_secret, ...changes } }
  const { source } = await settingsIn(await temporaryDirectory(), sections)
  const sent: { url: string; authorization: string | null; form: Record<string, string> }[] = []
  const send: Fetch = async (url, { headers, body } = {}) => {
    const form = Object.fromEntries(new URLSearchParams(body as string))
    sent.push({ url, authorization: new Headers(headers).get('authorization'), form })
    return new Response('{}', { status: 503 })
  }
  const options = ownClientOptions({ ...source, issuer, client_id }, () => new Date())
  const client = createGrantClient({ ...options, fetch: send })
  const { signal } = new AbortController()
  const refresh = { refreshToken: 'token', audience: 'https://tts.example.org', signal }
  await expect(client.refresh(refresh)).rejects.toMatchObject({ code: 'provider_unavailable' })
  return sent[0]
}

test('by default: HTTP Basic at the endpoint of discovery, with the audience', async () => {
  expect(await refreshBy({})).toMatchObject({
    url: `${provider().issuer}token`,
    authorization: expect.stringMatching(/^Basic /),
    form: { audience: 'https://tts.example.org' },
  })
})

test.for([
  { name: 'an endpoint', changes: { endpoints: { token: 'https://other.example.org/t' } } },
  { name: 'client authentication', changes: { client_authentication: 'post' } },
  { name: 'a profile', changes: { profile: 'keycloak' } },
  { name: 'a parameter', changes: { audience_parameter: { refresh: 'resource' } } },
])('the settings of the source count: $name', async ({ name, changes }) => {
  const request = await refreshBy(changes)
  const expected = {
    'an endpoint': { url: 'https://other.example.org/t' },
    'client authentication': { authorization: null, form: { client_id: 'certcache' } },
    'a profile': { form: expect.not.objectContaining({ audience: expect.anything() }) },
    'a parameter': { form: { resource: 'https://tts.example.org' } },
  }[name]
  expect(request).toMatchObject(expected ?? {})
})
