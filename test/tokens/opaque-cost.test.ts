/** What tokens that nobody knows cost the providers: one question each, at a limited rate; and our own secrets none. */
import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { newRenewalSecret } from '../../src/domain/delegations/secret.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { refusalOf, settingsFor, verifierFor } from './support.ts'

const provider = useIdentityProvider()
const garbage = (): string => randomBytes(20).toString('base64url')

function asking(more: Parameters<typeof verifierFor>[2] = {}) {
  const { clientId, clientSecret } = provider().clients.tts
  provider().faults.resetCounts()
  const settings = {
    client_id: clientId,
    client_secret: clientSecret,
    introspect: 'opaque',
  } as const
  return verifierFor({ iam: settingsFor(provider().issuer, settings) }, undefined, more)
}
const questions = (): number => provider().faults.count('/introspect')

test('a token that nobody knows is asked about once in a while, not each time', async () => {
  const verifier = asking()
  const token = garbage()
  for (let round = 0; round < 5; round += 1)
    expect(await refusalOf(verifier.verify(token))).toMatchObject({
      code: 'invalid_token',
      check: 'active',
    })
  expect(questions()).toBe(1)
  verifier.advance(11)
  await refusalOf(verifier.verify(token))
  expect(questions()).toBe(2)
})

test('one address has so many looked up and no more; others go on', async () => {
  const verifier = asking({ opaqueTokens: { perSecond: 0.01, burst: 20 } })
  const checks: (string | undefined)[] = []
  for (let round = 0; round < 25; round += 1)
    checks.push((await refusalOf(verifier.verify(garbage(), { address: '192.0.2.1' }))).check)
  expect(checks.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 'active'))
  expect(new Set(checks.slice(20))).toEqual(new Set(['introspection_rate']))
  expect(questions()).toBe(20)
  expect((await refusalOf(verifier.verify(garbage(), { address: '192.0.2.2' }))).check).toBe(
    'active',
  )
})

test('a renewal secret sent to the wrong path is shown to no provider', async () => {
  const verifier = asking()
  const { secret } = newRenewalSecret(randomBytes)
  const error = await refusalOf(verifier.verify(secret))
  expect(error).toMatchObject({ code: 'invalid_token', check: 'format' })
  expect(error.message).toBe('this is the renewal secret of a delegation, not an access token')
  expect(questions()).toBe(0)
})
