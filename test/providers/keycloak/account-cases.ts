/** What ends or interrupts access at Keycloak: disabled users, ended sessions, rotated refresh tokens, new keys. */
import { setTimeout as sleep } from 'node:timers/promises'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  KEY_PROVIDER,
  type KeycloakRealm,
  type KeycloakTokens,
  rsaKey,
} from '../../support/keycloak-realm.ts'
import type { Keycloak } from '../../support/keycloak.ts'
import type { FormAnswer } from '../../support/token-forms.ts'
import { refusalIn } from './exchange-cases.ts'
import { ask } from '../requests.ts'
import { exchange, expectAtMost, REFRESH_TOKEN, refresh, useRealm, useService } from './support.ts'

/** The refresh token of an exchange for a login. */
async function exchangedRefreshToken(
  realm: KeycloakRealm,
  login: KeycloakTokens,
): Promise<string | undefined> {
  const form = { requested_token_type: REFRESH_TOKEN }
  return (await exchange(realm, login.access_token, { form })).body.refresh_token
}

/** The three kinds of refresh tokens that our programs use, each of a login of its own. */
async function refreshTokens(realm: KeycloakRealm) {
  const login = await realm.logIn()
  const offline = await realm.logIn({ scope: 'openid offline_access' })
  return {
    exchanged: await exchangedRefreshToken(realm, await realm.logIn()),
    login: login.refresh_token,
    offline: offline.refresh_token,
  }
}

const kinds = ['exchanged', 'login', 'offline'] as const

const refreshOf = (
  realm: KeycloakRealm,
  kind: (typeof kinds)[number],
  token: string | undefined,
): Promise<FormAnswer> => refresh(realm, token, kind === 'exchanged' ? realm.tts : 'cli')

const dead = (description: string) => ({
  status: 400,
  error: 'invalid_grant',
  description,
  check: 'refresh_token_dead',
})

