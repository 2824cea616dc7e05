import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { displayClaim } from '../../src/cli/rule-words.ts'
import { startTestService, type TestService } from '../support/service.ts'
import { runTts, type TtsRun, type TtsRunOptions } from '../support/terminal.ts'

const allow = [
  { provider: 'iam', claims: { groups: { contains: 'cms' } } },
  {
    provider: 'iam',
    claims: { groups: { contains: 'ops' }, email: { regexp: '@example\\.org$' } },
  },
]
const forbid = [{ provider: 'any', claims: { banned: { equals: true } } }]

let service: TestService
let directory = ''
beforeAll(async () => {
  service = await startTestService({
    configuration: {
      services: { proxy: { authz: { allow } }, x509: { authz: { allow, forbid } } },
    },
  })
  directory = mkdtempSync(join(tmpdir(), 'tts-authz-'))
})
afterAll(async () => {
  await service.stop()
  rmSync(directory, { recursive: true, force: true })
})

const explain = (words: readonly string[], options: TtsRunOptions = {}): Promise<TtsRun> =>
  runTts(['-c', join(service.directory, 'tts.yaml'), 'authz', 'explain', ...words], options)

function claimsFile(claims: unknown): string {
  const path = join(directory, 'claims.json')
  writeFileSync(path, typeof claims === 'string' ? claims : JSON.stringify(claims))
  return path
}
const explainClaims = (claims: unknown, ...words: string[]): Promise<TtsRun> =>
  explain(['--service', 'proxy', '--claims', claimsFile(claims), '--provider', 'iam', ...words])

describe('with a token', () => {
  test('of somebody who is let in: 0, and the rule that did it', async () => {
    const token = service.token('alice')
    const run = await explain(['--service', 'proxy'], { environment: { BEARER_TOKEN: token } })
    expect(run).toMatchObject({ code: 0, notes: '' })
    expect(run.out).toMatch(/^true {3}allow rule 0 \(provider iam\): all its conditions are true$/m)
    expect(run.out).toMatch(/^false {2}allow rule 1 \(provider iam\): /m)
    expect(run.out).toMatch(/^ALLOWED: allow rule 0 allows the user$/m)
    expect(run.out).not.toContain('would have to change')
    expect(run.out).not.toContain(token)
  })

  test('of somebody else: 3, what was found, and what would have to change', async () => {
    const environment = { BEARER_TOKEN: service.token('alice', { groups: ['guests'] }) }
    const { code, out } = await explain(['--service', 'proxy'], { environment })
    expect(code).toBe(3)
    expect(out).toContain('groups contains "cms"\n                found ["guests"]: does not match')
    expect(out).toMatch(/^REFUSED: the token has no claim email/m)
    expect(out).toContain(
      '  - allow rule 0 would allow the user if groups contains "cms" (now ["guests"])\n',
    )
    expect(out).toContain(' and email matches /@example\\\\.org$/ (now missing)\n')
  })

  test('a forbid rule over a claim that is missing', async () => {
    const environment = { BEARER_TOKEN: service.token('alice') }
    const { code, out } = await explain(['--service', 'x509'], { environment })
    expect(code).toBe(3)
    expect(out).toMatch(
      /^true {3}forbid rule 0 \(provider any\): a claim is missing, which makes a forbid rule true$/m,
    )
    expect(out).toContain('found no such claim: a missing claim makes a forbid rule true')
    expect(out).toContain('  - forbid rule 0 matches as long as the claim banned is missing\n')
    expect(out).not.toContain('would let the user in')
  })

  test('the decision is the one that the running service takes', async () => {
    for (const [id, path] of [
      ['proxy', '/v1/proxies'],
      ['x509', '/v1/certificates'],
    ] as const) {
      for (const groups of [['cms'], ['guests']]) {
        const token = service.token('alice', { groups })
        const run = await explain(['--service', id], { environment: { BEARER_TOKEN: token } })
        const headers = { authorization: `Bearer ${token}` }
        const { status } = await fetch(`${service.url}${path}`, { method: 'POST', headers })
        expect([id, groups, status === 403]).toEqual([id, groups, run.code === 3])
      }
    }
  })

  test('a token that is refused ends it with 3, and it is not shown', async () => {
    const token = service.token('alice', { aud: 'https://else.example.org' })
    const path = join(directory, 'token')
    writeFileSync(path, token)
    const { code, out, notes } = await explain(['--service', 'proxy', '--token-file', path])
    expect({ code, out }).toEqual({ code: 3, out: '' })
    expect(notes).toContain('claim aud')
    expect(notes).not.toContain(token.split('.')[2])
    const none = await explain(['--service', 'proxy'], { temporaryDirectory: directory })
    expect(none.code).toBe(3)
    expect(none.notes).toContain('no access token found')
  })
})

