/**
 * The way of users whom a site sends: arrival, login, consent, credential and back; over real HTTP with a real OpenID
 * provider.
 */
import { X509Certificate } from 'node:crypto'
import { chmod, cp, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  startIdentityProvider,
  type IdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { executable, misbehaving } from '../api/watts/support.ts'
import { AUDIENCE, startTestService, type TestService } from '../support/service.ts'
import { type Answer, fieldsOf, withLogin } from '../web/support.ts'
import { refusalOf, type Signing, signed, type Site, startSite, SiteUser } from './support.ts'

const users = [{ provider: 'rsp-portal', claims: { sub: { any: true } } }]
const sites = ['portal', 'quiet', 'shy', 'login', 'silent', 'slow', 'repeated']
const allow = sites.map((id) => ({ provider: `rsp-${id}`, claims: { sub: { any: true } } }))
/** Wants a login at `egi` besides all others, and shows who it was told of. */
const WANTS_BOTH = `#!/usr/bin/env python3
from plugin import credential, read_input, say

given = read_input()
logins = given["additional_logins"]
if len(logins) < 2:
    say({"result": "oidc_login", "provider": "egi", "msg": "log in <there> too"})
else:
    user = given["user_info"]
    say(credential(" ".join([user["iss"], user["sub"]] + [one["user_info"]["sub"] for one in logins])))
`
let site: Site
let egi: IdentityProvider
let service: TestService
let directory = ''
beforeAll(async () => {
  site = await startSite()
  directory = await mkdtemp(join(tmpdir(), 'tts-relying-'))
  await cp(dirname(misbehaving('plugin.py')), directory, { recursive: true })
  const program = join(directory, 'wants-both.py')
  await writeFile(program, WANTS_BOTH)
  await chmod(program, 0o755)
  egi = await startIdentityProvider({ tokens: { includeAuthnInfo: true } })
  const common = { keys_location: `${site.url}/jwk`, base_url: `${site.url}/app` }
  const second = {
    issuer: egi.issuer,
    alias: 'egi',
    description: 'Other IAM',
    audiences: [AUDIENCE],
    client_id: egi.clients.tts.clientId,
    client_secret: egi.clients.tts.clientSecret,
  }
  service = await startTestService(
    withLogin({
      providers: { egi: second },
      services: {
        info: { plugin: 'info', authz: { allow } },
        proxy: { authz: { allow } },
        linked: executable(misbehaving('wants-login.py'), {}, { authz: { allow } }),
        both: executable(program, {}, { authz: { allow } }),
        failing: executable(misbehaving('refuses.py'), {}, { authz: { allow } }),
        only: { plugin: 'info', authz: { allow: users } },
      },
      relying_services: {
        portal: { ...common, perform_login: false, description: 'The <Portal>' },
        quiet: { ...common, perform_login: false, show_ui: false },
        shy: { ...common, perform_login: false, show_ui: false, require_referer: false },
        login: common,
        silent: { ...common, show_ui: false },
        slow: { ...common, perform_login: false, requests_per_second: 0.01, burst: 1 },
        repeated: { ...common, perform_login: false, requests_per_second: 0.01, burst: 2 },
      },
    }),
  )
})
afterAll(async () => {
  await service.stop()
  await egi.close()
  await site.close()
  await rm(directory, { recursive: true, force: true })
})

const visit = (): SiteUser => new SiteUser(service, site)
const location = ({ headers }: Answer): string => headers.get('location') ?? ''
const audit = async () => service.running.service.store.listAudit({ limit: 1 })

/** Arrives and goes where it leads. */
async function arrived(
  signing: Signing,
  siteUser = visit(),
): Promise<Answer & { readonly path: string; readonly siteUser: SiteUser }> {
  const first = await siteUser.arrive(await signed(site, signing))
  expect(first.status, first.text).toBe(302)
  return { ...(await siteUser.follow(location(first), 'alice')), siteUser }
}

describe('without login, with pages', () => {
  test('the user reads what is asked, agrees, gets it once, and can go back', async () => {
    const claims = { sub: 'u <1>', watts_params: { note: '<b>' } }
    const { siteUser, ...page } = await arrived({ claims: { ...claims, watts_params: {} } })
    expect([page.status, page.path]).toEqual([200, '/rsp/request'])
    expect(page.text).toContain('The &#60;Portal&#62;')
    expect(page.text).toContain('u &#60;1&#62;')
    expect(page.text).toContain(`href="${site.url}/app/failed"`)
    const form = fieldsOf(page.text, '/rsp/request')
    const result = await siteUser.ask('/rsp/request', { form })
    expect([result.status, result.text.includes('This page is shown only once')]).toEqual([
      200,
      true,
    ])
    expect(result.text).toContain(`href="${site.url}/app/done"`)
    expect(result.text).not.toContain('action="/logout"')
    const [line] = await audit()
    expect(line).toMatchObject({
      event: 'credential.issued',
      issuer: 'rsp-portal',
      sub: 'u <1>',
      serviceId: 'info',
      origin: { interface: 'rsp' },
    })
    const again = await siteUser.ask('/rsp/request', { form })
    expect([again.status, ...refusalOf(again)]).toEqual([
      409,
      'The request of the site was already used: go back to the site and start again.',
      'replay',
    ])
  })

  test('a proxy can be downloaded, names the user under the alias of the site, and is no URI of an issuer', async () => {
    const { siteUser, ...page } = await arrived({ claims: { watts_service: 'proxy' } })
    const result = await siteUser.ask('/rsp/request', { form: fieldsOf(page.text, '/rsp/request') })
    expect(result.text).toContain('u-1@rsp-portal')
    const form = fieldsOf(result.text, '/rsp/download')
    const file = await siteUser.ask('/rsp/download', { form })
    expect([file.status, file.text.startsWith('-----BEGIN CERTIFICATE-----')]).toEqual([200, true])
    expect(file.headers.get('content-disposition')).toMatch(/^attachment; /)
    // Its EEC holds no URI that would be none.
    const pems = file.text.match(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g) ?? []
    const names = pems.map((pem) => new X509Certificate(pem).subjectAltName)
    expect([pems.length, ...new Set(names)]).toEqual([2, undefined])
    // The session of a login is none of these forms' business, nor theirs of the login's.
    expect((await siteUser.ask('/download', { form })).status).toBe(403)
  })

  test('nothing is issued unless the form comes from this very page', async () => {
    const { siteUser, ...page } = await arrived({})
    const form = fieldsOf(page.text, '/rsp/request')
    const other = await arrived({})
    const foreign = fieldsOf(other.text, '/rsp/request')
    const refused = [
      await siteUser.ask('/rsp/request', { form: {} }),
      await siteUser.ask('/rsp/request', { form: foreign }),
      await siteUser.ask('/rsp/request', { form, headers: { 'sec-fetch-site': 'cross-site' } }),
      await siteUser.ask('/rsp/request', { form, headers: { origin: 'https://evil.example.org' } }),
      await visit().ask('/rsp/request', { form }),
    ]
    expect(refused.map(({ status }) => status)).toEqual([403, 403, 403, 403, 403])
    expect((await siteUser.ask('/rsp/request', { form })).status).toBe(200)
  })

  test('parameters that the service does not take: 400, the words, the way back', async () => {
    const { siteUser, ...page } = await arrived({ claims: { watts_params: { color: 'red' } } })
    expect(page.text).toContain('red')
    const answer = await siteUser.ask('/rsp/request', { form: fieldsOf(page.text, '/rsp/request') })
    expect([answer.status, refusalOf(answer)[1]]).toEqual([400, 'parameters'])
    expect(answer.text).toContain(`href="${site.url}/app/failed"`)
  })

  test('a plugin that wants a login gets none: the site said so', async () => {
    const { siteUser, ...page } = await arrived({ claims: { watts_service: 'linked' } })
    const answer = await siteUser.ask('/rsp/request', { form: fieldsOf(page.text, '/rsp/request') })
    expect([answer.status, ...refusalOf(answer)]).toEqual([
      403,
      'The service requires a login that is not possible here.',
      'login',
    ])
  })

  test('the cookie is short, HttpOnly and Lax; a session of a login is left alone', async () => {
    const siteUser = visit()
    await siteUser.logIn()
    const before = siteUser.cookie('tts_session')
    await arrived({}, siteUser)
    expect(siteUser.lines.at(-1)).toMatch(
      /^tts_relying=[\w-]{43}; Path=\/; HttpOnly; SameSite=Lax; Max-Age=1800$/,
    )
    expect(siteUser.cookie('tts_session')).toBe(before)
    expect((await siteUser.ask('/services')).text).toContain('action="/logout"')
    // The one is not good for the other.
    siteUser.setCookie('tts_session', siteUser.relyingCookie() ?? '')
    expect((await siteUser.ask('/services')).status).toBe(303)
  })

  test('a new visit ends the one before', async () => {
    const { siteUser } = await arrived({})
    const before = siteUser.relyingCookie() ?? ''
    await arrived({}, siteUser)
    siteUser.setRelyingCookie(before)
    expect((await siteUser.ask('/rsp/request')).status).toBe(403)
  })

  test('who has no visit is told so', async () => {
    for (const path of ['/rsp/request', '/rsp/login']) {
      const answer = await visit().ask(path)
      expect([answer.status, answer.text.includes('This visit has ended')]).toEqual([403, true])
    }
  })
})

describe('a request is good for once', () => {
  test('also when its signature is written in another way', async () => {
    const jwt = await signed(site)
    expect((await visit().arrive(jwt)).status).toBe(302)
    const said = [
      409,
      'The signed request was already used: go back to the site and start again.',
      'replay',
    ]
    const again = await visit().arrive(jwt)
    expect([again.status, ...refusalOf(again), again.headers.get('location')]).toEqual([
      ...said,
      null,
    ])
    expect(again.text).toContain(`href="${site.url}/app/failed"`)
    // The last letter of 256 octets holds two bits that mean nothing.
    const letters = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const last = letters.indexOf(jwt.at(-1) ?? '')
    const twin = jwt.slice(0, -1) + letters.charAt(last ^ 1)
    const other = await visit().arrive(twin)
    expect([other.status, refusalOf(other)[1]]).toEqual([409, 'replay'])
    const claims = { iss: 'quiet' }
    const unseen = await signed(site, { claims })
    expect(location(await visit().arrive(unseen))).toBe(`${site.url}/app/done`)
    expect((await visit().arrive(unseen)).status).toBe(409)
  })

  test('for as long as it would be taken, whatever the upkeep removes', async () => {
    const { store } = service.running.service
    const claims = { iss: 'quiet', exp: Math.floor(Date.now() / 1000) + 100_000 }
    const jwt = await signed(site, { claims })
    expect((await visit().arrive(jwt)).status).toBe(302)
    // 300 seconds of age, 30 of leeway.
    await store.prune(new Date(Date.now() + 325_000), new Date(0))
    expect((await visit().arrive(jwt)).status).toBe(409)
    // And no longer: what is remembered is bounded.
    await store.prune(new Date(Date.now() + 335_000), new Date(0))
    expect((await visit().arrive(jwt)).status).toBe(302)
  })

  test('of many at once one goes through', async () => {
    const jwt = await signed(site, { claims: { iss: 'quiet' } })
    const answers = await Promise.all(Array.from({ length: 8 }, () => visit().arrive(jwt)))
    expect(answers.filter(({ status }) => status === 302)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 409)).toHaveLength(7)
  })

  test('a request that is repeated does not use up the rate of its site', async () => {
    const claims = { iss: 'repeated' }
    const jwt = await signed(site, { claims })
    expect((await visit().arrive(jwt)).status).toBe(302)
    for (let round = 0; round < 3; round += 1)
      expect(refusalOf(await visit().arrive(jwt))).toContain('replay')
    expect((await visit().arrive(await signed(site, { claims }))).status).toBe(302)
  })

  test('over the rate of its site: 503, and it can be used later', async () => {
    const claims = { iss: 'slow' }
    expect((await visit().arrive(await signed(site, { claims }))).status).toBe(302)
    const jwt = await signed(site, { claims })
    const answer = await visit().arrive(jwt)
    expect([answer.status, ...refusalOf(answer), answer.headers.get('retry-after')]).toEqual([
      503,
      'Too many users of the site arrived at the same time: try again soon.',
      'rate',
      '100',
    ])
    const busy = await visit().arrive(jwt)
    expect(busy.status).toBe(503)
    // Requests that are not the site's cost it no place, and the others are let in.
    expect((await visit().arrive(await signed(site))).status).toBe(302)
  })
})

