/** What becomes of refresh tokens when a session ends: forgotten here, revoked at the provider (RFC 7009). */
import { createHash } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { startIdentityProvider } from '../../demo/identity-provider/server.ts'
import type { SessionLogin, StoredSession } from '../../src/domain/session-records.ts'
import { TtsError } from '../../src/base/errors.ts'
import { createLog } from '../../src/base/log.ts'
import { type EndingDependencies, endSession } from '../../src/web/sessions/ending.ts'
import { startTestService, type TestService, useTestService } from '../support/service.ts'
import { Browser, fieldsOf, withLogin } from './support.ts'

const offline = { login: { scopes: ['openid', 'profile', 'offline_access'] } }

/** The refresh token of the session that a browser has. */
async function refreshTokenOf(service: TestService, browser: Browser): Promise<string> {
  const idDigest = createHash('sha256')
    .update(browser.cookie('tts_session') ?? '')
    .digest('hex')
  const times = { now: new Date(), usedAfter: new Date(0) }
  const session = await service.running.service.store.sessions.find(idDigest, times)
  return session?.content.login.refreshToken ?? ''
}

/** What the provider says to whoever comes with it. */
async function useRefreshToken({ provider }: TestService, token: string): Promise<number> {
  const { clientId, clientSecret } = provider.clients.tts
  const basic = Buffer.from(`${clientId}:${encodeURIComponent(clientSecret)}`).toString('base64')
  const answer = await fetch(`${provider.issuer}token`, {
    method: 'POST',
    headers: { authorization: `Basic ${basic}` },
    body: new URLSearchParams({ grant_type: 'refresh_token', refresh_token: token }),
  })
  return answer.status
}

async function logOut(browser: Browser): Promise<readonly [number, string | null]> {
  const { text } = await browser.ask('/services')
  const { status, headers } = await browser.ask('/logout', { form: fieldsOf(text, '/logout') })
  return [status, headers.get('location')]
}

describe('a session with a refresh token', () => {
  const service = useTestService(withLogin({}, offline))
  afterEach(() => {
    service().provider.faults.clear()
    service().provider.faults.resetCounts()
  })
  const loggedIn = async (): Promise<Browser> => {
    const browser = new Browser(service())
    await browser.logIn()
    return browser
  }

  test('is good until it is revoked: the check of this test', async () => {
    const token = await refreshTokenOf(service(), await loggedIn())
    expect(token).not.toBe('')
    expect(await useRefreshToken(service(), token)).toBe(200)
  })

  test('logging out revokes it', async () => {
    const browser = await loggedIn()
    const token = await refreshTokenOf(service(), browser)
    expect(await logOut(browser)).toEqual([303, '/'])
    expect(await useRefreshToken(service(), token)).toBe(401)
    expect(service().provider.faults.count('/revoke')).toBe(1)
  })

  test('so does logging out by the WaTTS API, where no other site leads there', async () => {
    const browser = await loggedIn()
    const token = await refreshTokenOf(service(), browser)
    for (const site of ['cross-site', 'same-site', 'same-origin']) {
      const headers = { 'sec-fetch-site': site, accept: 'application/json' }
      const out = await browser.ask('/api/v2/logout', { headers })
      expect([out.status, out.text]).toEqual([200, '{"result":"ok"}'])
      const isOver = site === 'same-origin'
      expect((await browser.ask('/services')).status).toBe(isOver ? 303 : 200)
      expect(service().provider.faults.count('/revoke')).toBe(isOver ? 1 : 0)
    }
    expect(await useRefreshToken(service(), token)).toBe(401)
  })

  test('so does another login in the same browser', async () => {
    const browser = await loggedIn()
    const first = await refreshTokenOf(service(), browser)
    await browser.follow('/login/start?provider=iam', 'alice')
    const second = await refreshTokenOf(service(), browser)
    expect(second).not.toBe(first)
    expect(await useRefreshToken(service(), first)).toBe(401)
    expect(await useRefreshToken(service(), second)).toBe(200)
  })

  test.for([
    { kind: 'status', status: 503 },
    { kind: 'status', status: 400 },
    { kind: 'reset' },
    { kind: 'redirect', location: 'http://127.0.0.1:1/' },
  ] as const)('a provider that does not revoke ($kind) keeps nobody here', async (fault) => {
    const browser = await loggedIn()
    const cookie = browser.cookie('tts_session') ?? ''
    const token = await refreshTokenOf(service(), browser)
    const before = service().logged.length
    service().provider.faults.set('/revoke', fault)
    expect(await logOut(browser)).toEqual([303, '/'])
    expect(browser.cookie('tts_session')).toBeUndefined()
    browser.setCookie('tts_session', cookie)
    expect((await browser.ask('/services')).status).toBe(303)
    const lines = service().logged.slice(before)
    expect(lines.filter((line) => line.includes('session.revocation-failed'))).toHaveLength(1)
    expect(service().logged.join('')).not.toContain(token)
  })
})

