import { describe, expect, test } from 'vitest'
import { serve } from '../../src/service/serve.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { everythingSaid } from '../api/support.ts'
import { startTestService, type TestService, useTestService } from '../support/service.ts'
import { Browser, withLogin } from './support.ts'

const MINUTE_MS = 60_000

describe('a login', () => {
  const service = useTestService(withLogin())

  /** Goes as far as the provider's redirect back to us, and does not follow it. */
  async function returned(browser: Browser, username = 'alice'): Promise<URL> {
    let url = new URL('/login/start?provider=iam', service().url)
    let answer = await browser.ask(url.href)
    for (;;) {
      const location = answer.headers.get('location')
      if (location === null) answer = await browser.ask(url.href, { form: { username } })
      else {
        url = new URL(location, url)
        if (url.origin === service().url && url.pathname === '/login/callback') return url
        answer = await browser.ask(url.href)
      }
    }
  }

  test('asks for a code with PKCE, state, nonce and the audience', async () => {
    const { headers } = await new Browser(service()).ask('/login/start?provider=iam')
    const asked = Object.fromEntries(new URL(headers.get('location') ?? '').searchParams)
    expect(asked).toEqual({
      client_id: 'tts',
      response_type: 'code',
      scope: 'openid profile',
      redirect_uri: `${service().url}/login/callback`,
      audience: 'https://tts.example.org',
      code_challenge_method: 'S256',
      code_challenge: expect.stringMatching(/^[\w-]{43}$/) as string,
      state: expect.stringMatching(/^[\w-]{43}$/) as string,
      nonce: expect.stringMatching(/^[\w-]{43}$/) as string,
    })
  })

  test('of somebody else is not taken', async () => {
    const attacker = new Browser(service())
    const url = await returned(attacker, 'bob')
    // Without a login of one's own, and with one.
    const victim = new Browser(service())
    expect((await victim.ask(url.href)).status).toBe(403)
    await victim.ask('/login/start?provider=iam')
    const refused = await victim.ask(url.href)
    expect([refused.status, victim.cookie('tts_session')]).toEqual([403, undefined])
    expect(refused.text).toContain('his browser started no such login')
  })

  test('is done once', async () => {
    const browser = new Browser(service())
    const url = await returned(browser)
    const state = browser.cookie('tts_login') ?? ''
    expect((await browser.ask(url.href)).status).toBe(303)
    expect(browser.cookie('tts_login')).toBeUndefined()
    expect((await browser.ask(url.href)).status).toBe(403)
    // With the cookie put back, it is the provider that knows the code was used.
    browser.setCookie('tts_login', state)
    const again = await browser.ask(url.href)
    expect([again.status, again.text.includes('loaded twice')]).toEqual([403, true])
  })

  test.for(['providerId', 'returnPath', 'startedAtMs', 'secret'])(
    'is not that of a cookie with another %s',
    async (part) => {
      const browser = new Browser(service())
      const url = await returned(browser)
      const parts = (browser.cookie('tts_login') ?? '').split('.')
      const index = ['secret', 'providerId', 'returnPath', 'startedAtMs'].indexOf(part)
      const changed = [
        'A'.repeat(43),
        'other',
        Buffer.from('/audit').toString('base64url'),
        String(Number(parts[3]) - 1),
      ]
      parts[index] = changed[index] ?? ''
      browser.setCookie('tts_login', parts.join('.'))
      expect((await browser.ask(url.href)).status).toBe(403)
      expect(browser.cookie('tts_session')).toBeUndefined()
    },
  )

  test.for([
    ['access_denied', 'you cancelled the login'],
    ['temporarily_unavailable', 'try again later'],
    ['invalid_scope', 'does not grant the scopes that this service requests'],
    ['something_new', 'it reports something_new'],
    ['<b>x</b>', 'it reports an error'],
  ] as const)('the provider answers %s', async ([error, words]) => {
    const browser = new Browser(service())
    const { headers } = await browser.ask('/login/start?provider=iam')
    const state = new URL(headers.get('location') ?? '').searchParams.get('state') ?? ''
    const query = new URLSearchParams({
      error,
      state,
      // RFC 9207: the provider says who it is, or its answer is not looked at.
      iss: service().provider.issuer,
      error_description: '<script>alert(1)</script>',
    })
    const answer = await browser.ask(`/login/callback?${query.toString()}`)
    expect(answer.status).toBe(403)
    expect(answer.text).toContain(words)
    expect(answer.text).not.toMatch(/alert\(1\)|<b>/)
  })

  test('that another site begins shows the choice first', async () => {
    const headers = { 'sec-fetch-site': 'cross-site' }
    const answer = await new Browser(service()).ask('/login/start?provider=iam', { headers })
    expect([answer.status, answer.headers.get('location')]).toEqual([303, '/login'])
  })

  test('at a provider that is not known', async () => {
    expect((await new Browser(service()).ask('/login/start?provider=x')).status).toBe(404)
  })

  test('of a user without the service says why, and asking all the same is refused', async () => {
    const bob = new Browser(service())
    const { text } = await bob.logIn('bob')
    expect(text).toContain('groups must contain cms (yours: guests)')
    expect(text).not.toContain('href="/services/proxy"')
    const [, token = ''] = /name="form_token"\s+value="([^"]+)"/.exec(text) ?? []
    const form = { form_token: token, form_id: 'A'.repeat(22) }
    const refused = await bob.ask('/services/proxy', { form })
    expect(refused.status).toBe(403)
    expect(refused.text).toContain('No credential was issued')
  })

  test('leaves no token in the log, the audit trail or the database', async () => {
    await new Browser(service()).logIn()
    expect(await everythingSaid(service())).not.toMatch(/eyJ|code=/)
    expect(service().logged.join('')).not.toContain('tts_session=')
  })
})

