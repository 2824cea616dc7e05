/** WaTTS's endpoints, a test per row of section 3 of the contract. */
import { describe, expect, test } from 'vitest'
import { useTestService } from '../../support/service.ts'
import {
  as,
  errorText,
  executable,
  get,
  json,
  listed,
  obtain,
  post,
  program,
  remove,
  serviceLine,
  wattsService,
  wire,
} from './support.ts'

const everybody = [{ provider: 'any', claims: { sub: { any: true } } }]
const nobody = [{ provider: 'any', claims: { nothing: { equals: 'x' } } }]

const service = useTestService(
  wattsService(
    {
      guest: executable(
        program('account.py'),
        {},
        { priority: 2, credential_limit: 2, description: 'Guest accounts' },
      ),
      second: { plugin: 'info', priority: 1, authz: { allow: everybody } },
      third: { plugin: 'info', authz: { allow: everybody } },
      secret: { plugin: 'info', authz: { allow: nobody, hide: true } },
      closed: { plugin: 'info', authz: { allow: nobody, tooltip: 'ask the helpdesk' } },
      off: { plugin: 'info', enabled: false, authz: { allow: everybody } },
      offlimits: { plugin: 'info', enabled: false, authz: { allow: nobody, hide: true } },
    },
    {
      providers: {
        down: { issuer: 'http://127.0.0.1:9/down', audiences: ['x'], description: 'Out of order' },
      },
    },
  ),
)

describe('GET oidcp', () => {
  test('v2: id, desc, priority, ready, issuer; no token wanted', async () => {
    const { issuer } = service().provider
    const answer = await wire(`${service().url}/api/v2/oidcp`)
    expect(answer.json()).toEqual({
      openid_provider_list: [
        { id: 'iam', desc: 'iam', priority: 1, ready: true, issuer },
        {
          id: 'down',
          desc: 'Out of order',
          priority: 2,
          ready: false,
          issuer: 'http://127.0.0.1:9/down',
        },
      ],
    })
  })

  test('v1: the ready ones, id and issuer', async () => {
    const { issuer } = service().provider
    const answer = await wire(`${service().url}/api/v1/oidcp`)
    expect(answer.json()).toEqual({ openid_provider_list: [{ id: 'iam', issuer }] })
  })
})

test('GET info, GET logout: no token wanted', async () => {
  const info = await wire(`${service().url}/api/v2/info`)
  expect(info.json()).toMatchObject({
    error: '',
    logged_in: false,
    display_name: '',
    issuer_id: '',
  })
  expect(Object.keys(info.json())).toEqual([
    'version',
    'redirect_path',
    'error',
    'logged_in',
    'display_name',
    'issuer_id',
    'user_documentation',
    'code_documentation',
  ])
  expect((await wire(`${service().url}/api/v2/logout`)).json()).toEqual({ result: 'ok' })
})

test('GET access_token: a bearer gets 401', async () => {
  expect(errorText(await get(service(), '/api/v2/iam/access_token'), 401)).toMatch(/^invalid token/)
})

