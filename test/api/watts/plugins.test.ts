/** Programs as plugins of the running service: what they are told, what their misbehaviour costs, and revocation. */
import { readFile } from 'node:fs/promises'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { useTestService } from '../../support/service.ts'
import { ask, everythingSaid, problemOf } from '../support.ts'
import {
  as,
  cms,
  errorText,
  executable,
  get,
  listed,
  misbehaving,
  obtain,
  post,
  program,
  remove,
  serviceLine,
  wattsService,
  wire,
} from './support.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-test-watts-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const journal = join(directory, 'journal')

const service = useTestService(
  wattsService(
    {
      guest: executable(program('account.py'), { conf_params: { journal } }),
      token: executable(misbehaving('echoes.py'), {
        pass_access_token: true,
        allow_same_state: true,
      }),
      stubborn: executable(program('account.py'), { conf_params: { stubborn: true } }),
      slow: executable(program('account.py'), {
        conf_params: { sleep: '0.3' },
        maximum_waiting: 1,
      }),
      same: executable(misbehaving('echoes.py'), { allow_same_state: true }),
      unique: executable(misbehaving('echoes.py')),
      crashes: executable(misbehaving('crashes.py')),
      floods: executable(misbehaving('floods-stdout.py'), { maximum_output_bytes: 65_536 }),
      hangs: executable(misbehaving('hangs.sh'), { timeout_seconds: 2 }),
      half: executable(misbehaving('prints-half.py')),
      refuses: executable(misbehaving('refuses.py')),
      odd: executable(misbehaving('wrong-result.sh')),
      login: executable(misbehaving('wants-login.py')),
      broken: executable(misbehaving('parameter-errs.sh')),
      absent: executable('/nonexistent/plugin', {}, { authz: { allow: cms, tooltip: 'soon' } }),
      insecure: executable(misbehaving('argument-only.sh')),
    },
    { limits: { request_timeout_seconds: 5 } },
  ),
)

describe('6. what a program is told', () => {
  test('request: who asks, as verified; no access token unless the settings pass it on', async () => {
    const { entries } = await obtain(service(), { service: 'guest', params: { label: 'x' } })
    const asked = JSON.parse(entries.find(({ name }) => name === 'Asked')?.value ?? '') as Record<
      string,
      unknown
    >
    const { sub } = service().provider.user('alice')
    const { issuer } = service().provider
    const id = `{"issuer":"${issuer.replaceAll('/', '\\/')}","subject":"${sub}"}`
    expect(asked).toMatchObject({
      watts_version: '1.0.0',
      action: 'request',
      cred_state: 'undefined',
      conf_params: { journal, stubborn: false, sleep: '0' },
      params: { label: 'x' },
      watts_userid: Buffer.from(id).toString('base64url'),
      user_info: { iss: issuer, sub, groups: service().provider.user('alice').groups },
      additional_logins: [],
    })
    expect(asked).not.toHaveProperty('access_token')
    expect(await serviceLine(service(), 'guest')).toMatchObject({ pass_access_token: false })
  })

  test('with pass_access_token: the token that came, which is in no log', async () => {
    const token = service().token()
    const redirect = await wire(`${service().url}/api/v2/iam/credential`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: '{"service_id":"token"}',
    })
    const picked = await wire(redirect.header('location') ?? '', { headers: as(service()) })
    const { credential } = picked.json() as { credential: { entries: { value: string }[] } }
    expect(JSON.parse(credential.entries[0]?.value ?? '')).toMatchObject({ access_token: token })
    expect(await everythingSaid(service())).not.toContain(token)
    expect(await serviceLine(service(), 'token')).toMatchObject({ pass_access_token: true })
  })
})

describe('4. what a program that misbehaves costs its caller, and nobody else', () => {
  const hadError = 'the plugin had an error, please contact the administrator'
  const badResult = 'the plugin returned a bad result, please contact the administrator'
  test.for([
    { name: 'crashes', status: 400, says: hadError },
    { name: 'floods', status: 400, says: hadError },
    { name: 'half', status: 400, says: hadError },
    { name: 'hangs', status: 504, says: 'the plugin timed out, please inform the administrator' },
    { name: 'odd', status: 400, says: badResult },
    { name: 'refuses', status: 400, says: 'you have no account here, nobody' },
    { name: 'login', status: 400, says: 'login is required, please use the web interface' },
  ])('$name: $status, $says', async ({ name, status, says }) => {
    const [answer, ...others] = await Promise.all([
      post(service(), { service: name }),
      obtain(service(), { service: 'x509', params: { lifetime_seconds: 3600 } }),
      obtain(service(), { service: 'guest' }),
    ])
    expect(errorText(answer, status)).toBe(says)
    expect(others.map(({ entries }) => entries.length)).toEqual([4, 3])
    // The refusal is on record, in the program's own words where it had some.
    const [line] = await service().running.service.store.listAudit({ outcome: 'refused', limit: 1 })
    expect(line).toMatchObject({ event: 'credential.refused', serviceId: name })
  })

  test('a queue that is full is 503 with Retry-After, at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 4 }, () => post(service(), { service: 'slow' })),
    )
    const full = answers.filter(({ status }) => status === 503)
    expect(answers.map(({ status }) => status).filter((status) => status === 303)).toHaveLength(2)
    expect(full).toHaveLength(2)
    expect(errorText(full[0]!, 503)).toMatch(/^too many requests wait/)
    expect(Number(full[0]?.header('retry-after'))).toBeGreaterThan(0)
  })

  test.for([
    { name: 'broken', tooltip: /cannot be used: / },
    { name: 'insecure', tooltip: /cannot be used: it reads requests from its argument/ },
    { name: 'absent', tooltip: /cannot be used: / },
  ])(
    '$name at the start: the service is disabled, with its reason, and no other',
    async ({ name, tooltip }) => {
      const line = await serviceLine(service(), name)
      expect(line).toMatchObject({ enabled: false, authorized: true, params: [] })
      expect(line?.['authz_tooltip']).toMatch(tooltip)
      expect(errorText(await post(service(), { service: name }), 400)).toBe(
        'the service you tried to use is disabled',
      )
      expect(service().logged.join('')).toMatch(new RegExp(`"plugin.disabled"|plugin disabled`))
    },
  )
})

