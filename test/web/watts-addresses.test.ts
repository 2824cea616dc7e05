/** What WaTTS's page had: `/oidc` for logins, the access token on request, and the front page for any client. */
import { describe, expect, test } from 'vitest'
import type { IdentityProvider } from '../../demo/identity-provider/server.ts'
import { rawRequest } from '../api/support.ts'
import { useTestService } from '../support/service.ts'
import { type Answer, Browser, fieldsOf, withLogin } from './support.ts'

const everybody = { allow: [{ provider: 'any', claims: { sub: { any: true } } }] }
const migrated = withLogin(
  { web: { show_access_token: true }, services: { proxy: { authz: everybody } } },
  { login: { redirect_path: '/oidc', parameters: { idphint: 'https://idp.kit.example/x y' } } },
)
const service = useTestService({
  ...migrated,
  identityProvider: { ...migrated.identityProvider, redirectUris: ['http://127.0.0.1/oidc'] },
})
const usual = useTestService(withLogin())

const authorisation = ({ headers }: Answer): Record<string, string> =>
  Object.fromEntries(new URL(headers.get('location') ?? '').searchParams)

describe('/oidc', () => {
  test('is entry and redirect URI: the whole login', async () => {
    const browser = new Browser(service())
    const asked = authorisation(await browser.ask('/oidc?provider=iam'))
    expect(asked).toMatchObject({
      redirect_uri: `${service().url}/oidc`,
      idphint: 'https://idp.kit.example/x y',
    })
    const page = await browser.follow('/oidc?provider=iam', 'alice')
    expect([page.status, page.path]).toEqual([200, '/services'])
    expect(page.text).toContain('Logged in as')
  })

  test('is the redirect URI of the login button too, where the client is registered with it', async () => {
    const asked = authorisation(await new Browser(service()).ask('/login/start?provider=iam'))
    expect(asked['redirect_uri']).toBe(`${service().url}/oidc`)
    expect((await new Browser(service()).logIn('alice')).path).toBe('/services')
  })

  test('is an entry where the client is registered with our own redirect URI', async () => {
    const browser = new Browser(usual())
    const asked = authorisation(await browser.ask('/oidc?provider=iam'))
    expect(asked['redirect_uri']).toBe(`${usual().url}/login/callback`)
    expect((await browser.follow('/oidc?provider=iam', 'alice')).path).toBe('/services')
  })

  test("accepts the form of WaTTS's page", async () => {
    const answer = await new Browser(service()).ask('/oidc', { form: { provider: 'iam' } })
    expect([answer.status, authorisation(answer)['client_id']]).toEqual([303, 'tts'])
  })

  test.for([
    { name: 'an unknown provider', path: '/oidc?provider=x', status: 404 },
    { name: 'an answer that nobody asked for', path: '/oidc?code=a&state=b', status: 403 },
    { name: 'an error that nobody asked for', path: '/oidc?error=access_denied', status: 403 },
  ])('$name: $status', async ({ path, status }) => {
    expect((await new Browser(service()).ask(path)).status).toBe(status)
  })

  test.for([
    { name: 'nothing', path: '/oidc', headers: {} },
    {
      name: 'a link of another site',
      path: '/oidc?provider=iam',
      headers: { 'sec-fetch-site': 'cross-site' },
    },
  ])('$name: the choice of providers', async ({ path, headers }) => {
    const answer = await new Browser(service()).ask(path, { headers })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/login'])
  })

  test('takes only forms by POST', async () => {
    const headers = { 'content-type': 'application/json' }
    const answer = await new Browser(service()).ask('/oidc', { method: 'POST', headers })
    expect(answer.status).toBe(415)
  })

  test('is what GET info names', async () => {
    const { text } = await new Browser(service()).ask('/api/v2/info')
    expect(JSON.parse(text)).toMatchObject({ redirect_path: '/oidc' })
  })
})