describe('GET service', () => {
  test('v2: sorted by priority, then id; hidden ones left out', async () => {
    const list = async (username: string) =>
      (
        (await get(service(), '/api/v2/iam/service', username)).json()['service_list'] as {
          id: string
        }[]
      ).map(({ id }) => id)
    expect(await list('alice')).toEqual([
      'second',
      'guest',
      'closed',
      'off',
      'proxy',
      'third',
      'x509',
    ])
    expect(await list('bob')).toEqual([
      'second',
      'guest',
      'closed',
      'off',
      'proxy',
      'third',
      'x509',
    ])
  })

  test('v2: the keys of a service', async () => {
    const own = (key: string, mandatory: boolean) => ({
      key,
      name: `${key[0]?.toUpperCase()}${key.slice(1)}`,
      description: 'of the account',
      type: 'textarea',
      mandatory,
    })
    expect(await serviceLine(service(), 'guest', 'bob')).toEqual({
      id: 'guest',
      description: 'Guest accounts',
      enabled: true,
      cred_count: 0,
      cred_limit: 2,
      limit_reached: false,
      // Each set from its last parameter to its first, as the old server listed them.
      params: [[own('note', false), own('label', true)], [own('other', false)], []],
      authorized: false,
      authz_tooltip: '',
      pass_access_token: false,
    })
    expect(await serviceLine(service(), 'third')).toMatchObject({
      cred_limit: 10_000,
      limit_reached: false,
      params: [[]],
      authorized: true,
    })
    expect(await serviceLine(service(), 'closed')).toMatchObject({
      authorized: false,
      authz_tooltip: 'ask the helpdesk',
    })
    expect(await serviceLine(service(), 'off')).toMatchObject({ enabled: false, authorized: true })
  })

  test('v2: what built-in plugins take', async () => {
    const params = (await serviceLine(service(), 'proxy'))?.['params'] as {
      key: string
      type: string
      mandatory: boolean
    }[][]
    expect(params).toHaveLength(1)
    expect(params[0]?.map(({ key }) => key)).toEqual([
      'lifetime_seconds',
      'proxy_type',
      'path_length',
      'key_type',
      'key_format',
      'csr',
    ])
    expect(params[0]?.at(-1)).toMatchObject({ key: 'csr', type: 'textarea', mandatory: false })
  })

  test('v1: id, type "none", host "localhost", port "1234"', async () => {
    const { service_list: list } = (await get(service(), '/api/v1/iam/service')).json() as {
      service_list: object[]
    }
    expect(list[0]).toEqual({ id: 'second', type: 'none', host: 'localhost', port: '1234' })
  })

  test('v2: counts, and that the limit is reached', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    expect(await serviceLine(service(), 'guest')).toMatchObject({
      cred_count: 1,
      limit_reached: false,
    })
    await obtain(service(), { service: 'guest' })
    expect(await serviceLine(service(), 'guest')).toMatchObject({
      cred_count: 2,
      limit_reached: true,
    })
    expect(errorText(await post(service(), { service: 'guest' }), 400)).toBe(
      'the credential limit has been reached',
    )
    expect((await remove(service(), id)).status).toBe(200)
    expect(await serviceLine(service(), 'guest')).toMatchObject({
      cred_count: 1,
      limit_reached: false,
    })
  })
})

describe('GET credential', () => {
  test('v2: cred_id, ctime (RFC 1123), interface, service_id; v1: with cred_state', async () => {
    const { id } = await obtain(service(), { service: 'third', username: 'bob' })
    const v2 = (await get(service(), '/api/v2/iam/credential', 'bob')).json()
    const credential = {
      cred_id: id,
      ctime: expect.stringMatching(/^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT$/) as string,
      interface: 'REST interface',
      service_id: 'third',
    }
    expect(v2).toEqual({ credential_list: [credential] })
    const v1 = (await get(service(), '/api/v1/iam/credential', 'bob')).json()
    expect(v1).toEqual({ credential_list: [{ id: { ...credential, cred_state: 'hidden' } }] })
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  })

  test('nobody has anything of others, and who never asked has nothing', async () => {
    const { id } = await obtain(service(), { service: 'third' })
    expect(await listed(service())).toContain(id)
    expect(await listed(service(), 'bob')).not.toContain(id)
    const stranger = service().token('alice', { sub: 'never-seen', groups: ['cms'] })
    const answer = await wire(`${service().url}/api/v2/iam/credential`, {
      headers: { authorization: `Bearer ${stranger}` },
    })
    expect(answer.json()).toEqual({ credential_list: [] })
  })
})

