/** Hydra's refusals of grants, and how our code reads each. */
import { beforeAll, describe, expect, test } from 'vitest'
import { matchingCheck } from '../../../src/grants/refusal-rules.ts'
import type { GrantCheck, GrantKind } from '../../../src/grants/refusal-types.ts'
import type { Hydra } from '../../support/hydra.ts'
import { AUDIENCE } from '../../support/service.ts'
import type { FormAnswer } from '../../support/token-forms.ts'
import { clientToken, logIn, refresh, SECRET } from './support.ts'

interface RefusalRow {
  readonly name: string
  readonly grant: GrantKind
  readonly answer: (hydra: Hydra) => Promise<FormAnswer>
  readonly error: string
  /** The end of the description; before it come the words of each error. */
  readonly description: string
  readonly check: GrantCheck
}

const TOKEN_TYPE = 'urn:ietf:params:oauth:token-type:access_token'

export const refusalRows: readonly RefusalRow[] = [
  {
    name: 'an audience that the client does not have',
    grant: 'code',
    answer: (hydra) => hydra.logIn({ client: 'without-audience', form: { audience: AUDIENCE } }),
    error: 'invalid_request',
    description: `Requested audience '${AUDIENCE}' has not been whitelisted by the OAuth 2.0 Client.`,
    check: 'audience_not_allowed',
  },
  {
    name: 'a scope that the client does not have',
    grant: 'code',
    answer: (hydra) => hydra.logIn({ client: 'opaque', scope: 'openid storage.read' }),
    error: 'invalid_scope',
    description: "The OAuth 2.0 Client is not allowed to request scope 'storage.read'.",
    check: 'scope_not_allowed',
  },
  {
    name: 'no consent',
    grant: 'code',
    answer: async (hydra) => {
      hydra.app.agrees = false
      try {
        return await hydra.logIn({ client: 'opaque' })
      } finally {
        hydra.app.agrees = true
      }
    },
    error: 'access_denied',
    description: '',
    check: 'login_denied',
  },
  {
    name: 'a client without response types',
    grant: 'code',
    answer: (hydra) => hydra.logIn({ client: 'without-code' }),
    error: 'unsupported_response_type',
    description: "The client is not allowed to request response_type 'code'.",
    check: 'grant_not_enabled',
  },
  {
    name: 'a client without the grant authorization_code',
    grant: 'code',
    answer: (hydra) => hydra.logIn({ client: 'without-grant' }),
    error: 'unauthorized_client',
    description:
      "The OAuth 2.0 Client is not allowed to use authorization grant 'authorization_code'.",
    check: 'grant_not_enabled',
  },
  {
    name: 'a token exchange, which Hydra does not have',
    grant: 'exchange',
    answer: async (hydra) =>
      hydra.token(
        {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: await clientToken(hydra, 'jwt-client'),
          subject_token_type: TOKEN_TYPE,
        },
        { id: 'jwt-client', secret: SECRET },
      ),
    error: 'invalid_request',
    description:
      'Make sure that the client you are using has exactly whitelisted the redirect_uri you specified.',
    check: 'grant_not_enabled',
  },
  {
    name: 'a wrong secret',
    grant: 'exchange',
    answer: (hydra) =>
      hydra.token({ grant_type: 'client_credentials' }, { id: 'jwt-client', secret: 'wrong' }),
    error: 'invalid_client',
    description:
      'Client authentication failed (e.g., unknown client, no client authentication included, or unsupported authentication method).',
    check: 'client_refused',
  },
  {
    name: 'a refresh token of another client',
    grant: 'refresh',
    answer: async (hydra) => refresh(hydra, (await logIn(hydra)).refresh_token, 'jwt'),
    error: 'invalid_grant',
    description:
      'The OAuth 2.0 Client ID from this request does not match the ID during the initial token issuance.',
    check: 'refresh_token_dead',
  },
  {
    name: 'an unknown refresh token',
    grant: 'refresh',
    answer: (hydra) => refresh(hydra, 'ory_rt_unknown.unknown'),
    error: 'invalid_grant',
    description: 'The refresh token is malformed or not valid.',
    check: 'refresh_token_dead',
  },
  {
    name: 'a used refresh token',
    grant: 'refresh',
    answer: async (hydra) => {
      const { refresh_token } = await logIn(hydra)
      await refresh(hydra, refresh_token)
      return refresh(hydra, refresh_token)
    },
    error: 'invalid_grant',
    description: 'The refresh token was already used.',
    check: 'refresh_token_dead',
  },
]

export function grantCases(hydra: () => Hydra): void {
  describe('refusals of grants', () => {
    beforeAll(async () => {
      await hydra().createClient('without-code', { response_types: ['token'] })
      await hydra().createClient('without-grant', { grant_types: ['refresh_token'] })
    })

    test.for(refusalRows)('$name: $check', async ({ grant, answer, error, description, check }) => {
      const { status, body } = await answer(hydra())
      const { error_description: words = '' } = body
      expect(body.error).toBe(error)
      expect(words.endsWith(description), words).toBe(true)
      const read = { status, error, description: words, retryAfterSeconds: undefined }
      // The description comes in a redirect there, without a status.
      expect(matchingCheck(grant, status === 303 ? { ...read, status: 400 } : read)).toBe(check)
    })
  })
}
