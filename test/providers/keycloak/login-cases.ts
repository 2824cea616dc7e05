/** Renewal without the person: delegations of the service, and certcache with its own client. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { approveDevice, approveLogin } from '../../support/keycloak-pages.ts'
import type { Keycloak } from '../../support/keycloak.ts'
import { programPath, runToEnd, type Started, startProgram } from '../../support/programs.ts'
import { AUDIENCE } from '../../support/service.ts'
import {
  eventually,
  realClock,
  settingsIn,
  startEngine,
  temporaryDirectory,
} from '../../certcache/engine-support.ts'
import { judge } from '../../../src/certcache/status.ts'
import { ask } from '../requests.ts'
import { useRealm, useService } from './support.ts'

const certcache = programPath('src/certcache/main.ts')

interface MadeDelegation {
  readonly id: string
  readonly renewal_secret: string
  readonly renews_until: string
}

/**
 * Nothing but the warning that so long a `--valid` renews each time, which is what these cases want. It is left out
 * when the proxy is made within the same second.
 */
const renewed = {
  code: 0,
  err: expect.stringMatching(
    /^(certcache: warning: --valid 4 days is longer than the new proxy gwms_proxy is valid [^\n]+\n)?$/,
  ) as string,
}

export function loginCases(keycloak: () => Keycloak): void {
  const realm = useRealm(keycloak, 'logins')

  describe('a delegation', () => {
    const service = useService(realm, { delegation: { scopes: ['openid', 'profile'] } })

    test('renews as long as the session lives, and not while the user is disabled', async () => {
      const { access_token } = await realm().logIn()
      const created = await ask(service(), access_token, '/v1/delegations')
      expect(created).toMatchObject({ status: 201 })
      const made = JSON.parse(created.text) as MadeDelegation
      const minutes = (Date.parse(made.renews_until) - Date.now()) / 60_000
      expect(minutes).toBeGreaterThan(20)
      expect(minutes).toBeLessThanOrEqual(30)
      const renew = () => ask(service(), made.renewal_secret, `/v1/delegations/${made.id}/proxies`)
      expect(await renew()).toMatchObject({ status: 200 })
      const user = `/users/${await realm().userKey('alice')}`
      await realm().change(user, { enabled: false })
      try {
        expect(await renew()).toMatchObject({ check: 'user_disabled' })
      } finally {
        await realm().change(user, { enabled: true })
      }
      expect(await renew()).toMatchObject({ status: 200 })
    })

    test('is refused for a token of an offline session', async () => {
      const { access_token } = await realm().logIn({ scope: 'openid offline_access' })
      expect(await ask(service(), access_token, '/v1/delegations')).toMatchObject({
        check: 'offline_access_refused',
      })
    })
  })

  describe('certcache with nothing but a token', () => {
    const service = useService(realm, { delegation: {} })
    const ownClient = () => ({
      issuer: realm().issuer,
      profile: 'keycloak',
      client_id: realm().tts.id,
      client_secret: realm().tts.secret,
    })

    test.for([
      { kind: 'delegation', source: () => ({}) },
      { kind: 'refresh', source: ownClient },
    ])('renews by $kind before the session ends, and says when', async ({ kind, source }) => {
      const { access_token: token } = await realm().logIn()
      const directory = await temporaryDirectory()
      const settings = await settingsIn(directory, {
        service: { url: service().url },
        source: { token, ...source() },
      })
      // The clock goes ahead by hand.
      let aheadMs = 0
      const clock = { ...realClock, now: () => new Date(Date.now() + aheadMs) }
      const { engine } = await startEngine(settings, { clock })
      const proxy = await engine.obtain(undefined, AbortSignal.timeout(30_000))
      const minutesTo = (date: Date | undefined) =>
        ((date?.getTime() ?? 0) - proxy.obtainedAt.getTime()) / 60_000

      const before = engine.status()
      expect(before.source.kind).toBe(kind)
      expect(minutesTo(before.source.renewsUntil)).toBeLessThanOrEqual(31)
      const next = minutesTo(before.proxies[0]?.nextAttemptAt)
      expect(next).toBeGreaterThan(10)
      expect(next).toBeLessThanOrEqual(15.5)
      const { condition, reasons } = judge(before, { now: new Date(), warnBelowSeconds: 0 })
      expect(condition).toBe('warning')
      expect(reasons.join()).toMatch(/^Renewal ends in (2\d|30) minutes/)

      aheadMs = 16 * 60_000
      await eventually(() => engine.current()?.pem.equals(proxy.pem) === false)
      expect(engine.status().source.ended).toBeUndefined()
    })
  })

  describe('the web page', () => {
    const service = useService(realm)

    test('logs a user in', async () => {
      await realm().change(`/clients/${await realm().clientKey(realm().tts.id)}`, {
        standardFlowEnabled: true,
        redirectUris: [`${service().url}/login/callback`],
      })
      const start = `${service().url}/login/start?provider=keycloak`
      const { url, words } = await approveLogin(start, 'alice')
      expect(new URL(url).origin).toBe(service().url)
      expect(words).toContain('alice')
    })
  })

  describe('certcache with its own client', () => {
    // Otherwise the access token of the login is valid for five minutes more.
    const service = useService(realm, { introspect: 'always', introspection_cache_seconds: 0 })
    let directory: string
    const running: Started[] = []
    beforeAll(async () => {
      directory = mkdtempSync(join(tmpdir(), 'certcache-keycloak-'))
      await realm().createPublicClient('certcache', {
        redirectUris: ['http://127.0.0.1/callback'],
        attributes: { 'oauth2.device.authorization.grant.enabled': 'true' },
      })
    })
    afterEach(() => {
      for (const { child } of running) child.kill('SIGKILL')
    })
    afterAll(() => rmSync(directory, { recursive: true, force: true }))

    const settingsOf = (name: string): Record<string, string> => {
      const path = join(directory, `${name}.json`)
      const settings = {
        service: { url: service().url },
        source: {
          issuer: realm().issuer,
          profile: 'keycloak',
          client_id: 'certcache',
          audience: AUDIENCE,
        },
        state: { directory: join(directory, name) },
        proxies: { gwms_proxy: { outputs: [{ path: join(directory, `${name}.pem`) }] } },
      }
      writeFileSync(path, JSON.stringify(settings), { mode: 0o600 })
      return { CERTCACHE_CONFIG: path }
    }
    const start = (words: readonly string[], env: Record<string, string>): Started => {
      const started = startProgram(certcache, words, { cwd: directory, env })
      running.push(started)
      return started
    }
    const refresh = (env: Record<string, string>) =>
      runToEnd(certcache, ['refresh', '--valid', '96h'], { cwd: directory, env })

    test('login by device code; a disabled user gets nothing until enabled again', async () => {
      const env = settingsOf('device')
      const login = start(['login'], env)
      const [, verificationUri = ''] = await login.says(/^Open {3}(\S+)$/m)
      const [, userCode = ''] = await login.says(/^and enter {3}(\S+)$/m)
      const page = await approveDevice({ verificationUri, userCode, username: 'alice' })
      expect(page).toContain('Device Login Successful')
      expect(await login.ended, login.stderr()).toBe(0)
      expect(await refresh(env)).toMatchObject(renewed)
      const user = `/users/${await realm().userKey('alice')}`
      await realm().change(user, { enabled: false })
      try {
        expect(await refresh(env)).toMatchObject({
          code: 3,
          err: expect.stringContaining('is disabled, suspended or deleted') as string,
        })
      } finally {
        await realm().change(user, { enabled: true })
      }
      expect(await refresh(env)).toMatchObject(renewed)
    })

    test('login by browser: the redirect URI needs no port', async () => {
      const env = settingsOf('browser')
      const login = start(['login', '--browser'], env)
      const [, url = ''] = await login.says(/^Open in a browser on this machine {3}(\S+)$/m)
      const { text } = await approveLogin(url, 'alice')
      expect(text).toMatch(/^certcache has received the answer/)
      expect(await login.ended, login.stderr()).toBe(0)
      expect(await refresh(env)).toMatchObject(renewed)
    })
  })
}