describe('without login and without pages', () => {
  test('it is done at once, and the browser is sent back', async () => {
    const siteUser = visit()
    const answer = await siteUser.arrive(await signed(site, { claims: { iss: 'quiet' } }))
    expect([answer.status, location(answer)]).toEqual([302, `${site.url}/app/done`])
    expect(siteUser.lines).toEqual([])
    expect(answer.headers.get('cache-control')).toBe('no-store')
    expect((await audit())[0]).toMatchObject({ event: 'credential.issued', issuer: 'rsp-quiet' })
  })

  test.for([
    { name: 'a service for others', claims: { watts_service: 'only' } },
    { name: 'an unknown service', claims: { watts_service: 'nothing' } },
    { name: 'bad parameters', claims: { watts_params: { color: 'red' } } },
    { name: 'a plugin that wants a login', claims: { watts_service: 'linked' } },
    { name: 'a plugin that fails', claims: { watts_service: 'failing' } },
  ])('$name: back to failed_url, on record', async ({ claims }) => {
    const answer = await visit().arrive(await signed(site, { claims: { iss: 'quiet', ...claims } }))
    expect([answer.status, location(answer)]).toEqual([302, `${site.url}/app/failed`])
    expect((await audit())[0]).toMatchObject({ outcome: 'refused', issuer: 'rsp-quiet' })
  })

  test.for([
    { success: true, failed: true, done: '/app/done', not: '/app/failed' },
    { success: true, failed: false, done: '/app/done', not: '/app/done' },
    { success: false, failed: true, done: '/app/start', not: '/app/failed' },
    { success: false, failed: false, done: '/app/start', not: '/app/start' },
  ])('where it goes back to: $success, $failed', async ({ success, failed, done, not }) => {
    const urls = {
      ...(success ? {} : { success_url: undefined }),
      ...(failed ? {} : { failed_url: undefined }),
    }
    const claims = { iss: 'quiet', ...urls }
    const good = await visit().arrive(await signed(site, { claims }))
    expect(location(good)).toBe(site.url + done)
    const bad = await visit().arrive(
      await signed(site, { claims: { ...claims, watts_service: 'only' } }),
    )
    expect(location(bad)).toBe(site.url + not)
  })

  test.for([
    { referer: (url: string) => `${url}/` },
    { referer: (url: string) => `${url}/app` },
    { referer: (url: string) => `${url}/app/deep/page?a=b` },
  ])('a Referer of the site', async ({ referer }) => {
    const claims = { iss: 'quiet' }
    const answer = await visit().arrive(await signed(site, { claims }), {
      referer: referer(site.url),
    })
    expect(answer.status).toBe(302)
  })

  test('no Referer, where the site forbids browsers to tell', async () => {
    const claims = { iss: 'shy', success_url: undefined, failed_url: undefined }
    const answer = await visit().arrive(await signed(site, { claims }), { referer: undefined })
    expect([answer.status, location(answer)]).toEqual([302, `${site.url}/app`])
  })

  test('an audience, when it is ours', async () => {
    const claims = { iss: 'quiet', aud: [service.url, 'https://elsewhere.example.org'] }
    expect((await visit().arrive(await signed(site, { claims }))).status).toBe(302)
  })
})

