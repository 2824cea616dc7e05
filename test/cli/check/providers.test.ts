/** What `tts check` finds at providers: endpoints, clients and their secrets. No CA is needed for it. */
import { createServer, type Server } from 'node:http'
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { stringify } from 'yaml'
import { useIdentityProvider } from '../../support/identity-provider.ts'
import { runTts, type TtsRunOptions } from '../../support/terminal.ts'

const provider = useIdentityProvider()
let directory = ''
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-check-'))
})
afterEach(() => rmSync(directory, { recursive: true, force: true }))

interface Line {
  readonly check: string
  readonly state: string
  readonly detail: string
  readonly remedy?: string
}

async function checkLines(
  providers: Record<string, object>,
  words: readonly string[] = [],
  options: TtsRunOptions = {},
): Promise<readonly Line[]> {
  const path = join(directory, 'tts.yaml')
  writeFileSync(path, stringify({ data_dir: 'data', providers }))
  const { out } = await runTts(['-c', path, 'check', '--json', ...words], options)
  expect(out).not.toContain(provider().clients.tts.clientSecret)
  return JSON.parse(out) as Line[]
}

const iam = (changes: object = {}) => ({
  issuer: provider().issuer,
  audiences: ['https://tts.example.org'],
  ...changes,
})
const tts = (changes: object = {}) => {
  const { clientId, clientSecret } = provider().clients.tts
  return iam({ client_id: clientId, client_secret: clientSecret, ...changes })
}
/** The lines about the uses of the provider `iam`: name, state, detail. */
const usesOf = (lines: readonly Line[]) =>
  lines
    .filter(({ check }) => check.startsWith('provider iam '))
    .map(({ check, state, detail }) => [check.slice('provider iam '.length), state, detail])

const accepted = 'the provider accepts our client'
const refused = 'the provider refuses our client: an unknown client, or a wrong secret'
const refusedIntrospection =
  'the provider refuses our client (HTTP status 401): a wrong secret, or the client may not introspect'

describe('clients', () => {
  test('every use of a client is tested, and changes nothing', async () => {
    const lines = await checkLines({
      iam: tts({ introspect: 'opaque', userinfo: 'always', delegation: {} }),
    })
    expect(usesOf(lines)).toEqual([
      ['introspection', 'ok', accepted],
      ['delegation', 'ok', accepted],
      ['login', 'ok', accepted],
    ])
    expect(provider().faults.count('/userinfo')).toBe(0)
    expect(provider().faults.count('/introspect')).toBe(1)
    expect(provider().faults.count('/token')).toBe(2)
  })

  test('a wrong secret', async () => {
    const uses = { introspect: 'always', delegation: {} }
    const lines = await checkLines({ iam: tts({ ...uses, client_secret: 'wrong' }) })
    expect(usesOf(lines)).toEqual([
      ['introspection', 'failed', refusedIntrospection],
      ['delegation', 'failed', refused],
      ['login', 'failed', refused],
    ])
    expect(lines.find(({ check }) => check === 'provider iam delegation')?.remedy).toBe(
      'Compare client_id and client_secret_file in providers.iam.delegation with the client at the provider.',
    )
  })

  test('a wrong secret of the delegation client alone', async () => {
    const { clientId } = provider().clients.certcache
    const delegation = { client_id: clientId, client_secret: 'wrong' }
    const lines = await checkLines({ iam: tts({ introspect: 'always', delegation }) })
    expect(usesOf(lines)).toEqual([
      ['introspection', 'ok', accepted],
      ['delegation', 'failed', refused],
      ['login', 'ok', accepted],
    ])
  })

  test('an unknown public client for the login', async () => {
    const lines = await checkLines({ iam: iam({ client_id: 'nobody' }) })
    expect(usesOf(lines)).toEqual([['login', 'failed', refused]])
  })

  test('a use that is switched off is not tested', async () => {
    const lines = await checkLines({ iam: tts({ login: { enabled: false } }) })
    expect(usesOf(lines)).toEqual([])
    expect(provider().faults.count('/token')).toBe(0)
  })

  const json = (status: number, body: object) => ({ kind: 'body', status, body }) as const
  test.for([
    // Error answers of the providers, as test/grants/refusals.test.ts has them.
    {
      name: 'Keycloak, wrong secret',
      answer: json(401, {
        error: 'unauthorized_client',
        error_description: 'Invalid client or Invalid client credentials',
      }),
      state: 'failed',
    },
    {
      name: 'Dex, wrong secret',
      answer: json(401, {
        error: 'invalid_client',
        error_description: 'Invalid client credentials.',
      }),
      state: 'failed',
    },
    {
      name: 'IAM, right secret',
      answer: json(401, {
        error: 'invalid_token',
        error_description: 'Invalid refresh token: tts-check',
      }),
      state: 'ok',
    },
    {
      name: 'Keycloak, right secret',
      answer: json(400, { error: 'invalid_grant', error_description: 'Invalid refresh token' }),
      state: 'ok',
    },
    {
      name: 'IAM, no refresh grant',
      answer: json(401, {
        error: 'invalid_client',
        error_description: 'Unauthorized grant type: refresh_token',
      }),
      state: 'warning',
    },
    { name: 'an outage', answer: json(503, {}), state: 'warning' },
    { name: 'no JSON', answer: { kind: 'malformed' } as const, state: 'warning' },
    {
      name: 'tokens for nothing',
      answer: json(200, { access_token: 'a', token_type: 'Bearer', expires_in: 1 }),
      state: 'failed',
    },
  ])('delegation, $name: $state', async ({ answer, state }) => {
    provider().faults.set('/token', answer)
    const lines = await checkLines({ iam: tts({ delegation: {}, login: { enabled: false } }) })
    expect(usesOf(lines)).toEqual([['delegation', state, expect.any(String)]])
  })

  test.for([
    {
      name: 'refused',
      answer: json(403, { error: 'forbidden' }),
      state: 'failed',
      detail: /HTTP status 403/,
    },
    {
      name: 'invalid_client as 400',
      answer: json(400, { error: 'invalid_client' }),
      state: 'failed',
      detail: /HTTP status 400/,
    },
    { name: 'an outage', answer: json(500, {}), state: 'warning', detail: /could not be tested/ },
    {
      name: 'any token is active',
      answer: json(200, { active: true, sub: 'x' }),
      state: 'failed',
      detail: /active which does not exist/,
    },
  ])('introspection, $name: $state', async ({ answer, state, detail }) => {
    provider().faults.set('/introspect', answer)
    const lines = await checkLines({
      iam: tts({ introspect: 'always', login: { enabled: false } }),
    })
    expect(usesOf(lines)).toEqual([['introspection', state, expect.stringMatching(detail)]])
  })
})

