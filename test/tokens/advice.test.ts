/** The advice on refused tokens, by the product of the provider. */
import { describe, expect, test } from 'vitest'
import { PROVIDER_PROFILES, type ProviderProfile } from '../../src/config/provider-profile.ts'
import { authorise } from '../../src/domain/issuing/authorise.ts'
import { adviceOn, type AdviceTopic } from '../../src/tokens/advice.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { AUDIENCE, refusalOf, settingsFor, type SettingsInput, verifierFor } from './support.ts'

const topics = [
  'missing_audience',
  'wrong_audience',
  'account_audience',
  'missing_claim',
  'no_scopes',
  'missing_scope',
  'client_token',
  'unclear_subject',
  'missing_subject',
  'unknown_kind',
  'inactive',
  'no_introspection_endpoint',
] as const satisfies readonly AdviceTopic[]

describe.for(PROVIDER_PROFILES)('%s', (profile) => {
  test.for(topics)('%s: full sentences, with the values of the configuration', (topic) => {
    for (const claim of ['groups', 'wlcg.groups', 'email']) {
      const text = adviceOn(topic, profile, { audience: AUDIENCE, claim })
      expect(text).toMatch(/^[A-Z][^\n]*\.$/)
      expect(text).not.toContain('undefined')
      if (topic === 'wrong_audience') expect(text).toContain(AUDIENCE)
      if (topic === 'missing_claim') expect(text).toContain(claim)
    }
    expect(adviceOn(topic, profile)).not.toContain('audience=undefined')
  })
})

test('Hydra: a rule may name a claim with or without ext', () => {
  const text = adviceOn('missing_claim', 'hydra', { claim: 'ext.groups' })
  expect(text).toBe(adviceOn('missing_claim', 'hydra', { claim: 'groups' }))
  expect(text).toContain('put groups into session.access_token')
})

test.for(['keycloak', 'indigo-iam', 'dex', 'hydra'] as const)(
  '%s: no advice about another product',
  (profile) => {
    const others = {
      keycloak: /INDIGO|IAM_|Dex|Hydra/,
      'indigo-iam': /Keycloak|Dex|Hydra/,
      dex: /INDIGO|IAM_|Keycloak|Hydra/,
      hydra: /INDIGO|IAM_|Keycloak|Dex/,
    }
    const special: Readonly<Record<typeof profile, readonly AdviceTopic[]>> = {
      keycloak: topics.filter((topic) => topic !== 'no_introspection_endpoint'),
      'indigo-iam': [
        'missing_audience',
        'wrong_audience',
        'missing_claim',
        'no_scopes',
        'inactive',
      ],
      dex: ['missing_audience', 'wrong_audience', 'missing_claim', 'no_scopes', 'unknown_kind'],
      hydra: [
        'missing_audience',
        'missing_claim',
        'unknown_kind',
        'inactive',
        'no_introspection_endpoint',
      ],
    }
    for (const topic of special[profile]) {
      const text = adviceOn(topic, profile, { audience: AUDIENCE, claim: 'groups' })
      expect(text).not.toBe(adviceOn(topic, 'generic', { audience: AUDIENCE, claim: 'groups' }))
      expect(text).not.toMatch(others[profile])
    }
  },
)