describe('with login', () => {
  const claims = { iss: 'login', watts_provider: 'iam' }

  test('the user logs in at the provider, comes back, agrees; the plugin is told of both', async () => {
    const siteUser = visit()
    const first = await siteUser.arrive(await signed(site, { claims }))
    expect([first.status, location(first)]).toEqual([302, '/rsp/login'])
    const login = await siteUser.ask('/rsp/login')
    expect([login.status, location(login).startsWith(service.provider.issuer)]).toEqual([303, true])
    // Nothing is done before.
    const early = await siteUser.ask('/rsp/request')
    expect(early.text).toContain('Log in with')
    const page = await siteUser.follow('/rsp/login', 'alice')
    expect([page.path, page.text.includes(service.provider.user('alice').sub)]).toEqual([
      '/rsp/request',
      true,
    ])
    // It is a login for this visit alone.
    expect(siteUser.cookie('tts_session')).toBeUndefined()
    const result = await siteUser.ask('/rsp/request', { form: fieldsOf(page.text, '/rsp/request') })
    expect(result.text).toContain('This page is shown only once')
    expect((await audit())[0]).toMatchObject({ issuer: 'rsp-login', sub: 'u-1' })
  })

  test('the form does nothing before the login is made', async () => {
    const { siteUser, ...page } = await arrived({ claims })
    const form = fieldsOf(page.text, '/rsp/request')
    const fresh = visit()
    await fresh.arrive(await signed(site, { claims }))
    // The form's token is that of the visit.
    const { createHash } = await import('node:crypto')
    const token = createHash('sha256')
      .update(`tts form token v1\0${fresh.relyingCookie() ?? ''}`)
      .digest('base64url')
    const answer = await fresh.ask('/rsp/request', { form: { form_token: token } })
    expect([answer.status, ...refusalOf(answer)]).toEqual([
      403,
      'Log in first: the site requires it.',
      'login',
    ])
    expect((await siteUser.ask('/rsp/request', { form })).status).toBe(200)
  })

  test('the login of another browser, or for another visit, is not taken', async () => {
    const attacker = visit()
    await attacker.arrive(await signed(site, { claims }))
    const start = await attacker.ask('/rsp/login')
    const victim = visit()
    await victim.arrive(await signed(site, { claims }))
    // The victim is led through the login that the attacker began.
    const page = await victim.follow(location(start), 'bob')
    expect(page.status).toBe(403)
    expect((await attacker.ask('/rsp/request')).text).toContain('Log in with')
    // A second visit in the same browser while the first one's login is under way.
    const both = visit()
    await both.arrive(await signed(site, { claims }))
    const under = location(await both.ask('/rsp/login'))
    await both.arrive(await signed(site, { claims: { ...claims, sub: 'u-2' } }))
    const late = await both.follow(under, 'alice')
    expect([late.status, refusalOf(late)[1]]).toEqual([403, 'session'])
  })

  test('no address begins a login that ends at a visit', async () => {
    const siteUser = visit()
    const page = await siteUser.logIn('alice', '/rsp/request')
    expect(page.path).toBe('/services')
  })

  test('a plugin that wants one more login says why, gets it, and is told of both', async () => {
    const { siteUser, ...page } = await arrived({ claims: { ...claims, watts_service: 'both' } })
    const form = fieldsOf(page.text, '/rsp/request')
    const wanted = await siteUser.ask('/rsp/request', { form })
    expect([wanted.status, wanted.text.includes('log in &#60;there&#62; too')]).toEqual([200, true])
    expect(wanted.text).toContain('href="/rsp/login"')
    expect(wanted.text).toContain('Other IAM')
    // Before that login the request is not made again.
    expect((await siteUser.ask('/rsp/request', { form })).status).toBe(403)
    const again = await siteUser.follow('/rsp/login', 'bob')
    expect(again.path).toBe('/rsp/request')
    const done = await siteUser.ask('/rsp/request', { form })
    const [alice, bob] = [service.provider.user('alice').sub, egi.user('bob').sub]
    expect(done.text).toContain(`rsp-login u-1 ${alice} ${bob}`)
    expect((await siteUser.ask('/rsp/request', { form })).status).toBe(409)
  })

  test('a plugin that wants the login that is there is not asked for ever', async () => {
    const wanted = { ...claims, watts_provider: 'egi', watts_service: 'both' }
    const { siteUser, ...page } = await arrived({ claims: wanted })
    const answer = await siteUser.ask('/rsp/request', { form: fieldsOf(page.text, '/rsp/request') })
    expect([answer.status, ...refusalOf(answer)]).toEqual([
      403,
      'The service requires a login that is not possible here.',
      'login',
    ])
    expect((await audit())[0]).toMatchObject({ outcome: 'refused', check: 'login', sub: 'u-1' })
  })
})