describe('endpoints', () => {
  const without = async (...names: readonly string[]): Promise<void> => {
    const url = new URL('.well-known/openid-configuration', provider().issuer)
    const document = (await (await fetch(url)).json()) as Record<string, unknown>
    const body = Object.fromEntries(
      Object.entries(document).filter(([name]) => !names.includes(name)),
    )
    provider().faults.set('/.well-known/openid-configuration', { kind: 'body', body })
  }

  test.for([
    {
      missing: ['introspection_endpoint'],
      settings: { introspect: 'always' },
      line: [
        'introspection',
        'failed',
        'introspect is set, but the discovery document names no introspection endpoint',
      ],
    },
    {
      missing: ['userinfo_endpoint'],
      settings: { userinfo: 'when_missing_groups' },
      line: [
        'userinfo',
        'failed',
        'UserInfo is used, but the discovery document names no UserInfo endpoint',
      ],
    },
    {
      missing: ['userinfo_endpoint', 'introspection_endpoint'],
      settings: { introspect: 'userinfo', accept_missing_audience: true },
      line: [
        'userinfo',
        'failed',
        'UserInfo is used, but the discovery document names no UserInfo endpoint',
      ],
    },
    {
      missing: ['token_endpoint'],
      settings: { delegation: {} },
      line: [
        'delegation',
        'failed',
        'the section delegation is set, but the discovery document names no token endpoint',
      ],
    },
    {
      missing: ['authorization_endpoint'],
      settings: { login: { enabled: true } },
      line: [
        'login',
        'warning',
        'the web page offers a login, but the discovery document names no authorization_endpoint',
      ],
    },
    {
      missing: ['token_endpoint'],
      settings: { login: { enabled: true } },
      line: [
        'login',
        'warning',
        'the web page offers a login, but the discovery document names no token_endpoint',
      ],
    },
  ])('without $missing, with $settings', async ({ missing, settings, line }) => {
    await without(...missing)
    const lines = await checkLines({ iam: tts({ login: { enabled: false }, ...settings }) })
    expect(usesOf(lines)).toEqual([line])
  })

  test('an endpoint from the configuration will do', async () => {
    await without('introspection_endpoint', 'userinfo_endpoint')
    const { issuer } = provider()
    const endpoints = { introspection: `${issuer}introspect`, userinfo: `${issuer}userinfo` }
    const uses = { introspect: 'always', userinfo: 'always', login: { enabled: false } }
    const lines = await checkLines({ iam: tts({ ...uses, endpoints }) })
    expect(usesOf(lines)).toEqual([['introspection', 'ok', accepted]])
  })

  test('token exchange that the discovery document does not name is a warning', async () => {
    const url = new URL('.well-known/openid-configuration', provider().issuer)
    const document = (await (await fetch(url)).json()) as object
    const body = { ...document, grant_types_supported: ['authorization_code', 'refresh_token'] }
    provider().faults.set('/.well-known/openid-configuration', { kind: 'body', body })
    const lines = await checkLines({ iam: tts({ delegation: {}, login: { enabled: false } }) })
    expect(usesOf(lines)).toEqual([
      ['delegation', 'ok', accepted],
      ['token exchange', 'warning', expect.stringContaining('grant_types_supported')],
    ])
    const hydra = { profile: 'hydra', delegation: {}, login: { enabled: false } }
    const remedies = (await checkLines({ iam: tts(hydra) })).map(({ remedy }) => remedy)
    expect(remedies).toContainEqual(expect.stringContaining('Ory Hydra has no token exchange'))
  })
})