describe('a session', () => {
  async function within(
    changes: Parameters<typeof withLogin>,
    run: (service: TestService, clock: { ms: number }) => Promise<void>,
  ): Promise<void> {
    const clock = { ms: 0 }
    const now = (): Date => new Date(Date.now() + clock.ms)
    const service = await startTestService({ ...withLogin(...changes), now })
    try {
      await run(service, clock)
    } finally {
      await service.stop()
    }
  }
  const statusOf = async (browser: Browser): Promise<number> =>
    (await browser.ask('/services')).status

  test('ends when it is idle, and in any case', async () => {
    await within([], async (service, clock) => {
      const browser = new Browser(service)
      await browser.logIn()
      clock.ms = 14 * MINUTE_MS
      expect(await statusOf(browser)).toBe(200)
      clock.ms = 28 * MINUTE_MS
      expect(await statusOf(browser)).toBe(200)
      clock.ms = 31 * MINUTE_MS
      expect(await statusOf(browser)).toBe(303)

      clock.ms = 0
      const idle = new Browser(service)
      await idle.logIn()
      clock.ms = 16 * MINUTE_MS
      expect(await statusOf(idle)).toBe(303)
    })
  })

  test('ends with its access token', async () => {
    await within([], async (service, clock) => {
      service.provider.tokens.lifetimeSeconds = 300
      const browser = new Browser(service)
      await browser.logIn()
      clock.ms = 4 * MINUTE_MS
      expect(await statusOf(browser)).toBe(200)
      clock.ms = 6 * MINUTE_MS
      expect(await statusOf(browser)).toBe(303)
    })
  })

  test('outlives its access token where the provider gave a refresh token', async () => {
    const login = { login: { scopes: ['openid', 'profile', 'offline_access'] } }
    await within([{}, login], async (service, clock) => {
      service.provider.tokens.lifetimeSeconds = 300
      const browser = new Browser(service)
      await browser.logIn()
      clock.ms = 6 * MINUTE_MS
      // Of the provider, whose clock stands still.
      service.provider.tokens.lifetimeSeconds = 3600
      service.provider.faults.resetCounts()
      // At once, as the parts of a page ask: the refresh token is used once.
      const statuses = await Promise.all([1, 2, 3].map(async () => statusOf(browser)))
      expect(statuses).toEqual([200, 200, 200])
      expect(service.provider.faults.count('/token')).toBe(1)
      clock.ms = 20 * MINUTE_MS
      expect(await statusOf(browser)).toBe(200)
      clock.ms = 31 * MINUTE_MS
      expect(await statusOf(browser)).toBe(303)
    })
  })

  test('is begun under a new id, and logging out ends it', async () => {
    await within([], async (service) => {
      const browser = new Browser(service)
      const planted = 'A'.repeat(43)
      browser.setCookie('tts_session', planted)
      await browser.logIn()
      const first = browser.cookie('tts_session') ?? ''
      expect(first).not.toBe(planted)
      await browser.follow('/login/start?provider=iam', 'alice')
      const second = browser.cookie('tts_session') ?? ''
      expect(second).not.toBe(first)
      const old = new Browser(service)
      old.setCookie('tts_session', first)
      expect(await statusOf(old)).toBe(303)

      const { text } = await browser.ask('/services')
      const [, token = ''] = /name="form_token"\s+value="([^"]+)"/.exec(text) ?? []
      const out = await browser.ask('/logout', { form: { form_token: token } })
      expect([out.status, out.headers.get('location')]).toEqual([303, '/'])
      expect(browser.cookie('tts_session')).toBeUndefined()
      browser.setCookie('tts_session', second)
      expect(await statusOf(browser)).toBe(303)
    })
  })

  test('is one of a bounded number, and of one person', async () => {
    await within([{ web: { sessions_per_identity: 2 } }], async (service, clock) => {
      const browsers = [1, 2, 3].map(() => new Browser(service))
      const bob = new Browser(service)
      await bob.logIn('bob')
      for (const browser of browsers) {
        clock.ms += 1000
        await browser.logIn()
      }
      const statuses = await Promise.all([bob, ...browsers].map(statusOf))
      expect(statuses).toEqual([200, 303, 200, 200])
    })
  })

  test('survives a restart', async () => {
    await within([], async (service) => {
      const browser = new Browser(service)
      await browser.logIn()
      const cookie = browser.cookie('tts_session') ?? ''
      await service.running.stop()
      const log = createLog({ level: 'silent', name: 'tts' })
      const again = await serve(await loadConfiguration(`${service.directory}/tts.yaml`, {}), log)
      try {
        const later = new Browser(again)
        later.setCookie('tts_session', cookie)
        expect((await later.ask('/services')).text).toContain('Alice Example')
      } finally {
        await again.stop()
      }
    })
  })

  test('is nobody any more when the provider does not take the token', async () => {
    const introspecting = { introspect: 'always', introspection_cache_seconds: 0 }
    await within([{}, introspecting], async (service) => {
      const browser = new Browser(service)
      await browser.logIn()
      expect(await statusOf(browser)).toBe(200)
      service.provider.tokens.suspension = 'everywhere'
      service.provider.user('alice').suspended = true
      expect(await statusOf(browser)).toBe(303)
    })
  })
})
