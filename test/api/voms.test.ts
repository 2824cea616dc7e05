/** VOMS attributes in proxies: who gets which, over HTTP and with tokens of a real provider. */
import { beforeAll, describe, expect, test } from 'vitest'
import { readCertificate } from '../../ca/certificate.ts'
import { createCsr } from '../../ca/csr.ts'
import { createSigner, generatePrivateKey } from '../../ca/key.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import {
  type AttributeCertificate,
  attributeCertificatesOf,
} from '../../ca/voms/read-attributes.ts'
import { useTestService } from '../support/service.ts'

const HOUR = 3600
const vos = {
  cms: {
    provider: 'iam',
    port: 15_000,
    fqans: [
      { group: 'cms', fqan: '/cms' },
      { group: '/cms/production', fqan: '/cms/Role=production' },
      { group: 'cms/sub/*', fqan: '/cms/sub/*' },
      { group: 'cms/deep', fqan: '/cms/a/b/Role=pilot' },
    ],
  },
  atlas: { provider: 'iam', port: 15_001, maximum_lifetime_seconds: 2 * HOUR },
  other: {
    provider: 'iam',
    port: 15_002,
    claims: ['entitlements'],
    groups_valid_seconds: 3 * HOUR,
  },
  'vo.example.org': { provider: 'iam', port: 15_003 },
}
const service = useTestService({
  configuration: {
    voms: { host: 'tts.example.org', vos },
    services: {
      proxy: { authz: { allow: [{ provider: 'iam', claims: { sub: { any: true } } }] } },
    },
  },
})
let csr: string
beforeAll(async () => {
  csr = await createCsr([], createSigner(await generatePrivateKey('rsa-2048')))
})

async function ask(
  query: string,
  claims: Record<string, unknown> = {},
): Promise<{ readonly status: number; readonly text: string; readonly warning: string | null }> {
  const groups = ['cms', 'cms/production', 'cms/sub/t1']
  const token = service().token('alice', { groups, ...claims })
  const response = await fetch(`${service().url}/v1/proxies?${query}`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/x-pem-file' },
    body: csr,
  })
  const warning = response.headers.get('TTS-Warning')
  return { status: response.status, text: await response.text(), warning }
}

function attributesIn(text: string): readonly AttributeCertificate[] {
  const pem = /-----BEGIN CERTIFICATE-----([^-]+)-----END/.exec(text)?.[1] ?? ''
  return attributeCertificatesOf(readCertificate(Buffer.from(pem, 'base64')))
}

const short = (fqans: readonly string[]): readonly string[] =>
  fqans.map((fqan) => fqan.replace('/Capability=NULL', '').replace('/Role=NULL', ''))

describe('the attributes in a proxy', () => {
  test.for<readonly [string, string, Record<string, unknown>, readonly string[]]>([
    ['of the groups', 'voms=cms', {}, ['/cms', '/cms/sub', '/cms/sub/t1']],
    [
      'with a role, which comes first',
      'voms=cms:/cms/Role=production',
      {},
      ['/cms/Role=production', '/cms', '/cms/sub', '/cms/sub/t1'],
    ],
    [
      'in the order of the request',
      'voms=cms:/cms/sub/t1,/cms/Role=production',
      {},
      ['/cms/sub/t1', '/cms/Role=production', '/cms', '/cms/sub'],
    ],
    [
      'all, with roles',
      'voms=cms:all',
      {},
      ['/cms', '/cms/sub', '/cms/sub/t1', '/cms/Role=production'],
    ],
    [
      'of groups with slashes (WLCG, Keycloak)',
      'voms=cms:/cms/Role=production',
      { groups: undefined, 'wlcg.groups': ['/cms', '/cms/production'] },
      ['/cms/Role=production', '/cms'],
    ],
    [
      'with the groups above a role',
      'voms=cms:/cms/a/b/Role=pilot',
      { groups: ['cms/deep'] },
      ['/cms/a/b/Role=pilot', '/cms', '/cms/a', '/cms/a/b'],
    ],
    [
      'of a VO without rules, by the names of its groups',
      'voms=vo.example.org',
      { groups: ['/vo.example.org', 'vo.example.org/x', 'vo.example.orgs', 'cms'] },
      ['/vo.example.org', '/vo.example.org/x'],
    ],
    [
      'of another claim',
      'voms=other',
      { groups: ['cms'], entitlements: ['other', 'other/e'] },
      ['/other', '/other/e'],
    ],
  ])('are %s', async ([, query, claims, expected]) => {
    const { status, text } = await ask(query, claims)
    expect(status, text).toBe(200)
    const [attributes, ...more] = attributesIn(text)
    expect(more).toEqual([])
    expect(short(attributes?.fqans ?? [])).toEqual(expected)
    expect(attributes?.uri).toMatch(/^tts\.example\.org:1500\d$/)
  })

  test('may be of several VOs', async () => {
    const groups = ['cms', 'atlas']
    const { text } = await ask('voms=cms+atlas', { groups })
    expect(attributesIn(text).map(({ vo }) => vo)).toEqual(['cms', 'atlas'])
  })

  test('are not there unless they were asked for', async () => {
    expect(attributesIn((await ask('')).text)).toEqual([])
    expect(attributesIn((await ask('', { groups: ['cms'] })).text)).toEqual([])
  })

  test('name the EEC, and end with the proxy, the VO’s maximum and what the groups are known for', async () => {
    const iat = Math.floor(Date.now() / 1000) - 2 * HOUR
    const ends: readonly (readonly [string, number])[] = [
      ['voms=cms&lifetime_seconds=600', 600],
      ['voms=atlas', 2 * HOUR],
      ['voms=cms', 22 * HOUR],
      ['voms=other', HOUR],
    ]
    for (const [query, seconds] of ends) {
      const claims = { groups: ['cms', 'atlas'], entitlements: ['other'], iat }
      const { text, warning } = await ask(query, claims)
      const [attributes] = attributesIn(text)
      const left = (attributes?.validity.notAfter.getTime() ?? 0) - Date.now()
      expect(Math.abs(left / 1000 - seconds), query).toBeLessThan(5)
      if (seconds > 600) expect(warning).toContain('the VOMS attributes end at')
      const [, eec] = [...text.matchAll(/BEGIN CERTIFICATE-----([^-]+)/g)].map(([, pem = '']) =>
        readCertificate(Buffer.from(pem, 'base64')),
      )
      expect(attributes?.holder).toEqual({ name: eec?.subject, serial: eec?.serial })
    }
  })

  test('are in proxies with keys that the service makes, too', async () => {
    const token = service().token('alice', { groups: ['cms'] })
    const response = await fetch(`${service().url}/v1/proxies`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' },
      body: JSON.stringify({ voms: ['cms:/cms'] }),
    })
    const [proxy] = parseProxyFile(await response.text()).certificates
    expect(proxy && attributeCertificatesOf(proxy)[0]?.vo).toBe('cms')
  })
})

