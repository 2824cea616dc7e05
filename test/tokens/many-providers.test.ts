/** An opaque token names no provider: all that can be asked are, at the same time, and the slowest holds up nobody. */
import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import type { ProviderSettings } from '../../src/config/provider-schema.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import {
  accessTokenAt,
  refusalOf,
  settingsFor,
  type SettingsInput,
  verifierFor,
} from './support.ts'

const own = useIdentityProvider()
const foreign = useIdentityProvider()

function asking(provider: typeof own, changes: SettingsInput = {}): ProviderSettings {
  const { clientId, clientSecret } = provider().clients.tts
  const client = { client_id: clientId, client_secret: clientSecret }
  return settingsFor(provider().issuer, { ...client, introspect: 'opaque', ...changes })
}

/** Accepts connections and never answers. */
async function hanging(changes: SettingsInput = {}): Promise<ProviderSettings> {
  const server = createServer((socket) => void socket.on('error', () => undefined))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const client = { client_id: 'tts', client_secret: 'not used', introspect: 'opaque' } as const
  return settingsFor(`http://127.0.0.1:${port}`, { ...client, timeout_seconds: 60, ...changes })
}

async function opaqueToken(): Promise<string> {
  own().tokens.format = 'opaque'
  return accessTokenAt(own())
}

/** Seven that do not know the token, and one more before the last. */
const eightBefore = (eighth: ProviderSettings) => ({
  ...Object.fromEntries(Array.from({ length: 7 }, (_, index) => [`p${index}`, asking(foreign)])),
  eighth,
})

test('of nine providers, one of which hangs, the ninth decides', async () => {
  const token = await opaqueToken()
  const verifier = verifierFor({ ...eightBefore(await hanging()), ninth: asking(own) })
  // Within the deadline of the one that hangs, which is longer than that of this test.
  expect((await verifier.verify(token)).providerId).toBe('ninth')
})

test('a refusal of the ninth, which knows the token, does not wait either', async () => {
  const token = await opaqueToken()
  const elsewhere = asking(own, { audiences: ['https://elsewhere.example.org'] })
  const verifier = verifierFor({ ...eightBefore(await hanging()), ninth: elsewhere })
  expect((await refusalOf(verifier.verify(token))).check).toBe('audience')
})

test('a token that nobody knows waits for the one that might, no longer than its deadline', async () => {
  const slow = await hanging({ timeout_seconds: 0.3 })
  const verifier = verifierFor({ ...eightBefore(slow), ninth: asking(own) })
  expect(await refusalOf(verifier.verify('nobody-knows'))).toMatchObject({
    code: 'provider_unavailable',
    check: 'provider',
  })
})

test('providers without introspection endpoint: refused with the reason, not put off', async () => {
  const configuration = await (
    await fetch(`${own().issuer.replace(/\/$/, '')}/.well-known/openid-configuration`)
  ).json()
  own().faults.set('/.well-known/openid-configuration', {
    kind: 'body',
    body: { ...(configuration as object), introspection_endpoint: undefined },
  })
  const error = await refusalOf(verifierFor({ iam: asking(own) }).verify('opaque'))
  expect(error).toMatchObject({ code: 'invalid_token', check: 'format' })
  expect(error.message).toContain('iam has no introspection endpoint')
  // Where another one can be asked, its answer counts.
  const two = verifierFor({ iam: asking(own), other: asking(foreign) })
  expect((await refusalOf(two.verify('opaque'))).check).toBe('active')
})
