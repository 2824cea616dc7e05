import { expect, test } from 'vitest'
import { explainToken } from '../../src/tokens/explain.ts'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, settingsFor, verifierFor, type SettingsInput } from './support.ts'

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
    'scope',
    'userinfo',
    'user',
    'claims',
  ])
  expect(checks.at(-1)?.detail).toContain('groups')
})

test('every failure is told, with its remedy', async () => {
  const token = provider().mint({ claims: { exp: 1000, sub: 'demo-cli', nonce: 'n' } })
  const failed = (await explain(token, { required_scopes: ['tts'] })).filter(({ ok }) => !ok)
  expect(failed.map(({ check }) => check)).toEqual(['type', 'expired', 'audience', 'scope', 'user'])
  for (const { remedy } of failed) expect(remedy).toBeTruthy()
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
  const explained = await explainToken(token(), verifier, new Date())
  expect(explained.filter(({ ok }) => !ok).map(({ check }) => check)).toEqual(checks)
})