describe('with login and without pages', () => {
  test('it is done as soon as the user is back', async () => {
    const siteUser = visit()
    const claims = { iss: 'silent', watts_provider: 'iam', watts_service: 'linked' }
    const first = await siteUser.arrive(await signed(site, { claims }))
    const page = await siteUser.follow(location(first), 'alice')
    // The site answers what it answers.
    expect(page.path).toBe('/app/done')
    expect((await audit())[0]).toMatchObject({ event: 'credential.issued', issuer: 'rsp-silent' })
    expect(siteUser.relyingCookie()).toBeUndefined()
    expect((await siteUser.ask('/rsp/request')).status).toBe(403)
  })

  test('a plugin that wants one more login gets it on the way', async () => {
    const siteUser = visit()
    const claims = { iss: 'silent', watts_provider: 'iam', watts_service: 'both' }
    const first = await siteUser.arrive(await signed(site, { claims }))
    expect((await siteUser.follow(location(first), 'alice')).path).toBe('/app/done')
    expect((await audit())[0]).toMatchObject({ event: 'credential.issued', serviceId: 'both' })
  })

  test('a login that is refused: back to failed_url', async () => {
    const siteUser = visit()
    const claims = { iss: 'silent', watts_provider: 'iam' }
    await siteUser.arrive(await signed(site, { claims }))
    const state =
      new URL(location(await siteUser.ask('/rsp/login'))).searchParams.get('state') ?? ''
    const query = new URLSearchParams({
      error: 'access_denied',
      state,
      iss: service.provider.issuer,
    })
    const answer = await siteUser.ask(`/login/callback?${query.toString()}`)
    expect([answer.status, location(answer)]).toEqual([302, `${site.url}/app/failed`])
    expect((await audit())[0]).toMatchObject({ outcome: 'refused', check: 'provider_refused' })
  })
})

