import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { newRsaKey, type SigningKey } from '../../demo/identity-provider/signing-keys.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { badTokens, now } from './bad-token-table.ts'
import { AUDIENCE, refusalOf, settingsFor, until, verifierFor } from './support.ts'

const provider = useIdentityProvider()
let foreignKey: SigningKey
beforeAll(async () => {
  foreignKey = await newRsaKey()
})

test.for(badTokens)('$name', async ({ mint, text, settings, code, check, message }) => {
  const { issuer } = provider()
  const world = { idp: provider(), foreignKey }
  const changes = mint?.(world) ?? {}
  const token = provider().mint({ ...changes, claims: { aud: AUDIENCE, ...changes.claims } })
  // With keys that may be fetched again; before that, a key may be new (key-set.test.ts).
  const verifier = verifierFor({
    iam: settingsFor(issuer, { jwks_cooldown_seconds: 1, ...settings }),
  })
  await until(() => verifier.status()[0]?.keysFetchedAt !== undefined)
  verifier.advance(2)
  const error = await refusalOf(verifier.verify(text?.(token, world) ?? token))
  expect({ code: error.code, check: error.check }).toEqual({ code: code ?? 'invalid_token', check })
  expect(error.message).toMatch(message)
  expect(error.remedy).toBeTruthy()
  if (code === 'insufficient_scope') expect(error.scope).toBe('tts')
})

test.for([
  { name: 'plain', changes: {} },
  { name: 'at+jwt', changes: { header: { typ: 'at+jwt' } } },
  { name: 'application/at+jwt', changes: { header: { typ: 'application/at+jwt' } } },
  { name: 'no typ', changes: { header: { typ: undefined } } },
  { name: 'no kid', changes: { header: { kid: undefined } } },
  { name: 'Keycloak Bearer', changes: { claims: { typ: 'Bearer', preferred_username: 'alice' } } },
  { name: 'list of audiences', changes: { claims: { aud: ['x', AUDIENCE] } } },
  { name: 'WLCG 1.0', changes: { claims: { 'wlcg.ver': '1.0' } } },
])('good: $name', async ({ changes }) => {
  const token = provider().mint({ ...changes, claims: { aud: AUDIENCE, ...changes.claims } })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  expect(await verifier.verify(token)).toMatchObject({
    providerId: 'iam',
    sub: provider().user('alice').sub,
    clientId: 'demo-cli',
    profile: 'generic',
    clientOnly: false,
  })
})

test('within the leeway a token has not expired', async () => {
  const token = provider().mint({ claims: { aud: AUDIENCE, exp: now() - 30, iat: now() + 30 } })
  await verifierFor({ iam: settingsFor(provider().issuer) }).verify(token)
})

test('the issuer may differ by one trailing slash, on either side', async () => {
  const slashless = provider().issuer.replace(/\/$/, '')
  for (const configured of [provider().issuer, slashless]) {
    const verifier = verifierFor({ iam: settingsFor(configured) })
    for (const iss of [provider().issuer, slashless]) {
      const token = provider().mint({ claims: { aud: AUDIENCE, iss } })
      // One person is one identity, however the setting is spelled.
      expect((await verifier.verify(token)).issuer).toBe(slashless)
    }
  }
})

test.for([
  { name: 'accept_missing_audience', aud: undefined, settings: { accept_missing_audience: true } },
  {
    name: 'accept_any_wlcg_audience',
    aud: 'https://wlcg.cern.ch/jwt/v1/any',
    settings: { accept_any_wlcg_audience: true },
  },
  { name: 'allow_client_tokens', aud: AUDIENCE, settings: { allow_client_tokens: true } },
])('$name lets it in', async ({ name, aud, settings }) => {
  const clientOnly = name === 'allow_client_tokens'
  const token = provider().mint({ claims: { aud, ...(clientOnly && { sub: 'demo-cli' }) } })
  const verifier = verifierFor({ iam: settingsFor(provider().issuer, settings) })
  expect((await verifier.verify(token)).clientOnly).toBe(clientOnly)
})

test('whatever the text is, it is refused by a TtsError that does not repeat it', async () => {
  const verifier = verifierFor({ iam: settingsFor(provider().issuer, { timeout_seconds: 30 }) })
  await until(() => verifier.status()[0]?.keysFetchedAt !== undefined)
  const part = fc.oneof(
    fc.string(),
    fc.base64String(),
    fc.json().map((json) => Buffer.from(json).toString('base64url')),
    fc
      .jsonValue()
      .map((value) =>
        Buffer.from(
          JSON.stringify({ iss: provider().issuer, alg: 'RS256', ...Object(value) }),
        ).toString('base64url'),
      ),
  )
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join('.')),
  )
  await fc.assert(
    fc.asyncProperty(texts, async (text) => {
      verifier.advance(31)
      const error = await refusalOf(verifier.verify(text))
      expect(error.code).toBe('invalid_token')
      if (text.length > 20) expect(`${error.message}${error.remedy}`).not.toContain(text)
    }),
    { numRuns: 300 },
  )
})

/** The remedy is for the operator: what the token says beside what is configured. */
test.for([
  {
    name: 'another audience',
    mint: { claims: { aud: ['https://other.example.org', 'x'] } },
    says: [
      'The token is for https://other.example.org, x; accepted: https://tts.example.org.',
      'only if it stands for this service',
    ],
  },
  {
    name: 'the audience that Keycloak puts into every token',
    mint: { claims: { aud: 'account' } },
    says: ['The token is for account;', 'add a mapper of the type Audience'],
    never: 'providers.<id>.audiences',
  },
  {
    name: 'another issuer',
    mint: { claims: { iss: 'https://idp.example.org' } },
    says: ['The token is from https://idp.example.org; trusted: http://127.0.0.1:'],
  },
  {
    name: 'an algorithm that is not accepted',
    mint: { signature: 'RS512' },
    says: ['signed with RS512; accepted: RS256, ES256.'],
  },
  {
    name: 'an audience that would break a line of the log, and is long',
    mint: { claims: { aud: `a\n\u001b[31m${'x'.repeat(1000)}` } },
    says: [`The token is for a??[31m${'x'.repeat(293)}; accepted`],
  },
] as const)('the operator reads both sides: $name', async (row) => {
  const { mint, says } = row
  const claims = { aud: AUDIENCE, ...('claims' in mint ? mint.claims : {}) }
  const verifier = verifierFor({ iam: settingsFor(provider().issuer) })
  const { remedy } = await refusalOf(verifier.verify(provider().mint({ ...mint, claims })))
  for (const text of says) expect(remedy).toContain(text)
  if ('never' in row) expect(remedy).not.toContain(row.never)
})
