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

test.for([
  { device: 'https://tts', token: undefined, aud: undefined },
  { device: undefined, token: 'https://tts', aud: 'https://tts' },
])(
  'as at IAM, the audience of a device counts at the token endpoint only: %o',
  async ({ device: first, token: second, aud }) => {
    const device = await post('devicecode', {
      scope: 'openid profile',
      ...(first !== undefined && { audience: first }),
    })
    const grant = {
      grant_type: 'urn:ietf:params:oauth:grant-type:device_code',
      device_code: device['device_code'] ?? '',
      ...(second !== undefined && { audience: second }),
    }
    expect((await post('token', grant))['error']).toBe('authorization_pending')
    const page = await answerDevice({
      verificationUri: device['verification_uri'] ?? '',
      userCode: device['user_code'] ?? '',
      username: 'bob',
    })
    expect(page).toContain('Success')
    const claims = decodeJwt((await post('token', grant))['access_token'] ?? '')
    expect(claims.sub).toBe(provider().user('bob').sub)
    expect(claims.aud).toBe(aud)
  },
)