describe('POST credential', () => {
  test('v2: 303, empty body, location absolute on the host that was asked, under the id of the issuer', async () => {
    const answer = await post(service(), { service: 'third' })
    expect([answer.status, answer.text]).toEqual([303, ''])
    const [[name, location] = ['', '']] = answer.lines.filter(([each]) => /location/i.test(each))
    expect(name).toBe('location')
    expect(location).toMatch(
      new RegExp(`^${service().url}/api/v2/iam/credential_data/[A-Za-z0-9_-]{22}$`),
    )
    expect(answer.header('cache-control')).toBe('no-cache')
  })

  test('v1: the address is without the issuer, which is in the header', async () => {
    const headers = {
      ...as(service()),
      ...json,
      'x-openid-connect-issuer': service().provider.issuer,
    }
    const answer = await wire(`${service().url}/api/v1/credential`, {
      method: 'POST',
      headers,
      body: '{"service_id":"third"}',
    })
    expect(answer.status, answer.text).toBe(303)
    const location = answer.header('location') ?? ''
    expect(location).toMatch(
      new RegExp(`^${service().url}/api/v1/credential_data/[A-Za-z0-9_-]{22}$`),
    )
    const picked = JSON.parse((await wire(location, { headers })).text) as {
      name: string
      type: string
      value: string
    }[]
    expect(picked[0]).toEqual({
      name: 'id',
      type: 'text',
      value: expect.stringMatching(/^[0-9a-f-]{36}$/) as string,
    })
    expect(picked[1]).toEqual({
      name: 'Issuer',
      type: 'text',
      value: service().provider.issuer,
    })
  })

  test.for([
    {
      name: 'of another name',
      host: 'tts.example.org:8443',
      begins: 'http://tts.example.org:8443/api/',
    },
    { name: 'of IPv6', host: '[::1]:8080', begins: 'http://[::1]:8080/api/' },
    { name: 'that is none', host: 'x/../@evil', begins: 'http://127.0.0.1:' },
  ])('the host is $name', async ({ host, begins }) => {
    const headers = { ...as(service()), ...json, host }
    const answer = await wire(`${service().url}/api/v2/iam/credential`, {
      method: 'POST',
      headers,
      body: '{"service_id":"third"}',
    })
    expect(answer.header('location')?.startsWith(begins)).toBe(true)
  })
})

describe('GET credential_data/<id>', () => {
  test('v2: the entries, in order, with what the plugin said of them; not even to be kept', async () => {
    const redirect = await post(service(), {
      service: 'guest',
      params: { label: 'x', note: { any: ['JSON'] } },
    })
    const picked = await wire(redirect.header('location') ?? '', { headers: as(service()) })
    expect(picked.header('cache-control')).toBe('no-cache, no-store')
    const { credential, result } = picked.json() as {
      result: string
      credential: { id: string; entries: { name: string; value: string }[] }
    }
    expect(result).toBe('ok')
    expect(credential.entries.map(({ name }) => name)).toEqual(['Username', 'Password', 'Asked'])
    expect(credential.entries[2]).toMatchObject({
      type: 'textfile',
      save_as: 'asked.json',
      rows: 5,
      cols: 80,
    })
    // Values reach the program as they are.
    const asked = JSON.parse(credential.entries[2]?.value ?? '') as { params: unknown }
    expect(asked.params).toEqual({ label: 'x', note: { any: ['JSON'] } })
    expect(await listed(service())).toContain(credential.id)
    await remove(service(), credential.id)
  })

  test('one read only, by the same user, with a token; HEAD takes nothing', async () => {
    const redirect = await post(service(), { service: 'third' })
    const address = redirect.header('location') ?? ''
    errorText(await wire(address), 401)
    errorText(await wire(address, { headers: as(service(), 'bob') }), 404)
    expect((await wire(address, { method: 'HEAD', headers: as(service()) })).status).toBe(405)
    const both = await Promise.all([1, 2, 3].map(() => wire(address, { headers: as(service()) })))
    expect(both.map(({ status }) => status).sort((one, other) => one - other)).toEqual([
      200, 404, 404,
    ])
    const lost = both.find(({ status }) => status === 404)
    expect(lost && errorText(lost, 404)).toBe('Sorry, the requested data was not found')
    errorText(await get(service(), '/api/v2/iam/credential_data/AAAAAAAAAAAAAAAAAAAAAA'), 404)
    errorText(await get(service(), '/api/v2/iam/credential_data/%00'), 404)
  })
})