test('before there is a CA, everything else is checked, and nothing is created', async () => {
  const lines = await checkLines({ iam: tts({ introspect: 'always' }) }, ['--token'], {
    environment: { BEARER_TOKEN: provider().mint({ claims: { aud: 'else' } }) },
  })
  const states = lines.map(({ check, state }) => [check, state])
  for (const line of [
    ['ca', 'warning'],
    ['database', 'ok'],
    ['provider iam', 'ok'],
    ['provider iam introspection', 'ok'],
    ['service proxy', 'warning'],
    ['token audience', 'failed'],
  ])
    expect(states).toContainEqual(line)
  expect(states.map(([check]) => check)).not.toContain('records')
  expect(readdirSync(directory)).toEqual(['tts.yaml'])
})

/** A provider whose answers wait until this many requests are under way. */
async function waitingProvider(expected: number): Promise<{ issuers: readonly string[] }> {
  const waiting: (() => void)[] = []
  const server: Server = createServer((request, response) => {
    const issuer = `http://127.0.0.1:${port()}${request.url?.split('/.well-known')[0] ?? ''}`
    const isDiscovery = request.url?.includes('.well-known') === true
    const isIntrospection = request.url?.includes('introspect') === true
    const body = isDiscovery
      ? {
          issuer,
          jwks_uri: `${issuer}/jwks`,
          introspection_endpoint: `${issuer}/introspect`,
        }
      : isIntrospection
        ? { active: false }
        : { keys: [key] }
    const answer = (): void => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(body))
    }
    if (!isDiscovery && !isIntrospection) {
      answer()
      return
    }
    waiting.push(answer)
    if (waiting.length === expected) for (const each of waiting.splice(0)) each()
  })
  const key = { kty: 'EC', crv: 'P-256', kid: 'k', alg: 'ES256', use: 'sig', ...point }
  const port = (): number => (server.address() as AddressInfo).port
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    issuers: Array.from({ length: expected }, (_, index) => `http://127.0.0.1:${port()}/p${index}`),
  }
}

/** A point of P-256 (NIST FIPS 186-4, the generator). */
const point = {
  x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY',
  y: 'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU',
}

test('providers are asked side by side: each answers only when all have been asked', async () => {
  const { issuers } = await waitingProvider(6)
  const providers = Object.fromEntries(
    issuers.map((issuer, index) => [
      `p${index}`,
      {
        issuer,
        audiences: ['a'],
        client_id: 'c',
        client_secret: 's',
        introspect: 'opaque',
        login: { enabled: false },
      },
    ]),
  )
  const lines = await checkLines(providers)
  const states = lines.filter(({ check }) => check.startsWith('provider '))
  expect(states).toHaveLength(12)
  expect(states.filter(({ state }) => state !== 'ok')).toEqual([])
  // The token is asked about at all providers at once, too.
  const token = await checkLines(providers, ['--token'], {
    environment: { BEARER_TOKEN: 'opaque' },
  })
  expect(token.filter(({ check }) => check === 'token active')).toHaveLength(6)
})

test('a provider that hangs is reported after --wait, and the others are not affected', async () => {
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    silent.closeAllConnections()
    silent.close()
  })
  const issuer = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`
  const hanging = Object.fromEntries(
    ['a', 'b', 'c'].map((id) => [id, { issuer: `${issuer}/${id}`, audiences: ['a'] }]),
  )
  const lines = await checkLines({ ...hanging, iam: iam() }, ['--wait', '1'])
  const states = lines
    .filter(({ check }) => check.startsWith('provider '))
    .map(({ check, state, detail }) => [check, state, detail])
  expect(states).toEqual([
    ...['a', 'b', 'c'].map((id) => [
      `provider ${id}`,
      'failed',
      `${issuer}/${id}: no answer in time`,
    ]),
    ['provider iam', 'ok', expect.stringContaining('are available')],
  ])
})

test('a client that cannot be tested in time is a warning, and hides no other', async () => {
  provider().faults.set('/introspect', { kind: 'hang' })
  const uses = { introspect: 'always', delegation: {} }
  const lines = await checkLines({ iam: tts(uses) }, ['--wait', '1'])
  expect(usesOf(lines)).toEqual([
    [
      'introspection',
      'warning',
      'our client could not be tested: the provider gave no usable answer in time',
    ],
    ['delegation', 'ok', accepted],
    ['login', 'ok', accepted],
  ])
})

test('a token that cannot be verified in time is a failure', async () => {
  provider().faults.set('/introspect', { kind: 'hang' })
  const token = provider().mint({ claims: { aud: 'https://tts.example.org' } })
  const lines = await checkLines(
    { iam: tts({ introspect: 'always' }) },
    ['--token', '--wait', '1'],
    { environment: { BEARER_TOKEN: token } },
  )
  expect(lines.filter(({ check }) => check.startsWith('token'))).toEqual([
    {
      check: 'token',
      state: 'failed',
      detail: 'the token could not be verified in time',
      remedy: 'Wait longer with --wait, or check the provider of the token.',
    },
  ])
})