describe('in refusals', () => {
  const provider = useIdentityProvider()
  interface Row {
    readonly name: string
    readonly profile: ProviderProfile
    readonly claims: Record<string, unknown>
    readonly settings?: SettingsInput
    readonly remedy: string
  }
  const rows: readonly Row[] = [
    {
      name: 'no audience',
      profile: 'generic',
      claims: { aud: undefined },
      remedy: `Request an audience: at INDIGO IAM add audience=${AUDIENCE} to the authorization or token request. Or set accept_missing_audience, after reading what it means.`,
    },
    {
      name: 'no audience',
      profile: 'indigo-iam',
      claims: { aud: undefined },
      remedy: `Add audience=${AUDIENCE} to the authorization or token request; in a device login to the token request. Or set accept_missing_audience, after reading what it means.`,
    },
    {
      name: 'another audience',
      profile: 'generic',
      claims: { aud: 'else' },
      remedy: `The token is for else; accepted: ${AUDIENCE}. Request the audience ${AUDIENCE}. Add the audience of the token to providers.<id>.audiences only if it stands for this service.`,
    },
    {
      name: "Keycloak's account",
      profile: 'generic',
      claims: { aud: 'account' },
      remedy: `The token is for account; accepted: ${AUDIENCE}. Request the audience ${AUDIENCE}. At Keycloak, add a mapper of the type Audience to the client that requests the token.`,
    },
    {
      name: "Keycloak's account",
      profile: 'keycloak',
      claims: { aud: 'account' },
      remedy: `The token is for account; accepted: ${AUDIENCE}. Add a mapper of the type Audience to the client that requests the token (Clients, Client scopes, the dedicated scope), with ${AUDIENCE} as included custom audience and "Add to access token" on.`,
    },
    {
      name: 'another audience',
      profile: 'dex',
      claims: { aud: 'else' },
      remedy: `The token is for else; accepted: ${AUDIENCE}. Request the scope audience:server:client_id:${AUDIENCE}, and name the client that requests the token in trustedPeers of that client at Dex. The audience of a token of Dex is always a client. Add the audience of the token to providers.<id>.audiences only if it stands for this service.`,
    },
    {
      name: 'another audience',
      profile: 'hydra',
      claims: { aud: 'else' },
      remedy: `The token is for else; accepted: ${AUDIENCE}. Add ${AUDIENCE} to the list of audiences of the client at Hydra, and add audience=${AUDIENCE} to the authorization request. Hydra ignores resource, and an audience at refresh. Add the audience of the token to providers.<id>.audiences only if it stands for this service.`,
    },
    {
      name: 'an unclear subject',
      profile: 'keycloak',
      claims: { aud: AUDIENCE, typ: 'Bearer' },
      remedy:
        'Give the client that requests the token the scopes profile and basic, which add preferred_username and auth_time, set introspect: always here, which adds the user name, or set allow_client_tokens.',
    },
    {
      name: 'a service account',
      profile: 'keycloak',
      claims: { aud: AUDIENCE, typ: 'Bearer', preferred_username: 'service-account-x' },
      remedy:
        'Log in as a user: this is the token of a service account. Or set allow_client_tokens.',
    },
    {
      name: 'a lightweight token',
      profile: 'keycloak',
      claims: { aud: AUDIENCE, typ: 'Bearer', sub: undefined },
      remedy:
        'Give the client that requests the token the scope basic, which adds sub. Or switch off "Always use lightweight access token" for it, or set introspect: always here.',
    },
    {
      name: 'an access token like an ID token',
      profile: 'dex',
      claims: { aud: AUDIENCE, client_id: undefined, at_hash: 'h' },
      remedy:
        'Set access_token_evidence to none: access tokens of Dex look like ID tokens. Then list in audiences only clients that show their ID tokens to nobody else.',
    },
    {
      name: 'no scopes',
      profile: 'hydra',
      claims: { aud: AUDIENCE },
      settings: { required_scopes: ['tts'] },
      remedy:
        'Let the client request the scopes in required_scopes: Hydra lists the granted ones in scp.',
    },
    {
      name: 'a missing scope',
      profile: 'keycloak',
      claims: { aud: AUDIENCE, scope: 'openid' },
      settings: { required_scopes: ['tts'] },
      remedy:
        'Assign the scopes in required_scopes to the client that requests the token, as default scopes or as optional ones that it requests, with "Include in token scope" on.',
    },
  ]
  test.for(rows)('$profile, $name', async ({ profile, claims, settings, remedy }) => {
    const { sub } = provider().user('alice')
    const verifier = verifierFor({ iam: settingsFor(provider().issuer, { profile, ...settings }) })
    const token = provider().mint({ claims: { sub, ...claims } })
    expect((await refusalOf(verifier.verify(token))).remedy).toBe(remedy)
  })

  test('an opaque token of Hydra, whose discovery document has no introspection endpoint', async () => {
    const url = new URL('.well-known/openid-configuration', provider().issuer)
    const document = (await (await fetch(url)).json()) as object
    const body = { ...document, introspection_endpoint: undefined }
    provider().faults.set('/.well-known/openid-configuration', { kind: 'body', body })
    const client = { client_id: 'c', client_secret: 's', introspect: 'opaque' } as const
    const settings = settingsFor(provider().issuer, { profile: 'hydra', ...client })
    const refused = await refusalOf(verifierFor({ iam: settings }).verify('opaque'))
    expect(refused.remedy).toBe(
      'Send a JWT. Set endpoints.introspection to that of the administration port (/admin/oauth2/introspect): Hydra has none on its public port.',
    )
  })

  test('the advice follows the provider of the token', async () => {
    const { sub } = provider().user('alice')
    const settings = settingsFor(provider().issuer, { profile: 'keycloak' })
    const claims = { sub, aud: AUDIENCE, groups: ['/cms'] }
    const verified = await verifierFor({ iam: settings }).verify(provider().mint({ claims }))
    const rule = (claim: string) => ({
      allow: [{ provider: 'any', claims: { [claim]: { contains: 'cms' } } }],
      forbid: [],
    })
    const decide = (claim: string) => authorise(rule(claim), verified).remedy
    expect(decide('groups')).toBe(
      'Change the allow rules, or the user\'s values of groups at the provider. While "Full group path" is on in the mapper of the groups, they begin with a slash: a rule must name /cms, not cms, or switch it off.',
    )
    expect(decide('wlcg.groups')).toMatch(
      /^Add a mapper of the type Group Membership .* wlcg\.groups /,
    )
    expect(authorise(rule('groups'), { ...verified, profile: 'generic' }).remedy).toBe(
      "Change the allow rules, or the user's values of groups at the provider.",
    )
  })
})