describe('DELETE credential/<cred_id>', () => {
  test('200 {"result":"ok"}; then, and of others, and of nothing: 404', async () => {
    const { id } = await obtain(service(), { service: 'third' })
    errorText(await remove(service(), id, 'bob'), 404)
    errorText(await remove(service(), '0f8fad5b-d9cb-469f-a165-70867728950e'), 404)
    errorText(await remove(service(), "x'; drop table credentials"), 404)
    const answer = await remove(service(), id)
    expect([answer.status, answer.text]).toEqual([200, '{"result":"ok"}'])
    errorText(await remove(service(), id), 404)
    expect(await listed(service())).not.toContain(id)
  })
})

describe('4. POST credential: checks in order', () => {
  interface Refused {
    readonly name: string
    readonly wanted: Parameters<typeof post>[1]
    readonly says: string
  }
  // prettier-ignore
  test.for<Refused>([
    { name: 'no such service', wanted: { service: 'none' }, says: 'you are not allowed to use this service' },
    { name: 'not authorised', wanted: { service: 'closed' }, says: 'you are not allowed to use this service' },
    { name: 'not authorised goes before parameters', wanted: { service: 'closed', params: { x: 1 } }, says: 'you are not allowed to use this service' },
    { name: 'not authorised goes before disabled', wanted: { service: 'offlimits' }, says: 'you are not allowed to use this service' },
    { name: 'disabled', wanted: { service: 'off' }, says: 'the service you tried to use is disabled' },
    { name: 'disabled goes before parameters', wanted: { service: 'off', params: { x: 1 } }, says: 'the service you tried to use is disabled' },
    { name: 'an unknown key', wanted: { service: 'third', params: { x: 1 } }, says: 'invalid parameter have been passed' },
    { name: 'a mandatory key is missing', wanted: { service: 'guest', params: { note: 'x' } }, says: 'invalid parameter have been passed' },
    { name: 'keys of two sets', wanted: { service: 'guest', params: { label: 'x', other: 'y' } }, says: 'invalid parameter have been passed' },
    { name: 'a key that objects inherit', wanted: { service: 'guest', params: { constructor: 'x' } }, says: 'invalid parameter have been passed' },
    { name: 'a bad value tells what is wrong with it', wanted: { service: 'proxy', params: { proxy_type: 'full' } }, says: expect.stringMatching(/^proxy_type: /) as string },
    { name: 'a CSR that is none', wanted: { service: 'proxy', params: { csr: 'x' } }, says: expect.stringMatching(/./) as string },
  ])('$name', async ({ wanted, says }) => {
    expect(errorText(await post(service(), wanted), 400)).toEqual(says)
  })

  test('of many requests at once none gets more than the places that are left', async () => {
    for (const { id } of await credentialsOf('guest')) await remove(service(), id)
    const answers = await Promise.all(
      Array.from({ length: 5 }, () => post(service(), { service: 'guest' })),
    )
    const statuses = answers.map(({ status }) => status).sort((one, other) => one - other)
    expect(statuses).toEqual([303, 303, 400, 400, 400])
    expect(await serviceLine(service(), 'guest')).toMatchObject({ cred_count: 2 })
  })
})

async function credentialsOf(serviceId: string): Promise<{ id: string }[]> {
  const body = (await get(service(), '/api/v2/iam/credential')).json()
  return (body['credential_list'] as { cred_id: string; service_id: string }[])
    .filter((each) => each.service_id === serviceId)
    .map(({ cred_id: id }) => ({ id }))
}
