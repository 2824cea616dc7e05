import { describe, expect, test } from 'vitest'
import { PROVIDER_PROFILES, requestHabits } from '../../src/config/provider-profile.ts'
import { remedyOf } from '../../src/grants/refusal-advice.ts'
import { explanations } from '../../src/grants/refusal-words.ts'
import type { GrantCheck } from '../../src/grants/refusal-types.ts'
import { useIdentityProvider } from '../support/identity-provider.ts'
import { calm, clientAt, refusalOf, SCOPES } from './support.ts'

const provider = useIdentityProvider()

describe('the remedy of a refusal names the switch of the product', () => {
  test.for([
    ['keycloak', 400, 'invalid_client', 'Audience not found', /audience mapper of our client/],
    ['keycloak', 400, 'invalid_request', 'requested_token_type unsupported', /Same session/],
    [
      'keycloak',
      403,
      'access_denied',
      'Client is not within the token audience',
      /Included Client Audience/,
    ],
    [
      'keycloak',
      400,
      'invalid_request',
      'Standard token exchange is not enabled for the requested client',
      /Standard Token Exchange/,
    ],
    [
      'indigo-iam',
      401,
      'invalid_client',
      'Unauthorized grant type: x',
      /only an administrator can enable/,
    ],
    ['indigo-iam', 400, 'invalid_scope', 'Invalid scope', /exchange policy/],
    [
      'hydra',
      400,
      'unsupported_grant_type',
      '',
      /`certcache login --browser`: Ory Hydra has no token exchange/,
    ],
    [
      'hydra',
      400,
      'invalid_request',
      'Make sure that the client you are using has exactly whitelisted the redirect_uri you specified.',
      /no token exchange/,
    ],
    ['dex', 400, 'unsupported_grant_type', '', /tokens of its connectors/],
    ['generic', 400, 'unsupported_grant_type', '', /enable the grant/],
  ] as const)('%s: %s %s %s', async ([profile, status, error, description, remedy]) => {
    const body = { error, error_description: description }
    provider().faults.set('/token', { kind: 'body', status, body })
    const habits = requestHabits({ profile, audience_parameter: {} })
    const refused = await refusalOf(
      clientAt(provider(), { habits }).exchange({
        subjectToken: 'token',
        audience: 'https://tts.example.org',
        scopes: SCOPES,
        signal: calm(),
      }),
    )
    expect(refused.error.code).toBe('grant_refused')
    expect(refused.error.remedy).toMatch(remedy)
  })

  test('every remedy is one or more full sentences', () => {
    for (const profile of PROVIDER_PROFILES)
      for (const check of Object.keys(explanations) as GrantCheck[])
        expect(remedyOf(check, profile)).toMatch(/^[A-Z].*\.$/)
  })
})
