import { describe, expect, test } from 'vitest'
import { explainToken } from '../../src/tokens/explain.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, settingsFor, type SettingsInput, until, verifierFor } from './support.ts'

const provider = useIdentityProvider()

async function explain(token: string, changes: SettingsInput = {}) {
  const verifier = verifierFor({ iam: settingsFor(provider().issuer, changes) })
  const checks = await explainToken(token, verifier, new Date())
  expect(JSON.stringify(checks)).not.toContain(token)
  return checks
}

test('a good token passes every check', async () => {
  const { access_token } = await obtainAccessToken({
    issuer: provider().issuer,
    clientId: 'demo-cli',
    username: 'alice',
    audience: AUDIENCE,
  })
  const checks = await explain(access_token, { userinfo: 'always' })
  expect(checks.filter(({ ok }) => !ok)).toEqual([])
  expect(checks.map(({ check }) => check)).toEqual([
    'format',
    'issuer',
    'signature',
    'issuer',
    'type',
    'subject',
    'expired',
    'not_yet_valid',
    'lifetime',
    'audience',
    'profile_version',
    'user',
    'scope',
    'userinfo',
    'claims',
  ])
  expect(checks.at(-1)?.detail).toContain('groups')
})

test('a token without scopes is in order where none is required', async () => {
  const token = provider().mint({ claims: { aud: AUDIENCE, scope: undefined } })
  const scope = (await explain(token)).find(({ check }) => check === 'scope')
  expect(scope).toMatchObject({ ok: true, detail: 'scopes not in the token, and none required' })
})

test('every failure is told, with its remedy', async () => {
  const token = provider().mint({ claims: { exp: 1000, sub: 'demo-cli', nonce: 'n' } })
  const failed = (await explain(token, { required_scopes: ['tts'] })).filter(({ ok }) => !ok)
  expect(failed.map(({ check }) => check)).toEqual(['type', 'expired', 'audience', 'user', 'scope'])
  for (const { remedy } of failed) expect(remedy).toBeTruthy()
})

describe('by what it is an access token', () => {
  const asking = (): SettingsInput => {
    const { clientId, clientSecret } = provider().clients.tts
    return { client_id: clientId, client_secret: clientSecret, introspect: 'always' }
  }
  const bare = { aud: AUDIENCE, client_id: undefined, jti: undefined }
  const told = async (claims: object, settings?: SettingsInput, answer?: object) => {
    const body = { active: true, sub: provider().user('alice').sub, ...answer }
    if (answer !== undefined) provider().faults.set('/introspect', { kind: 'body', body })
    const checks = await explain(provider().mint({ claims: { ...bare, ...claims } }), settings)
    return checks.map(({ check, ok, detail }) => `${ok ? 'ok' : 'FAILED'} ${check}: ${detail}`)
  }

  test.for([
    { claims: { client_id: 'c', jti: 'j' }, by: 'claims client_id and jti' },
    { claims: { azp: 'c', scope: 's' }, by: 'claims client_id or azp, and scope' },
    { claims: { typ: 'Bearer', preferred_username: 'a' }, by: 'claim typ' },
    {
      claims: { tid: 'x' },
      settings: { access_token_evidence: { tid: 'x' } },
      by: 'claims of access_token_evidence',
    },
  ])('$by', async ({ claims, settings, by }) => {
    expect(await told(claims, settings)).toContain(`ok type: an access token by its ${by}`)
  })

  test('introspection says it, or the token is refused there', async () => {
    const left =
      'ok type: does not say which kind of token it is: introspection must say that it is an access token'
    const good = await told({}, asking(), { token_type: 'Bearer' })
    expect(good).toContain(left)
    expect(good.filter((line) => line.startsWith('FAILED'))).toEqual([])
    const silent = await told({}, asking(), {})
    expect(silent).toContain(left)
    expect(silent.find((line) => line.startsWith('FAILED type: '))).toMatch(/nothing in it says/)
    const refresh = await told({}, asking(), { token_type: 'Bearer', token_use: 'refresh_token' })
    expect(refresh.join()).toMatch(/FAILED type: .* but a refresh token \(claim token_use\)/)
  })

  test('who it speaks for may be told by UserInfo alone', async () => {
    const body = { sub: provider().user('alice').sub, preferred_username: 'alice' }
    provider().faults.set('/userinfo', { kind: 'body', body })
    const claims = { typ: 'Bearer', scope: 'openid' }
    const lines = await told(claims, { userinfo: 'always' })
    expect(lines).toContain('ok user: does not say whether it is of a user or of a client')
    expect(lines.filter((line) => line.startsWith('FAILED'))).toEqual([])
    const unclear = (await told(claims)).filter((line) => line.startsWith('FAILED'))
    expect(unclear).toEqual([expect.stringMatching(/^FAILED user: the token does not say/)])
  })
})

test.for([
  { name: 'no token', token: () => '', checks: ['format'] },
  { name: 'opaque', token: () => 'opaque', checks: ['active'] },
  {
    name: 'another issuer',
    token: () => provider().mint({ claims: { iss: 'https://evil.example' } }),
    checks: ['issuer'],
  },
  {
    name: 'a wrong signature',
    token: () => provider().mint({ signature: 'empty' }),
    checks: ['signature'],
  },
])('$name', async ({ token, checks }) => {
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  await until(() => verifier.status()[0]?.keysFetchedAt !== undefined)
  // Else a new key might be the reason.
  verifier.advance(31)
  const explained = await explainToken(token(), verifier, new Date())
  expect(explained.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual(checks)
})

test('what other providers say about the opaque token of one of them does not matter', async () => {
  const { clientId, clientSecret } = provider().clients.tts
  const { issuer } = provider()
  const client = { client_id: clientId, client_secret: clientSecret, introspect: 'opaque' } as const
  const other = {
    ...client,
    timeout_seconds: 60,
    endpoints: { introspection: `${issuer}introspect-other` },
  }
  const verifier = verifierFor({
    other: settingsFor(issuer, other),
    iam: settingsFor(issuer, client),
  })
  const inactive = { kind: 'body', body: { active: false } } as const
  provider().faults.set('/introspect-other', inactive)
  const { sub } = provider().user('alice')
  const body = { active: true, sub, aud: AUDIENCE, token_type: 'Bearer', exp: 4e9 }
  provider().faults.set('/introspect', { kind: 'body', body })
  const known = await explainToken('opaque', verifier, new Date())
  expect(known.filter(({ ok }) => !ok)).toEqual([])
  expect(known[1]?.detail).toMatch(/^active at provider iam/)
  provider().faults.set('/introspect-other', { kind: 'hang' })
  expect(await explainToken('opaque', verifier, new Date())).toEqual(known)
  provider().faults.set('/introspect-other', inactive)
  provider().faults.set('/introspect', inactive)
  const unknown = await explainToken('opaque', verifier, new Date())
  expect(unknown.map(({ check, ok }) => [check, ok])).toEqual([
    ['format', true],
    ['active', false],
    ['active', false],
  ])
})
