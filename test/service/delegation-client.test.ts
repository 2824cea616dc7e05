import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { delegationProviders } from '../../src/service/compose-delegations.ts'
import { AUDIENCE, settingsFor, type SettingsInput, verifierFor } from '../tokens/support.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'

const provider = useIdentityProvider()

/** A token endpoint that records what it gets and answers that it is not available. */
const requests: { authorization: string | undefined; form: Record<string, string> }[] = []
const server = createServer((request, response) => {
  let body = ''
  request.on('data', (chunk: Buffer) => (body += chunk.toString()))
  request.on('end', () => {
    const { authorization } = request.headers
    requests.push({ authorization, form: Object.fromEntries(new URLSearchParams(body)) })
    response.writeHead(503).end()
  })
})
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)))
beforeEach(() => requests.splice(0))
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** The exchange of a delegation by a provider with these settings. */
async function exchangeWith(changes: SettingsInput) {
  const { port } = server.address() as AddressInfo
  const settings = settingsFor(provider().issuer, {
    client_id: 'tts',
    client_secret: 'made-here',
    endpoints: { token: `http://127.0.0.1:${port}/token` },
    delegation: {},
    ...changes,
  })
  const { providers } = verifierFor({ iam: settings })
  const { client, audience, scopes } =
    delegationProviders(providers, { now: () => new Date() }).get('iam') ?? {}
  const { signal } = new AbortController()
  const request = { subjectToken: 'subject', audience, scopes: scopes ?? [], signal }
  await expect(client?.exchange(request)).rejects.toMatchObject({ code: 'provider_unavailable' })
  return requests[0]
}

const TYPE = 'urn:ietf:params:oauth:token-type:'

test('by default: HTTP Basic, our audience, offline_access', async () => {
  const request = await exchangeWith({})
  expect(request?.authorization).toMatch(/^Basic /)
  expect(request?.form).toMatchObject({
    audience: AUDIENCE,
    scope: 'openid profile offline_access',
  })
  expect(request?.form).not.toHaveProperty('requested_token_type')
})

test('the profile keycloak: a refresh token by its type, and no audience', async () => {
  const request = await exchangeWith({ profile: 'keycloak' })
  expect(request?.form).toMatchObject({
    scope: 'openid profile',
    requested_token_type: `${TYPE}refresh_token`,
  })
  expect(request?.form).not.toHaveProperty('audience')
})

test('what is set counts more than the profile', async () => {
  const request = await exchangeWith({
    profile: 'keycloak',
    client_authentication: 'post',
    audience_parameter: { exchange: 'client_id' },
    delegation: { requested_token_type: 'access_token' },
  })
  expect(request?.authorization).toBeUndefined()
  expect(request?.form).toMatchObject({
    client_id: 'tts',
    client_secret: 'made-here',
    audience: 'tts',
    requested_token_type: `${TYPE}access_token`,
  })
})