describe('no attributes, and no proxy, for', () => {
  const mostly = (text: string): RegExp => new RegExp(text)
  test.for<readonly [string, string, Record<string, unknown>, number, string, RegExp]>([
    ['a VO that is not ours', 'voms=lhcb', {}, 400, 'voms_vo', mostly('it does for cms, atlas')],
    [
      'somebody in no group of the VO',
      'voms=atlas',
      {},
      403,
      'voms_membership',
      mostly('you are not a member of the VO atlas'),
    ],
    [
      'a role that is not theirs',
      'voms=cms:/cms/Role=production',
      { groups: ['cms'] },
      403,
      'voms_fqan',
      mostly('you do not have /cms/Role=production; you have /cms"'),
    ],
    [
      'a role without its group',
      'voms=cms:/cms/Role=admin,/cms',
      {},
      403,
      'voms_fqan',
      mostly('you do not have /cms/Role=admin;'),
    ],
    [
      'a group that is called like a role',
      'voms=cms:/cms/sub/Role=admin',
      { groups: ['cms', 'cms/sub/Role=admin'] },
      403,
      'voms_fqan',
      mostly('you do not have /cms/sub/Role=admin; you have /cms"'),
    ],
    [
      'a token that is older than groups count',
      'voms=other',
      { groups: ['cms'], entitlements: ['other'], iat: Math.floor(Date.now() / 1000) - 3 * HOUR },
      403,
      'voms_outdated',
      mostly('were last seen too long ago'),
    ],
    [
      'an FQAN of another VO',
      'voms=cms:/atlas',
      {},
      400,
      'parameters',
      mostly('must begin with /cms'),
    ],
    [
      'a VO name like a path',
      'voms=../cms',
      {},
      400,
      'parameters',
      mostly('must be VO or VO:FQAN'),
    ],
    [
      'a VO name with quotes',
      'voms=%22cms%22',
      {},
      400,
      'parameters',
      mostly('must be VO or VO:FQAN'),
    ],
    ['an empty text', 'voms=', {}, 400, 'parameters', mostly('voms: must name a VO')],
    ['a bad FQAN', 'voms=cms:/cms/Role=', {}, 400, 'parameters', mostly('an FQAN must look like')],
    [
      'too many VOs',
      `voms=${Array.from({ length: 11 }, (_, i) => `vo${i}`).join('+')}`,
      {},
      400,
      'parameters',
      mostly('at most 10 VOs'),
    ],
  ])('%s', async ([, query, claims, status, check, message]) => {
    const answer = await ask(query, claims)
    expect(answer.status, answer.text).toBe(status)
    const problem = JSON.parse(answer.text) as { check: string; detail: string }
    expect(problem.check).toBe(check)
    expect(`"${problem.detail}"`).toMatch(message)
  })
})

test('OpenAPI and the list of parameters tell of it', async () => {
  const api = await (await fetch(`${service().url}/openapi.json`)).text()
  expect(api).toContain('voms-proxy-init -voms')
})

describe('a service without VOs', () => {
  const plain = useTestService()
  test('says so, and does not offer the parameter', async () => {
    const token = plain().token('alice')
    const response = await fetch(`${plain().url}/v1/proxies?voms=cms`, {
      method: 'POST',
      headers: { Authorization: `Bearer ${token}` },
      body: csr,
    })
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('voms: this service issues no VOMS attributes')
    const api = await (await fetch(`${plain().url}/openapi.json`)).text()
    expect(api).not.toMatch(/voms/i)
  })
})
