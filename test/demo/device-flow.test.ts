import { decodeJwt } from 'jose'
import { expect, test } from 'vitest'
import { answerDevice } from '../support/device-person.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'

const provider = useIdentityProvider()

const post = async (path: string, form: Record<string, string>) => {
  const body = new URLSearchParams({ client_id: 'demo-cli', ...form })
  const response = await fetch(`${provider().issuer}${path}`, { method: 'POST', body })
  return (await response.json()) as Record<string, string>
}

test('a device gets a token with the audience it asked for (RFC 8628)', async () => {
  const device = await post('devicecode', { scope: 'openid profile', audience: 'https://tts' })
  const grant = {
    grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
    device_code: device['device_code'] ?? '',
  }
  expect((await post('token', grant))['error']).toBe('authorization_pending')
  const page = await answerDevice({
    verificationUri: device['verification_uri'] ?? '',
    userCode: device['user_code'] ?? '',
    username: 'bob',
  })
  expect(page).toContain('Success')
  const claims = decodeJwt((await post('token', grant))['access_token'] ?? '')
  expect(claims).toMatchObject({ sub: provider().user('bob').sub, aud: 'https://tts' })
})