export function accountCases(keycloak: () => Keycloak): void {
  describe('a disabled user', () => {
    const realm = useRealm(keycloak, 'suspension')
    const service = useService(realm, { introspect: 'always', introspection_cache_seconds: 0 })
    const enable = async (enabled: boolean): Promise<void> =>
      realm().change(`/users/${await realm().userKey('alice')}`, { enabled })

    test('is refused everywhere, and gets everything back when enabled again', async () => {
      const login = await realm().logIn()
      // The service caches a refusal for ten seconds, so this one is not sent while the user is disabled.
      const { access_token: second } = await realm().logIn()
      const tokens = await refreshTokens(realm())
      expect(await ask(service(), login.access_token)).toMatchObject({ status: 200 })

      await enable(false)
      expect(await ask(service(), login.access_token)).toMatchObject({
        status: 401,
        check: 'active',
      })
      for (const kind of kinds)
        expect(refusalIn('refresh', await refreshOf(realm(), kind, tokens[kind])), kind).toEqual({
          status: 400,
          error: 'invalid_grant',
          description: 'User disabled',
          check: 'user_disabled',
        })
      expect(refusalIn('exchange', await exchange(realm(), login.access_token))).toMatchObject({
        description: 'Invalid token',
        check: 'subject_token_refused',
      })

      await enable(true)
      expect(await ask(service(), second)).toMatchObject({ status: 200 })
      for (const kind of kinds)
        expect((await refreshOf(realm(), kind, tokens[kind])).status, kind).toBe(200)
    })
  })

  describe('a session', () => {
    const realm = useRealm(keycloak, 'sessions')

    test('a logout ends the exchanged refresh token', async () => {
      const login = await realm().logIn()
      const token = await exchangedRefreshToken(realm(), login)
      const { refresh_token } = login
      await realm().post('logout', { client_id: 'cli', refresh_token })
      expect(refusalIn('refresh', await refresh(realm(), token))).toEqual(
        dead('Session not active'),
      )
    })

    test('a logout by the administrator ends all sessions, also offline ones', async () => {
      const tokens = await refreshTokens(realm())
      // Offline tokens of the second of the logout live on: Keycloak compares whole seconds.
      await sleep(1100)
      await realm().admin('POST', `/users/${await realm().userKey('alice')}/logout`)
      const descriptions = {
        exchanged: 'Session not active',
        login: 'Session not active',
        offline: 'Stale token',
      }
      for (const kind of kinds)
        expect(refusalIn('refresh', await refreshOf(realm(), kind, tokens[kind])), kind).toEqual(
          dead(descriptions[kind]),
        )
    })

    test('a revocation by us ends our refresh token and leaves the login', async () => {
      const login = await realm().logIn()
      const token = await exchangedRefreshToken(realm(), login)
      const revoked = await realm().post('revoke', { token: token ?? '' }, realm().tts)
      expect(revoked.status).toBe(200)
      expect(refusalIn('refresh', await refresh(realm(), token))).toEqual(
        dead("Session doesn't have required client"),
      )
      expect((await refreshOf(realm(), 'login', login.refresh_token)).status).toBe(200)
    })

    test('refresh tokens live as long as the session may be idle, at most until its end', async () => {
      const lifetimes = { ssoSessionIdleTimeout: 600, ssoSessionMaxLifespan: 3600 }
      await realm().change('', lifetimes)
      const token = await exchangedRefreshToken(realm(), await realm().logIn())
      const secondsLeft = async () => (await refresh(realm(), token)).body['refresh_expires_in']
      expectAtMost(await secondsLeft(), 600)
      await realm().change('', { ...lifetimes, ssoSessionMaxLifespan: 300 })
      expectAtMost(await secondsLeft(), 300)
    })
  })

  describe('rotation of refresh tokens', () => {
    const realm = useRealm(keycloak, 'rotation')

    test.for(kinds)('off (the default): the old one works again: %s', async (kind) => {
      await realm().change('', { revokeRefreshToken: false })
      const first = (await refreshTokens(realm()))[kind]
      const { body } = await refreshOf(realm(), kind, first)
      // Another text, but no rotation.
      expect(body.refresh_token).not.toBe(first)
      for (const token of [first, body.refresh_token])
        expect((await refreshOf(realm(), kind, token)).status).toBe(200)
    })

    test.for(kinds)('on: a second use of the old one ends the new one, too: %s', async (kind) => {
      await realm().change('', { revokeRefreshToken: true, refreshTokenMaxReuse: 0 })
      const first = (await refreshTokens(realm()))[kind]
      const { body } = await refreshOf(realm(), kind, first)
      expect(refusalIn('refresh', await refreshOf(realm(), kind, first))).toEqual(
        dead('Maximum allowed refresh token reuse exceeded'),
      )
      expect(refusalIn('refresh', await refreshOf(realm(), kind, body.refresh_token))).toEqual(
        dead("Session doesn't have required client"),
      )
    })

    test.for(kinds)('on, with one reuse: a lost answer is harmless: %s', async (kind) => {
      await realm().change('', { revokeRefreshToken: true, refreshTokenMaxReuse: 1 })
      const first = (await refreshTokens(realm()))[kind]
      expect((await refreshOf(realm(), kind, first)).status).toBe(200)
      const { status, body } = await refreshOf(realm(), kind, first)
      expect(status).toBe(200)
      expect((await refreshOf(realm(), kind, body.refresh_token)).status).toBe(200)
    })
  })

  describe('new keys', () => {
    const realm = useRealm(keycloak, 'keys')
    const service = useService(realm, { jwks_cooldown_seconds: 1, token_cache_seconds: 0 })
    const token = async (): Promise<string> => (await realm().logIn()).access_token
    const addKey = async (priority: number): Promise<void> => {
      const { id } = (await realm().admin('GET', '')) as { readonly id: string }
      await realm().admin('POST', '/components', {
        ...rsaKey(`rsa-${priority}`, priority),
        parentId: id,
        providerType: KEY_PROVIDER,
      })
    }
    let old: string
    beforeAll(async () => {
      old = await token()
    })

    test('a new active key is fetched; the old one is valid until it is disabled', async () => {
      expect(await ask(service(), old)).toMatchObject({ status: 200 })
      await addKey(200)
      const fresh = await token()
      await expect.poll(async () => (await ask(service(), fresh)).status).toBe(200)
      expect(await ask(service(), old)).toMatchObject({ status: 200 })
    })

    test('a disabled key is refused after the next fetch, not before', async () => {
      await disableKey(realm(), 'rsa-100')
      // Whoever stole the old key is trusted until the keys are fetched again.
      expect(await ask(service(), old)).toMatchObject({ status: 200 })
      await addKey(300)
      const fresh = await token()
      await expect.poll(async () => (await ask(service(), fresh)).status).toBe(200)
      // 503 while the keys cannot be fetched again.
      const answer = expect.poll(async () => ask(service(), old))
      await answer.toMatchObject({ status: 401, check: 'key' })
    })
  })
}

async function disableKey(realm: KeycloakRealm, name: string): Promise<void> {
  const components = (await realm.admin('GET', `/components?type=${KEY_PROVIDER}`)) as readonly {
    readonly id: string
    readonly name: string
    readonly config: Record<string, unknown>
  }[]
  const component = components.find((each) => each.name === name)
  if (component === undefined) throw new Error(`no key provider ${name}`)
  await realm.admin('PUT', `/components/${component.id}`, {
    ...component,
    config: { ...component.config, enabled: ['false'], active: ['false'] },
  })
}