describe('a session without one', () => {
  const service = useTestService(withLogin())
  test('bothers nobody', async () => {
    const browser = new Browser(service())
    await browser.logIn()
    expect(await logOut(browser)).toEqual([303, '/'])
    expect(service().provider.faults.count('/revoke')).toBe(0)
  })
})

describe('a provider that offers no revocation', () => {
  let service: TestService
  beforeAll(async () => {
    const other = await startIdentityProvider()
    const path = '/.well-known/openid-configuration'
    const document = await (await fetch(new URL(path, other.issuer))).text()
    await other.close()
    const options = withLogin({}, offline)
    service = await startTestService({
      ...options,
      configuration: (idp) => {
        const body = JSON.parse(document.replaceAll(other.issuer, idp.issuer)) as object
        idp.faults.set(path, { kind: 'body', body: { ...body, revocation_endpoint: undefined } })
        if (typeof options.configuration !== 'function') throw new TypeError('no configuration')
        return options.configuration(idp)
      },
    })
  })
  afterAll(async () => service?.stop())

  test('is not asked for it', async () => {
    const browser = new Browser(service)
    await browser.logIn()
    expect(await refreshTokenOf(service, browser)).not.toBe('')
    expect(await logOut(browser)).toEqual([303, '/'])
    expect(service.provider.faults.count('/revoke')).toBe(0)
    expect(service.logged.join('')).not.toContain('session.revocation-failed')
  })
})

describe('the end of a session with more logins', () => {
  const login = (providerId: string): SessionLogin => ({
    providerId,
    issuer: `https://${providerId}.example.org/`,
    sub: 'alice',
    accessToken: 'a',
    expiresAtMs: 0,
    refreshToken: `of ${providerId}`,
  })
  const at = new Date('2026-11-23T12:00:00Z')

  async function end(stored: StoredSession | undefined, failing?: string): Promise<string[]> {
    const steps: string[] = []
    const dependencies = {
      site: {
        now: () => at,
        issuing: {
          store: {
            sessions: {
              find: async () => stored,
              end: async () => void steps.push('off the records'),
            },
          },
        },
      },
      client: {
        revoke: async ({ providerId }: SessionLogin) => {
          if (providerId === failing) throw new TtsError('provider_unavailable', 'down')
          steps.push(providerId)
        },
      },
    } as unknown as EndingDependencies
    await endSession(dependencies, 'an id', createLog({ level: 'silent', name: 'test' }))
    return steps
  }
  const stored: StoredSession = {
    idDigest: 'x',
    createdAt: at,
    lastUsedAt: at,
    endsAt: at,
    content: {
      login: login('iam'),
      displayName: 'Alice',
      additionalLogins: [login('egi'), login('other')],
      pending: undefined,
    },
  }

  test('is on record before any provider is asked', async () => {
    expect(await end(stored)).toEqual(['off the records', 'iam', 'egi', 'other'])
  })
  test('is told to the others when one fails', async () => {
    expect(await end(stored, 'iam')).toEqual(['off the records', 'egi', 'other'])
  })
  test('is the end also when nothing is known of it', async () => {
    expect(await end(undefined)).toEqual(['off the records'])
  })
})
