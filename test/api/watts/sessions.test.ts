/**
 * How a session of the web page stands in for a bearer token: with sessions that the test makes up, on the real routes.
 */
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type ErrorRequestHandler } from 'express'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { toTtsError } from '../../../src/api/problem.ts'
import { sendWattsError } from '../../../src/api/watts/answers.ts'
import type { WattsSession, WattsSessions } from '../../../src/api/watts/caller.ts'
import { wattsRoutes } from '../../../src/api/watts/routes.ts'
import { createLog } from '../../../src/base/log.ts'
import { cliOrigin, operatorRecord } from '../../../src/domain/operator-audit.ts'
import { useTestService } from '../../support/service.ts'
import { errorText, executable, json, misbehaving, wattsService, wire } from './support.ts'

const everybody = [{ provider: 'any', claims: { sub: { any: true } } }]
const service = useTestService(
  wattsService({
    info: { plugin: 'info', authz: { allow: everybody } },
    login: executable(misbehaving('wants-login.py')),
  }),
)

let server: Server
let url = ''
const ended: string[] = []
/** By the value of a header, which stands for the cookie here. */
const sessions: WattsSessions = {
  async sessionOf(request): Promise<WattsSession | undefined> {
    const who = request.get('x-test-session')
    if (who === undefined) return undefined
    const { verifier } = service().running.service
    if (who === 'rsp') {
      const verified = await verifier.verify(service().token())
      const token = { ...verified, providerId: 'rsp-site', issuer: 'rsp-site', sub: 'their user' }
      return { token, evidence: { relyingUser: token }, displayName: '', accessToken: undefined }
    }
    const accessToken = service().token('alice')
    const additionalTokens = who === 'twice' ? [service().token('bob')] : []
    const evidence = { token: accessToken, additionalTokens }
    return {
      token: await verifier.verify(accessToken),
      evidence,
      displayName: 'Alice',
      accessToken,
    }
  },
  async end(_request, response) {
    ended.push('session')
    response.setHeader('set-cookie', 'session=; Max-Age=0')
  },
  loginPath: (providerId) => `/login${providerId === undefined ? '' : `?provider=${providerId}`}`,
}

beforeAll(async () => {
  const { service: parts } = service().running
  const app = express()
  const log = createLog({ level: 'silent', name: 'test' })
  app.use((_request, response, next) => {
    const origin = { requestId: 'test', address: '127.0.0.1', interface: 'native' }
    response.locals['context'] = {
      id: 'test',
      log,
      origin,
      signal: AbortSignal.timeout(10_000),
      admitted: { waiting: () => () => undefined, release: () => undefined },
      bodyTimeoutMs: 10_000,
    }
    next()
  })
  const metrics = { credentialIssued: () => undefined } as never
  app.use(
    '/api',
    wattsRoutes({
      issuing: parts.issuing,
      credentials: parts,
      metrics,
      settings: parts.loaded.configuration.watts,
      sessions,
      publicUrl: 'https://tts.example.org/',
      requestTimeoutMs: 10_000,
      maxBodyBytes: 65_536,
    }),
  )
  const problems: ErrorRequestHandler = (error: unknown, _request, response, _next) => {
    sendWattsError(response, toTtsError(error))
  }
  app.use(problems)
  server = createServer(app).listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
})
afterAll(() => server.close())

const as = (who: string, more: Record<string, string> = {}) => ({ 'x-test-session': who, ...more })
const post = (who: string, name: string) =>
  wire(`${url}/api/v2/credential`, {
    method: 'POST',
    headers: as(who, json),
    body: JSON.stringify({ service_id: name }),
  })

