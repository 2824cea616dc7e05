import { describe, expect, test } from 'vitest'
import {
  aliasOf,
  isAcceptableUrl,
  providerSettings,
  providersSettings,
} from '../../src/config/provider-schema.ts'

const good = { issuer: 'https://iam.example.org/', audiences: ['a'] }

test('defaults are the strict ones', () => {
  expect(providerSettings.parse(good)).toMatchObject({
    accept_any_wlcg_audience: false,
    accept_missing_audience: false,
    allow_client_tokens: false,
    access_token_evidence: 'standard',
    algorithms: ['RS256', 'ES256'],
    clock_leeway_seconds: 60,
    introspect: 'never',
    userinfo: 'never',
    token_cache_seconds: 60,
  })
})

describe('refused settings', () => {
  test.for<{ name: string; change: Record<string, unknown>; path: string }>([
    { name: 'no audience', change: { audiences: [] }, path: 'audiences' },
    { name: 'a symmetric algorithm', change: { algorithms: ['HS256'] }, path: 'algorithms.0' },
    { name: 'algorithm none', change: { algorithms: ['none'] }, path: 'algorithms.0' },
    { name: 'no algorithm', change: { algorithms: [] }, path: 'algorithms' },
    { name: 'http elsewhere', change: { issuer: 'http://iam.example.org' }, path: 'issuer' },
    ...['https://iam.example.org/token#a', 'https://iam.example.org/token?a=b#c'].map((token) => ({
      name: `a fragment in an endpoint: ${token}`,
      change: { endpoints: { token } },
      path: 'endpoints.token',
    })),
    { name: 'no URL', change: { issuer: 'iam' }, path: 'issuer' },
    { name: 'an alias with a slash', change: { alias: 'a/CN=b' }, path: 'alias' },
    { name: 'an alias too long', change: { alias: 'a'.repeat(22) }, path: 'alias' },
    { name: 'introspection without client', change: { introspect: 'opaque' }, path: 'introspect' },
    {
      name: 'UserInfo only, without accept_missing_audience',
      change: { introspect: 'userinfo' },
      path: 'introspect',
    },
    {
      name: 'UserInfo only, with required scopes',
      change: { introspect: 'userinfo', accept_missing_audience: true, required_scopes: ['a'] },
      path: 'required_scopes',
    },
    {
      name: 'UserInfo only, with a maximum lifetime',
      change: {
        introspect: 'userinfo',
        accept_missing_audience: true,
        maximum_token_lifetime_seconds: 60,
      },
      path: 'maximum_token_lifetime_seconds',
    },
    {
      name: 'introspection without secret',
      change: { introspect: 'always', client_id: 'c' },
      path: 'introspect',
    },
    {
      name: 'keys refreshed after their end',
      change: { jwks_refresh_seconds: 600, jwks_maximum_age_seconds: 300 },
      path: 'jwks_maximum_age_seconds',
    },
    {
      name: 'another word for the evidence',
      change: { access_token_evidence: 'weak' },
      path: 'access_token_evidence',
    },
    {
      name: 'no claim as evidence',
      change: { access_token_evidence: {} },
      path: 'access_token_evidence',
    },
    {
      name: 'an empty value as evidence',
      change: { access_token_evidence: { tid: '' } },
      path: 'access_token_evidence.tid',
    },
    { name: 'an unknown key', change: { audience: 'a' }, path: '' },
  ])('$name', ({ change, path }) => {
    const { error } = providerSettings.safeParse({ ...good, ...change })
    expect(error?.issues.map((issue) => issue.path.join('.'))).toContain(path)
  })
})

test('aliases are unique over the issuers, and ids of one issuer trust the same', () => {
  const parse = (second: object) =>
    providersSettings
      .safeParse({
        iam: good,
        other: { issuer: 'https://other.example', audiences: ['a'], ...second },
      })
      .error?.issues.map((issue) => issue.path.join('.'))
  expect(parse({})).toBeUndefined()
  const same = { issuer: 'https://iam.example.org', alias: 'iam' }
  expect(parse(same)).toBeUndefined()
  const own = { description: 'd', audiences: ['b'], client_id: 'c', login: { enabled: false } }
  expect(parse({ ...same, ...own })).toBeUndefined()
  expect(parse({ ...same, alias: undefined })).toEqual(['other.alias'])
  expect(parse({ ...same, alias: 'IAM' })).toEqual(['other.alias'])
  for (const [name, value] of Object.entries({
    accept_missing_audience: true,
    allow_client_tokens: true,
    algorithms: ['ES256'],
    required_scopes: ['x'],
    userinfo: 'always',
    claims: { groups: 'roles' },
    access_token_evidence: 'none',
  }))
    expect(parse({ ...same, [name]: value })).toEqual([`other.${name}`])
  expect(parse({ alias: 'IAM' })).toEqual(['other.alias'])
  expect(aliasOf('iam', {})).toBe('iam')
})

test.for([
  { url: 'https://iam.example.org/realms/x', ok: true },
  { url: 'http://127.0.0.1:8080/', ok: true },
  { url: 'http://127.9.9.9/', ok: true },
  { url: 'http://[::1]:1/', ok: true },
  { url: 'http://localhost/', ok: true },
  { url: 'http://127.0.0.1.evil.example/', ok: false },
  { url: 'http://localhost.evil.example/', ok: false },
  { url: 'http://10.0.0.1/', ok: false },
  { url: 'https://user@iam.example.org/', ok: false },
  { url: 'https://iam.example.org/?a', ok: false },
  { url: 'https://iam.example.org/#a', ok: false },
  { url: 'file:///etc/passwd', ok: false },
])('$url: $ok', ({ url, ok }) => {
  expect(isAcceptableUrl(url)).toBe(ok)
})
