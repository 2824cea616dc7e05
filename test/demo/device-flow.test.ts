import { decodeJwt } from 'jose'
import { expect, test } from 'vitest'
import { useIdentityProvider } from '../support/identity-provider.ts'

const provider = useIdentityProvider()

/** A browser that follows redirects and keeps cookies. Answers the last page. */
function browser() {
  const cookies = new Map<string, string>()
  return async (start: string, fields?: Record<string, string>) => {
    let [url, form] = [start, fields]
    for (let step = 0; step < 10; step += 1) {
      const response = await fetch(url, {
        redirect: 'manual',
        headers: { cookie: [...cookies].map((pair) => pair.join('=')).join('; ') },
        ...(form !== undefined && { method: 'POST', body: new URLSearchParams(form) }),
      })
      for (const line of response.headers.getSetCookie()) {
        const [name = '', value = ''] = (line.split(';')[0] ?? '').split('=')
        cookies.set(name, value)
      }
      form = undefined
      const location = response.headers.get('location')
      if (location === null) return { url, text: await response.text() }
      url = new URL(location, url).href
    }
    throw new Error('redirects without end')
  }
}

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

  const go = browser()
  const xsrfOf = (text: string) => /name="xsrf" value="([^"]*)"/.exec(text)?.[1] ?? ''
  const verification = `${provider().issuer}device`
  const user_code = device['user_code'] ?? ''
  const asked = await go(verification)
  const entered = await go(verification, { xsrf: xsrfOf(asked.text), user_code })
  const confirm = { xsrf: xsrfOf(entered.text), user_code, confirm: 'yes' }
  const login = await go(verification, confirm)
  expect((await go(login.url, { username: 'bob' })).text).toContain('Success')

  const claims = decodeJwt((await post('token', grant))['access_token'] ?? '')
  expect(claims).toMatchObject({ sub: provider().user('bob').sub, aud: 'https://tts' })
})