describe('a session', () => {
  test('with another login that is banned is refused', async () => {
    const { store, issuing } = service().running.service
    const { issuer } = service().provider
    const { sub } = service().provider.user('bob')
    const target = { kind: 'identity', issuer: issuer.replace(/\/$/, ''), sub } as const
    const audit = operatorRecord({
      at: new Date(),
      event: 'ban.added',
      origin: cliOrigin,
      detail: 'ban',
    })
    const about = { reason: 'why', createdAt: new Date(), createdBy: 'cli', liftedAt: undefined }
    await store.bans.add({ id: 'ban', target, ...about }, audit)
    const read = async () => issuing.bans.requireNotBanned({ ...target, claims: undefined })
    await expect.poll(async () => read().then(() => '', String)).toContain('banned')
    const message = 'the operator of this service has banned you, or your group'
    expect(errorText(await post('twice', 'login'), 400)).toBe(message)
    expect((await post('once', 'login')).status).toBe(303)
    await store.bans.lift('ban', new Date(), audit)
    await expect.poll(async () => read().then(() => 'lifted', String)).toBe('lifted')
  })

  test('wins over the header', async () => {
    const headers = as('once', { authorization: 'Bearer nonsense' })
    expect((await wire(`${url}/api/v2/service`, { headers })).status).toBe(200)
  })

  test('is of the provider that the path names', async () => {
    expect((await wire(`${url}/api/v2/iam/service`, { headers: as('once') })).status).toBe(200)
    errorText(await wire(`${url}/api/v2/rsp-x/service`, { headers: as('once') }), 401)
  })

  test('GET info, GET access_token, GET logout', async () => {
    expect((await wire(`${url}/api/v2/info`, { headers: as('once') })).json()).toMatchObject({
      redirect_path: '/login',
      logged_in: true,
      display_name: 'Alice',
      issuer_id: 'iam',
    })
    const answer = await wire(`${url}/api/v2/access_token`, { headers: as('once') })
    expect(answer.json()).toEqual({
      access_token:
        service().token('alice').split('.')[0] === undefined ? '' : (expect.any(String) as string),
      issuer: service().provider.issuer,
      subject: service().provider.user('alice').sub,
      issuer_id: 'iam',
    })
    expect(answer.header('cache-control')).toBe('no-cache, no-store')
    const out = await wire(`${url}/api/v2/logout`, { headers: as('once') })
    expect([out.json(), out.header('set-cookie'), ended]).toEqual([
      { result: 'ok' },
      'session=; Max-Age=0',
      ['session'],
    ])
  })

  test('what it asks for is listed as of the web app; the address has the configured host', async () => {
    const answer = await post('once', 'info')
    expect(answer.header('location')).toMatch(
      /^https:\/\/tts\.example\.org\/api\/v2\/iam\/credential_data\/[\w-]{22}$/,
    )
    const list = (await wire(`${url}/api/v2/credential`, { headers: as('once') })).json()[
      'credential_list'
    ] as { interface: string }[]
    expect(list[0]?.interface).toBe('Web App')
  })

  test('a plugin that wants another login: oidc_login at the pick-up, and then it goes on', async () => {
    const pickUp = async (who: string) => {
      const { pathname } = new URL((await post(who, 'login')).header('location') ?? '')
      return (await wire(`${url}${pathname}`, { headers: as(who) })).json()
    }
    expect(await pickUp('once')).toEqual({
      result: 'oidc_login',
      oidc_login: { provider: 'egi', url: '/login?provider=egi', msg: 'log in there too' },
    })
    expect(await pickUp('twice')).toMatchObject({
      result: 'ok',
      credential: { entries: [{ value: service().provider.user('bob').sub }] },
    })
  })
})

test('who was sent by a relying service has empty lists, and asks under its rules', async () => {
  const get = async (type: string) =>
    (await wire(`${url}/api/v2/${type}`, { headers: as('rsp') })).json()
  expect(await get('service')).toEqual({ service_list: [] })
  expect((await post('rsp', 'info')).status).toBe(303)
  expect(await get('credential')).toEqual({ credential_list: [] })
  expect(errorText(await post('rsp', 'proxy'), 400)).toBe('you are not allowed to use this service')
  errorText(await wire(`${url}/api/v2/access_token`, { headers: as('rsp') }), 401)
})
