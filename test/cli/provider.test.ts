import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { obtainAccessToken } from '../../demo/user-agent.ts'
import { configurationSchema } from '../../src/config/schema.ts'
import { createTokenVerifier } from '../../src/tokens/verify-token.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { runTts, type TtsRunOptions } from '../support/terminal.ts'

const provider = useIdentityProvider()
const AUDIENCE = 'https://tts.example.org'
let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-probe-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const probe = async (words: readonly string[] = [], options: TtsRunOptions = {}) =>
  runTts(['provider', 'probe', provider().issuer, ...words], options)

const logIn = async (): Promise<string> => {
  const request = { clientId: 'demo-cli', username: 'alice', scope: 'openid profile' }
  const { issuer } = provider()
  return (await obtainAccessToken({ issuer, ...request, audience: AUDIENCE })).access_token
}

function privateFile(name: string, text: string): string {
  const path = join(directory, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}
const withClient = () => {
  const { clientId, clientSecret } = provider().clients.tts
  return ['--client-id', clientId, '--client-secret-file', privateFile('secret', clientSecret)]
}

/** Verifies the token with the printed settings, and returns its claims. */
async function verifyWith(printed: string, token: string) {
  const yaml = printed.slice(printed.indexOf('providers:'), printed.indexOf('\nTo do:'))
  const tree = parse(yaml.replace('/etc/tts/client-secret', join(directory, 'secret'))) as object
  const { providers } = configurationSchema.parse(tree)
  const { clientSecret } = provider().clients.tts
  const [[id, settings] = ['', undefined]] = Object.entries(providers)
  if (settings === undefined) throw new Error('no provider was printed')
  const needsSecret = settings.client_secret_file !== undefined
  const verifier = createTokenVerifier({
    providers: { [id]: { ...settings, ...(needsSecret && { client_secret: clientSecret }) } },
    now: () => new Date(),
    log: { info: () => undefined, warn: () => undefined },
  })
  try {
    return (await verifier.verify(token)).claims
  } finally {
    await verifier.close()
  }
}

describe('tts provider probe', () => {
  test('without a token: product, endpoints, algorithms, and no rule', async () => {
    const { out, code, notes } = await probe()
    expect({ code, notes }).toEqual({ code: 0, notes: '' })
    expect(out).toMatch(/^looks like +: indigo-iam$/m)
    expect(out).toContain(`introspection        : ${provider().issuer}introspect\n`)
    expect(out).toMatch(/^signs with +: RS256$/m)
    expect(out).not.toContain('services:')
    expect(
      configurationSchema.safeParse(
        parse(out.slice(out.indexOf('providers:'), out.indexOf('\nTo do:'))),
      ).success,
    ).toBe(true)
  })

  const cases: readonly [string, object, boolean, string[]][] = [
    ['a JWT without groups', {}, false, ['userinfo: when_missing_groups', 'contains: cms']],
    ['a JWT with everything', { includeAuthnInfo: true, includeScope: true }, false, []],
    ['a JWT of the wlcg profile', { profile: 'wlcg' }, true, []],
    ['an opaque token', { format: 'opaque' }, false, ['introspect: userinfo']],
    ['an opaque token, with our client', { format: 'opaque' }, true, ['introspect: opaque']],
  ]
  test.for(cases)('%s: the settings accept it', async ([, tokens, hasClient, lines]) => {
    Object.assign(provider().tokens, tokens)
    const token = await logIn()
    const words = ['--token', ...(hasClient ? withClient() : [])]
    const { out, code } = await probe(words, { environment: { BEARER_TOKEN: token } })
    expect(code).toBe(0)
    for (const line of lines) expect(out).toContain(line)
    expect(out).not.toContain(token)
    const claims = await verifyWith(out, token)
    expect(claims['sub']).toBe(provider().user('alice').sub)
  })

  test('a token for nobody, of unknown kind: what must be done', async () => {
    const token = provider().mint({ claims: { aud: undefined, client_id: undefined } })
    const { out } = await probe(['--token-file', privateFile('token', token)])
    expect(out).toMatch(/^token +: a JWT, of unknown kind$/m)
    expect(out).toContain('- Nothing says that this is an access token.')
    expect(out).toContain('- The token has no audience:')
    expect(out).toContain('- Neither the token nor the provider names groups of its user.')
  })

  test('nothing that a provider sends steers the terminal', async () => {
    const { issuer } = provider()
    const escape = '\u001b[2J'
    provider().faults.set('/.well-known/openid-configuration', {
      kind: 'body',
      body: { issuer, jwks_uri: `${issuer}jwk`, token_endpoint: `${issuer}${escape}token` },
    })
    const claims = { [`groups${escape}`]: ['cms'], groups: [`cms${escape}`] }
    const token = provider().mint({ claims })
    const { out, notes } = await probe(['--token-file', privateFile('escape', token)])
    expect(out).toContain('?[2J')
    expect(out + notes).not.toContain('\u001b')
  })

  test('as JSON', async () => {
    const { out } = await probe(['--json'])
    expect(JSON.parse(out)).toMatchObject({
      profile: 'indigo-iam',
      settings: { issuer: provider().issuer, profile: 'indigo-iam' },
    })
  })

  test.for([
    ['no https', ['provider', 'probe', 'http://iam.example.org'], 2, /not an acceptable URL/],
    [
      'no https for introspection',
      [
        'provider',
        'probe',
        'http://127.0.0.1:1',
        '--introspection-endpoint',
        'http://hydra.example.org/admin/oauth2/introspect',
      ],
      2,
      /the introspection endpoint is not an acceptable URL/,
    ],
    ['nobody there', ['provider', 'probe', 'http://127.0.0.1:1'], 4, /connection failed/],
    [
      'no secret',
      ['provider', 'probe', 'http://127.0.0.1:1', '--client-secret-file', '/nonexistent'],
      2,
      /--client-secret-file: .*\/nonexistent/,
    ],
  ] as const)('%s', async ([, words, code, notes]) => {
    const run = await runTts([...words])
    expect(run.code).toBe(code)
    expect(run.notes).toMatch(notes)
  })

  test('a token of another issuer is refused: 3', async () => {
    const token = provider().mint({ signature: 'HS256-public-key' })
    const run = await probe(['--token-file', privateFile('forged', token)])
    expect(run.code).toBe(3)
    expect(run.out).toBe('')
  })
})

describe('the product is recognised by the paths of its endpoints', () => {
  test.for([
    ['keycloak', { token_endpoint: 'realms/x/protocol/openid-connect/token' }],
    ['hydra', { token_endpoint: 'oauth2/token', jwks_uri: '.well-known/jwks.json' }],
    [
      'dex',
      {
        token_endpoint: 'dex/token',
        device_authorization_endpoint: 'dex/device/code',
        jwks_uri: 'dex/keys',
      },
    ],
    ['generic', { token_endpoint: 'token', jwks_uri: 'keys' }],
  ] as const)('%s', async ([profile, paths]) => {
    const { issuer } = provider()
    const urls = Object.entries(paths).map(([name, path]) => [name, `${issuer}${path}`])
    const body = { issuer, ...Object.fromEntries(urls) }
    provider().faults.set('/.well-known/openid-configuration', { kind: 'body', body })
    const { out } = await probe(['--json'])
    expect(JSON.parse(out)).toMatchObject({ profile })
  })
})