test('what a program says for the log at its start is in the log alone', async () => {
  const line = await serviceLine(service(), 'broken')
  expect(line?.['authz_tooltip']).toBe(
    'the plugin of this service cannot be used: the plugin says: sorry',
  )
  const said = 'the key of the CA is missing'
  expect(service().logged.join('')).toContain(said)
  expect((await get(service(), '/api/v2/iam/service')).text).not.toContain(said)
})

describe('4. states', () => {
  test('a state used twice', async () => {
    const { id } = await obtain(service(), { service: 'unique' })
    const answer = await post(service(), { service: 'unique' })
    expect(errorText(answer, 400)).toBe(
      'the service did not return a unique state, contact the administrator',
    )
    // The same state of another user is another matter, and so it is once the first is gone.
    const member = service().token('bob', { groups: ['cms'] })
    const other = await wire(`${service().url}/api/v2/iam/credential`, {
      method: 'POST',
      headers: { authorization: `Bearer ${member}`, 'content-type': 'application/json' },
      body: '{"service_id":"unique"}',
    })
    expect(other.status, other.text).toBe(303)
    await service().running.service.store.revoke({
      credentialId: id,
      reason: 'unspecified',
      at: new Date(),
      origin: { requestId: 't', address: 't', interface: 't' },
    })
    expect((await post(service(), { service: 'unique' })).status).toBe(303)
  })

  test('allow_same_state: the existing credential is meant again', async () => {
    const [one, other] = [
      await obtain(service(), { service: 'same' }),
      await obtain(service(), { service: 'same' }),
    ]
    expect(one.id).toBe(other.id)
    expect((await listed(service())).filter((id) => id === one.id)).toHaveLength(1)
    expect(await serviceLine(service(), 'same')).toMatchObject({ cred_count: 1 })
  })

  test('allow_same_state, at once', async () => {
    const member = service().token('bob', { groups: ['cms'], sub: 'at-once' })
    const headers = { authorization: `Bearer ${member}`, 'content-type': 'application/json' }
    const picked = await Promise.all(
      [1, 2, 3].map(async () => {
        const redirect = await wire(`${service().url}/api/v2/iam/credential`, {
          method: 'POST',
          headers,
          body: '{"service_id":"same"}',
        })
        return (
          await wire(redirect.header('location') ?? '', {
            headers: { authorization: headers.authorization },
          })
        ).json() as { credential: { id: string } }
      }),
    )
    expect(new Set(picked.map(({ credential }) => credential.id)).size).toBe(1)
  })
})

describe('revoke', () => {
  const lines = async (): Promise<[string, Record<string, unknown>][]> =>
    (await readFile(journal, 'utf8').catch(() => ''))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as [string, Record<string, unknown>])

  test('DELETE: the program gets its state back, once', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    const state = (await service().running.service.store.findCredential(id))?.pluginState
    const answers = await Promise.all([remove(service(), id), remove(service(), id)])
    expect(answers.map(({ status }) => status).toSorted((one, other) => one - other)).toEqual([
      200,
      expect.any(Number) as number,
    ])
    const calls = (await lines()).filter(([each]) => each === state)
    expect(calls).toHaveLength(1)
    expect(calls[0]?.[1]).toMatchObject({
      sub: service().provider.user('alice').sub,
      groups: ['cms', 'cms/production'].filter((group) =>
        service().provider.user('alice').groups.includes(group),
      ),
    })
    errorText(await remove(service(), id), 404)
  })

  test('a program that refuses: 500 with its words, and the record stays', async () => {
    const { id } = await obtain(service(), { service: 'stubborn' })
    expect(errorText(await remove(service(), id), 500)).toBe('the account is in use')
    expect(await listed(service())).toContain(id)
    const problem = await problemOf(
      await ask(service(), `/v1/credentials/${id}`, { method: 'DELETE' }),
    )
    expect(problem).toMatchObject({
      status: 403,
      code: 'access_denied',
      detail: 'the account is in use',
    })
    expect((await service().running.service.store.findCredential(id))?.revokedAt).toBeUndefined()
  })

  test('DELETE /v1/credentials/<id> asks the program too', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    const before = (await lines()).length
    const response = await ask(service(), `/v1/credentials/${id}`, { method: 'DELETE' })
    expect(await response.json()).toEqual({
      id,
      end_entity_serial: null,
      newly_revoked: true,
      affected: [id],
    })
    expect(await lines()).toHaveLength(before + 1)
    const again = await ask(service(), `/v1/credentials/${id}`, { method: 'DELETE' })
    expect(await again.json()).toMatchObject({ newly_revoked: false })
    expect(await lines()).toHaveLength(before + 1)
  })

  test('GET /v1/credentials/<id> of a program: no serial, no end', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    const response = await ask(service(), `/v1/credentials/${id}`, { method: 'GET' })
    expect(await response.json()).toMatchObject({
      service: 'guest',
      not_after: null,
      end_entity_serial: null,
      interface: 'watts',
    })
    await remove(service(), id)
  })
})

test('the list of services names no command, path or setting of a program', async () => {
  const { text } = await get(service(), '/api/v2/iam/service')
  expect(text).not.toContain(journal)
  expect(text).not.toContain(program('account.py'))
})