describe('two ids of one issuer', () => {
  const { configuration, ...options } = withLogin()
  const both = useTestService({
    ...options,
    configuration: (idp: IdentityProvider) => {
      const made = typeof configuration === 'function' ? configuration(idp) : {}
      const iam = made['providers']?.['iam'] as object
      const kit = { ...iam, description: 'KIT', login: { parameters: { idphint: 'kit' } } }
      const rule = { provider: 'kit', claims: { sub: { any: true } } }
      return {
        ...made,
        providers: { iam, kit },
        services: { info: { plugin: 'info', authz: { allow: [rule] } } },
      }
    },
  })

  test('each has its button, its request and its path, and the rules of both hold', async () => {
    const browser = new Browser(both())
    expect((await browser.ask('/login')).text).toMatch(/Demo IAM[^]*KIT/)
    expect(authorisation(await browser.ask('/oidc?provider=kit'))['idphint']).toBe('kit')
    const page = await browser.follow('/oidc?provider=kit', 'alice')
    expect([page.status, page.path]).toEqual([200, '/services'])
    const headers = { authorization: `Bearer ${both().token()}`, accept: 'application/json' }
    for (const id of ['iam', 'kit', encodeURIComponent(both().provider.issuer)]) {
      const { status, text } = await new Browser(both()).ask(`/api/v2/${id}/service`, { headers })
      expect([id, status]).toEqual([id, 200])
      const { service_list: list } = JSON.parse(text) as { service_list: object[] }
      expect(list).toContainEqual(expect.objectContaining({ id: 'info', authorized: true }))
    }
    const list = await new Browser(both()).ask('/api/v2/oidcp')
    expect(JSON.parse(list.text)).toMatchObject({
      openid_provider_list: [{ id: 'iam' }, { id: 'kit' }],
    })
  })

  test('a person has one name and one watts_userid at both', async () => {
    const browser = new Browser(both())
    await browser.follow('/oidc?provider=kit', 'alice')
    const { text } = await browser.ask('/services/info')
    await browser.ask('/services/info', { form: fieldsOf(text, '/services/info') })
    const [credential] = await both().running.service.store.listCredentials({ limit: 1 })
    expect(credential?.identity).toMatchObject({
      issuer: both().provider.issuer.replace(/\/$/, ''),
      subject: expect.stringMatching(/@indigo-iam-test$/) as string,
    })
  })
})

describe('the access token', () => {
  const action = '/access-token'

  test('is shown on request where the operator allows it', async () => {
    const browser = new Browser(service())
    const { text } = await browser.logIn('alice')
    expect(text).toContain('Show issuer, subject and access token')
    const { provider } = service()
    const answer = await browser.ask(action, { form: fieldsOf(text, action) })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect(answer.text).toContain(`<bdi>${provider.issuer}</bdi>`)
    expect(answer.text).toContain(provider.user('alice').sub)
    const token = /<textarea[^>]*>\n?(eyJ[\w.-]+)<\/textarea>/.exec(answer.text)?.[1] ?? ''
    const headers = { authorization: `Bearer ${token}`, accept: 'application/json' }
    expect((await new Browser(service()).ask('/api/v2/iam/service', { headers })).status).toBe(200)
  })

  test.for([
    { name: 'without the form token', method: 'POST', form: {}, status: 403 },
    { name: 'by a link', method: 'GET', form: undefined, status: 405 },
  ])('is not shown $name', async ({ method, form, status }) => {
    const browser = new Browser(service())
    await browser.logIn('alice')
    const answer = await browser.ask(action, { method, ...(form && { form }) })
    expect(answer.status).toBe(status)
    expect(answer.text).not.toContain('eyJ')
  })

  test('is not shown by default', async () => {
    const browser = new Browser(usual())
    const { text } = await browser.logIn('alice')
    expect(text).not.toContain(action)
    const { text: page } = await browser.ask('/delegations')
    const form = { form_token: /name="form_token"\s+value="([^"]+)"/.exec(page)?.[1] ?? '' }
    const answer = await browser.ask(action, { form })
    expect(answer.status).toBe(404)
    expect(answer.text).not.toContain('eyJ')
  })
})

describe('the front page', () => {
  test.for([
    { name: 'without Accept', headers: {}, type: 'text/html', status: 200 },
    { name: 'any type', headers: { accept: '*/*' }, type: 'text/html', status: 200 },
    { name: 'HTML', headers: { accept: 'text/html' }, type: 'text/html', status: 200 },
    {
      name: 'only JSON',
      headers: { accept: 'application/json' },
      type: 'application/problem+json',
      status: 404,
    },
  ])('$name', async ({ headers, type, status }) => {
    const answer = await rawRequest(service().url, { method: 'GET', headers })
    expect([answer.status, answer.headers['content-type']?.split(';')[0]]).toEqual([status, type])
  })
})
