import { chmod, cp, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { AUDIENCE, startTestService, type TestService } from '../support/service.ts'
import { wideLimits } from '../api/support.ts'
import { Browser, fieldsOf } from './support.ts'

const MAXIMUM = 3
let service: TestService
let other: IdentityProvider
let directory: string

beforeAll(async () => {
  other = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
  directory = await mkdtemp(join(tmpdir(), 'tts-web-'))
  await cp(fileURLToPath(new URL('../plugins/fixtures', import.meta.url)), directory, {
    recursive: true,
  })
  const program = join(directory, 'wants-login.py')
  await chmod(program, 0o755)
  const everybody = { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] }
  service = await startTestService({
    identityProvider: { tokens: { includeAuthnInfo: true } },
    configuration: (idp) => ({
      ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
      limits: wideLimits,
      delegations: { maximum_per_identity: MAXIMUM },
      providers: {
        iam: {
          issuer: idp.issuer,
          audiences: [AUDIENCE],
          client_id: idp.clients.tts.clientId,
          client_secret: idp.clients.tts.clientSecret,
          delegation: {
            client_id: idp.clients.certcache.clientId,
            client_secret: idp.clients.certcache.clientSecret,
          },
        },
        egi: {
          issuer: other.issuer,
          description: 'The other one',
          audiences: [AUDIENCE],
          client_id: other.clients.tts.clientId,
          client_secret: other.clients.tts.clientSecret,
        },
      },
      services: {
        proxy: { authz: everybody },
        linked: {
          plugin: 'executable',
          executable: { command: [program], allow_root: true },
          authz: everybody,
        },
      },
    }),
  })
})

afterAll(async () => {
  await service.stop()
  await other.close()
  await rm(directory, { recursive: true, force: true })
})

/** Sends the form of a page that goes to `action`. */
async function send(browser: Browser, page: string, action: string, more = {}) {
  const { text } = await browser.ask(page)
  return browser.ask(action, { form: { ...fieldsOf(text, action), ...more } })
}

describe('delegations', () => {
  test('are made, seen by their owner alone, used, and taken back', async () => {
    const alice = new Browser(service)
    await alice.logIn()
    const made = await send(alice, '/delegations', '/delegations', { label: 'worker 7' })
    expect(made.status, made.text).toBe(201)
    const [, secret = ''] = /(tts_renew_[\w-]+)/.exec(made.text) ?? []
    const list = await alice.ask('/delegations')
    expect(list.text).toContain('worker 7')
    expect(list.text).not.toContain(secret)
    const [, id = ''] = /\/delegations\/([0-9a-f-]{36})\/revoke/.exec(list.text) ?? []
    const renew = (): Promise<Response> =>
      fetch(`${service.url}/v1/delegations/${id}/proxies`, {
        method: 'POST',
        headers: { authorization: `Bearer ${secret}` },
      })
    expect((await renew()).status).toBe(200)

    const bob = new Browser(service)
    const { text } = await bob.logIn('bob')
    // Who never asked for anything is nobody on record, and would be refused for that alone.
    expect((await send(bob, '/services/proxy', '/services/proxy')).status).toBe(200)
    const [, token = ''] = /name="form_token"\s+value="([^"]+)"/.exec(text) ?? []
    const action = `/delegations/${id}/revoke`
    expect((await bob.ask(action)).status).toBe(404)
    expect((await bob.ask(action, { form: { form_token: token } })).status).toBe(404)

    const done = await send(alice, action, action)
    expect([done.status, done.headers.get('location')]).toEqual([303, '/delegations?done=revoked'])
    expect((await renew()).status).toBe(410)
  })

  test('with a name that is too long are not made, and the form says so', async () => {
    const alice = new Browser(service)
    await alice.logIn()
    const refused = await send(alice, '/delegations', '/delegations', { label: 'x'.repeat(101) })
    expect(refused.status).toBe(400)
    expect(refused.text).toMatch(
      /id="label-error"[^>]*>\s*The name must have at most 100 characters/,
    )
    expect(refused.text).toContain('aria-invalid="true"')
    expect(refused.text).toContain(`value="${'x'.repeat(101)}"`)
  })

  test('that are refused for another reason do not blame the name', async () => {
    const alice = new Browser(service)
    await alice.logIn()
    let refused = await send(alice, '/delegations', '/delegations', { label: 'one too many' })
    for (let made = 1; refused.status === 201; made += 1) {
      expect(made).toBeLessThanOrEqual(MAXIMUM)
      refused = await send(alice, '/delegations', '/delegations', { label: 'one too many' })
    }
    expect(refused.status).toBe(409)
    expect(refused.text).toMatch(/role="alert">\s*<p>\s*No delegation was created: /)
    expect(refused.text).not.toMatch(/label-error|aria-invalid/)
    expect(refused.text).toContain('value="one too many"')
  })
})

test("nobody sees or revokes somebody else's credential", async () => {
  const alice = new Browser(service)
  await alice.logIn()
  const issued = await send(alice, '/services/proxy', '/services/proxy')
  const [, id = ''] = /([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})<\/dd>/.exec(issued.text) ?? []
  expect((await alice.ask(`/credentials/${id}/revoke`)).status).toBe(200)
  const bob = new Browser(service)
  const { text } = await bob.logIn('bob')
  expect((await send(bob, '/services/proxy', '/services/proxy')).status).toBe(200)
  const [, token = ''] = /name="form_token"\s+value="([^"]+)"/.exec(text) ?? []
  expect((await bob.ask(`/credentials/${id}/revoke`)).status).toBe(404)
  const action = `/credentials/${id}/revoke`
  expect((await bob.ask(action, { form: { form_token: token } })).status).toBe(404)
  expect((await bob.ask('/credentials')).text).not.toContain(id)
})

test('a login that a plugin asks for is made beside the first, and then the request', async () => {
  const alice = new Browser(service)
  await alice.logIn()
  const before = alice.cookie('tts_session')
  const wanted = await send(alice, '/services/linked', '/services/linked')
  expect(wanted.text, wanted.text).toContain('log in there too')
  const [, link = ''] = /href="(\/login\/start[^"]*add=1)"/.exec(wanted.text) ?? []
  const form = await alice.follow(link.replaceAll('&#38;', '&'), 'bob')
  expect(form.path).toBe('/services/linked')
  expect(form.text).toContain('You are also logged in at')
  // Still alice, in the same session.
  expect(alice.cookie('tts_session')).toBe(before)
  expect(form.text).toContain('Alice Example')
  const result = await send(alice, '/services/linked', '/services/linked')
  expect(result.status).toBe(200)
  expect(result.text).toContain(other.user('bob').sub)
})

test('such a login belongs to the session that began it', async () => {
  const alice = new Browser(service)
  await alice.logIn()
  const start = await alice.ask('/login/start?provider=egi&return=/services/linked&add=1')
  const url = start.headers.get('location') ?? ''
  const state = alice.cookie('tts_login') ?? ''
  await alice.logIn('bob')
  alice.setCookie('tts_login', state)
  const refused = await alice.follow(url, 'alice')
  expect(refused.status).toBe(403)
  expect(refused.text).toContain('Your session ended during the login')
})

test('the login address of WaTTS adds a login for a user who is logged in elsewhere', async () => {
  const alice = new Browser(service)
  await alice.logIn()
  const before = alice.cookie('tts_session')
  const page = await alice.follow('/oidc?provider=egi', 'bob')
  expect([page.status, page.path]).toEqual([200, '/services'])
  expect(alice.cookie('tts_session')).toBe(before)
  expect((await alice.ask('/services/linked')).text).toContain('You are also logged in at')
})