describe('with claims from a file', () => {
  test('nothing is verified, and that is said', async () => {
    const { code, out } = await explainClaims({ sub: 'u', groups: ['ops'], email: 'a@example.org' })
    expect(code).toBe(0)
    expect(out).toContain('"u" of the provider iam (claims from a file, not verified)')
    expect(out).toContain('ALLOWED: allow rule 1')
  })

  test("the advice is that of the provider's product, and a near value is asked about", async () => {
    const words = ['--service', 'proxy', '--claims', claimsFile({ sub: 'u', groups: ['/cms'] })]
    const environment = { TTS_PROVIDERS__IAM__PROFILE: 'keycloak' }
    const { code, out } = await explain([...words, '--provider', 'iam'], { environment })
    expect(code).toBe(3)
    expect(out).toContain('found ["/cms"]: does not match; did you mean "/cms"?\n')
    expect(out).toContain(
      '  - allow rule 0 would allow the user if groups contains "cms" (now ["/cms"]; did you mean "/cms"?)\n',
    )
    expect(out).toMatch(
      /^ {2}-> Give the client that requests the token a scope or mapper that sets email /m,
    )
  })

  test('as users of a relying service', async () => {
    const words = ['--service', 'proxy', '--claims', claimsFile({ sub: 'u', groups: ['cms'] })]
    const { code, out } = await explain([...words, '--provider', 'rsp-portal'])
    expect(code).toBe(3)
    expect(out).toContain(
      'services.proxy.authz.allow needs a rule for this provider or for any provider',
    )
  })

  test('for scripts', async () => {
    const { code, out } = await explainClaims({ sub: 'u', groups: 7 }, '--json')
    expect(code).toBe(3)
    expect(JSON.parse(out)).toMatchObject({
      service: 'proxy',
      provider: 'iam',
      verified: false,
      allowed: false,
      verdict: 'a rule of this service cannot be evaluated on the claim groups of the token',
      changes: [
        'allow rule 0 cannot be evaluated because of groups contains "cms" (now 7, the claim is not a string)',
        expect.stringContaining('allow rule 1'),
      ],
      rules: [
        {
          rule: 'allow rule 0',
          outcome: 'error',
          conditions: [{ claim: 'groups', found: '7', why: 'the claim is not a string' }],
        },
        {
          rule: 'allow rule 1',
          conditions: [{ claim: 'groups' }, { claim: 'email', outcome: 'missing' }],
        },
      ],
    })
  })

  test('values are cleaned and shortened', async () => {
    const { out } = await explainClaims({
      sub: '\u001b[2Jgone\u202e',
      groups: `${'x'.repeat(5000)}\u0007`,
    })
    // eslint-disable-next-line no-control-regex
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/)
    expect(out).not.toContain('x'.repeat(121))
  })

  test('a disabled service: 3, whatever the rules say', async () => {
    const environment = { TTS_SERVICES__PROXY__ENABLED: 'false' }
    const words = ['--service', 'proxy', '--provider', 'iam', '--claims']
    const path = claimsFile({ groups: ['cms'] })
    const { code, out } = await explain([...words, path], { environment })
    expect(code).toBe(3)
    expect(out).toContain('REFUSED: the service is disabled')
  })

  test.for([
    { name: 'no service', words: [], code: 2, says: '--service' },
    { name: 'an unknown service', words: ['--service', 'none'], code: 5, says: 'proxy, x509' },
    { name: 'a name of an object', words: ['--service', 'constructor'], code: 5, says: 'proxy' },
    {
      name: 'claims without a provider',
      words: ['--service', 'proxy', '--claims', 'x'],
      code: 2,
      says: '--provider',
    },
    {
      name: 'a provider without claims',
      words: ['--service', 'proxy', '--provider', 'iam'],
      code: 2,
      says: '--claims',
    },
    {
      name: 'claims and a token',
      words: ['--service', 'proxy', '--provider', 'iam', '--claims', 'x', '--token-file', 'y'],
      code: 2,
      says: 'must not be combined with a token',
    },
    {
      name: 'an unknown provider',
      words: ['--service', 'proxy', '--provider', 'else', '--claims', 'x'],
      code: 2,
      says: 'providers: iam',
    },
    {
      name: 'no such file',
      words: ['--service', 'proxy', '--provider', 'iam', '--claims', '/no/such/file'],
      code: 5,
      says: 'the file or its directory does not exist',
    },
  ])('$name', async ({ words, code, says }) => {
    const run = await explain(words)
    expect(run).toMatchObject({ code, out: '' })
    expect(run.notes).toContain(says)
  })

  test.for(['[1]', '"x"', '{', ''])('%j holds no claims', async (text) => {
    const { code, notes } = await explainClaims(text)
    expect(code).toBe(2)
    expect(notes).toContain('must be a JSON object of claims')
  })
})

test.for([
  { value: 'a', shown: '"a"' },
  { value: ['a', 1, null], shown: '["a",1,null]' },
  { value: undefined, shown: 'nothing' },
  { value: 'a\u0000\u2028\u200bb', shown: '"a\\u0000??b"' },
  { value: 'y'.repeat(117), shown: `"${'y'.repeat(117)}"` },
  { value: 'y'.repeat(119), shown: `"${'y'.repeat(118)}…` },
])('$value is shown as $shown', ({ value, shown }) => {
  expect(displayClaim(value)).toBe(shown)
})
