import { decodeJwt } from 'jose'
import { beforeEach, describe, expect, test, vi } from 'vitest'
import type { DeviceLogin } from '../../src/grants/grant.ts'
import { answerDevice } from '../support/device-person.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, clientAt, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()
const signal = calm()

beforeEach(() => {
  provider().tokens.deviceIntervalSeconds = 0.005
})

const start = async (timeoutMs?: number): Promise<DeviceLogin> =>
  clientAt(provider(), { ...(timeoutMs !== undefined && { timeoutMs }) }).startDevice({
    audience: 'https://tts',
    scopes: SCOPES,
    signal,
  })

const answer = async ({ verificationUri, userCode }: DeviceLogin, agrees = true) =>
  answerDevice({ verificationUri, userCode, username: 'alice', agrees })

const waitLong = { timeout: 60_000 }

describe('a login on another device (RFC 8628)', () => {
  test('is waited for, and gives a refresh token that works', async () => {
    const before = Date.now()
    const login = await start()
    const after = Date.now()
    expect(login.verificationUri).toBe(`${provider().issuer}device`)
    expect(login.verificationUriComplete).toContain(login.userCode)
    expect(login.expiresAt.getTime()).toBeGreaterThanOrEqual(before + 599_000)
    expect(login.expiresAt.getTime()).toBeLessThanOrEqual(after + 600_000)

    const waiting = login.wait(signal)
    await vi.waitFor(() => expect(provider().faults.count('/token')).toBeGreaterThan(1), waitLong)
    await answer(login)
    const granted = await waiting
    expect(decodeJwt(granted.accessToken)).toMatchObject({
      aud: 'https://tts',
      client_id: 'certcache',
    })
    const { refreshToken = '' } = granted
    const request = { refreshToken, audience: undefined, signal }
    expect((await clientAt(provider()).refresh(request)).refreshToken).not.toBe(refreshToken)
  })

  test('works where exchange gives no offline access (Keycloak)', async () => {
    provider().tokens.offlineAccessByExchange = 'refused'
    const login = await start()
    await answer(login)
    expect((await login.wait(signal)).refreshToken).toEqual(expect.any(String))
  })

  test('goes on while the provider is away for a moment', async () => {
    const login = await start(100)
    provider().faults.set('/token', { kind: 'status', status: 503 })
    const waiting = login.wait(signal)
    await vi.waitFor(() => expect(provider().faults.count('/token')).toBeGreaterThan(1), waitLong)
    provider().faults.set('/token', { kind: 'hang' })
    const before = provider().faults.count('/token')
    await vi.waitFor(
      () => expect(provider().faults.count('/token')).toBeGreaterThan(before + 1),
      waitLong,
    )
    provider().faults.clear()
    await answer(login)
    expect((await waiting).refreshToken).toEqual(expect.any(String))
  })

  test('declined: device_denied', async () => {
    const login = await start()
    const waiting = refusalOf(login.wait(signal))
    await answer(login, false)
    expect((await waiting).error).toMatchObject({ code: 'grant_refused', check: 'device_denied' })
  })

  test('not answered in time: device_expired, by the provider or by ourselves', async () => {
    const login = await start()
    provider().faults.set('/token', {
      kind: 'body',
      status: 400,
      body: { error: 'expired_token' },
    })
    const told = await refusalOf(login.wait(signal))
    provider().faults.clear()
    provider().faults.set('/devicecode', {
      kind: 'body',
      body: {
        device_code: 'x',
        user_code: 'X',
        verification_uri: `${provider().issuer}device`,
        expires_in: 0.05,
        interval: 0.005,
      },
    })
    provider().faults.set('/token', {
      kind: 'body',
      status: 400,
      body: { error: 'authorization_pending' },
    })
    const ours = await refusalOf((await start()).wait(signal))
    for (const { error } of [told, ours]) {
      expect(error).toMatchObject({ code: 'grant_refused', check: 'device_expired' })
    }
  })

  test('given up by the caller', async () => {
    const login = await start()
    const { error } = await refusalOf(login.wait(AbortSignal.timeout(20)))
    expect(error.code).toBe('provider_unavailable')
  })

  test('a suspended user gets nothing', async () => {
    const login = await start()
    await answer(login)
    provider().tokens.suspension = 'everywhere'
    provider().user('alice').suspended = true
    expect((await refusalOf(login.wait(signal))).error.code).toBe('grant_refused')
  })

  test('a provider without device endpoint', async () => {
    const { issuer } = provider()
    const body = { issuer, token_endpoint: `${issuer}token` }
    provider().faults.set('/.well-known/openid-configuration', { kind: 'body', body })
    const { error } = await refusalOf(start())
    expect(error).toMatchObject({ code: 'grant_refused', check: 'grant_not_enabled' })
  })
})