describe('the WaTTS API during a visit', () => {
  const api = async (siteUser: SiteUser, path: string, wanted?: object): Promise<Answer> => {
    const headers = { accept: 'application/json', 'sec-fetch-site': 'same-origin' }
    if (wanted === undefined) return siteUser.ask(`/api/v2/${path}`, { headers })
    const cookie = `tts_relying=${siteUser.relyingCookie() ?? ''}`
    const response = await fetch(`${service.url}/api/v2/${path}`, {
      method: 'POST',
      redirect: 'manual',
      headers: { ...headers, cookie, 'content-type': 'application/json' },
      body: JSON.stringify(wanted),
    })
    return { status: response.status, headers: response.headers, text: await response.text() }
  }

  test('info tells what is asked and where to go; lists are empty; the request is made once', async () => {
    const siteUser = visit()
    await siteUser.arrive(await signed(site))
    expect(JSON.parse((await api(siteUser, 'info')).text)).toMatchObject({
      logged_in: true,
      issuer_id: 'rsp-portal',
      display_name: 'u-1',
      service_request: { service: 'info', params: {} },
      rsp_success: `${site.url}/app/done`,
      rsp_error: `${site.url}/app/failed`,
    })
    expect(JSON.parse((await api(siteUser, 'service')).text)).toEqual({ service_list: [] })
    expect((await api(siteUser, 'access_token')).status).toBe(401)
    // Nothing but what the site asked for.
    for (const wanted of [{ service_id: 'proxy' }, { service_id: 'info', params: { a: 'b' } }]) {
      const refused = await api(siteUser, 'credential', wanted)
      expect([refused.status, JSON.parse(refused.text)]).toEqual([
        400,
        { result: 'error', user_msg: 'you are not allowed to use this service' },
      ])
    }
    const made = await api(siteUser, 'credential', { service_id: 'info', params: {} })
    expect([made.status, new URL(location(made)).pathname]).toEqual([
      303,
      expect.stringMatching(/^\/api\/v2\/rsp-portal\/credential_data\/[\w-]{22}$/),
    ])
    const picked = await api(siteUser, new URL(location(made)).pathname.replace('/api/v2/', ''))
    expect(JSON.parse(picked.text)).toMatchObject({ result: 'ok' })
    expect(JSON.parse((await api(siteUser, 'credential')).text)).toEqual({ credential_list: [] })
    const again = await api(siteUser, 'credential', { service_id: 'info', params: {} })
    expect(again.status).not.toBe(303)
    expect((await audit())[0]).toMatchObject({ outcome: 'refused', check: 'replay' })
    // It is listed as of this interface where credentials are listed.
    const { store } = service.running.service
    const identity = await store.findIdentity({ issuer: 'rsp-portal', sub: 'u-1' })
    const views = await store.listCredentials({ identityId: identity?.id ?? '', limit: 1 })
    expect(views[0]?.origin.interface).toBe('rsp')
  })

  test('logout ends the visit; pages of other sites see nothing of it', async () => {
    const siteUser = visit()
    await siteUser.arrive(await signed(site))
    const cookie = siteUser.relyingCookie() ?? ''
    const foreign = await siteUser.ask('/api/v2/info', {
      headers: { 'sec-fetch-site': 'cross-site' },
    })
    expect(JSON.parse(foreign.text)).toMatchObject({ logged_in: false })
    await api(siteUser, 'logout')
    expect(siteUser.relyingCookie()).toBeUndefined()
    // It is over, and not only its cookie.
    siteUser.setRelyingCookie(cookie)
    expect((await siteUser.ask('/rsp/request')).status).toBe(403)
    expect(JSON.parse((await api(siteUser, 'info')).text)).not.toHaveProperty('service_request')
  })

  test('without pages, and before a login that is wanted, it issues nothing', async () => {
    const siteUser = visit()
    const claims = { watts_provider: 'iam' }
    await siteUser.arrive(await signed(site, { claims: { iss: 'login', ...claims } }))
    const early = await api(siteUser, 'credential', { service_id: 'info' })
    expect([early.status, (await audit())[0]?.check]).toEqual([400, 'login'])
    // Logged in, and not yet led on to where the request is made.
    const unseen = visit()
    await unseen.arrive(await signed(site, { claims: { iss: 'silent', ...claims } }))
    let url = new URL(location(await unseen.ask('/rsp/login')))
    while (url.pathname !== '/login/callback') {
      const answer = await unseen.ask(url.href)
      const next = answer.headers.get('location')
      const sent = next ?? location(await unseen.ask(url.href, { form: { username: 'alice' } }))
      url = new URL(sent, url)
    }
    expect(location(await unseen.ask(url.href))).toBe('/rsp/request')
    const hasty = await api(unseen, 'credential', { service_id: 'info' })
    expect([hasty.status, (await audit())[0]?.check]).toEqual([400, 'authorisation'])
    const done = await unseen.ask('/rsp/request')
    expect([done.status, location(done)]).toEqual([302, `${site.url}/app/done`])
  })
})
