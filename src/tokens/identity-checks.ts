import type { ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { type Claims, audiencesOf, clientIdsOf, scopesOf } from './claim-values.ts'
import { refusal } from './refusals.ts'

/**
 * What is known of a token. Merged claims hide what a second source says of a claim that the first one has, so that who
 * speaks is judged by the sources: the JWT, its introspection, UserInfo.
 */
export interface KnownClaims {
  readonly claims: Claims
  readonly sources: readonly Claims[]
}

/** For whom a token speaks; `unclear`: it may be a client that its provider dresses up as a user. */
export type Speaker = 'person' | 'client' | 'unclear'

/**
 * For whom a token speaks. Any source that shows a client decides; and where a provider invents users for its clients,
 * as Keycloak does, one has to show a person.
 */
export function speakerOf(sources: readonly Claims[]): Speaker {
  if (hasClientAsSubject(sources) || sources.some(isOfClient)) return 'client'
  return sources.some(isFromKeycloak) && !sources.some(showsPerson) ? 'unclear' : 'person'
}

/** IAM, Hydra, Okta and Cognito put the client's id into `sub`; Spring's server tells it by `aud` alone. */
function hasClientAsSubject(sources: readonly Claims[]): boolean {
  const clients = new Set<unknown>(
    sources.flatMap((claims) => [...clientIdsOf(claims), ...audiencesOf(claims)]),
  )
  return sources.some(({ sub }) => sub !== undefined && clients.has(sub))
}

const SERVICE_ACCOUNT = 'service-account-'
const NAME_CLAIMS = ['preferred_username', 'username']

/**
 * The grant, told by Auth0 (`gty`), ForgeRock (`grant_type`) and Entra (`idtyp`); or Keycloak's user of a client, by its name
 * or by the notes that ClientCredentialsGrantType alone leaves in a session.
 */
function isOfClient(claims: Claims): boolean {
  const { gty, grant_type: grant, idtyp } = claims
  if (gty === 'client-credentials' || grant === 'client_credentials' || idtyp === 'app') return true
  if ([...NAME_CLAIMS, 'sub'].some((name) => isServiceAccount(claims[name]))) return true
  const notes = ['clientHost', 'clientAddress', 'clientId']
  const hasNotes = notes.some((name) => claims[name] !== undefined)
  return isFromKeycloak(claims) && (hasNotes || isByClientCredentials(claims))
}

/** Since Keycloak 26.2, `jti` begins with codes for session, token and grant (DefaultTokenContextEncoderProvider). */
function isByClientCredentials({ jti }: Claims): boolean {
  return typeof jti === 'string' && /^(on|of|tr|nt|ft|un)(rt|lt)cc:/.test(jti)
}

const isServiceAccount = (value: unknown): boolean =>
  typeof value === 'string' && value.toLowerCase().startsWith(SERVICE_ACCOUNT)

/** Its access tokens, and its answers to introspection, which repeat the token. */
const isFromKeycloak = ({ typ }: Claims): boolean =>
  typeof typ === 'string' && typ.toLowerCase() === 'bearer'

/**
 * A user name that is no service account's, or the time of a login: AuthenticationManager.redirectAfterSuccessfulFlow notes
 * that, which client credentials do not pass. `sid` and `session_state` show nobody: OAuth2GrantTypeBase leaves them out for
 * transient sessions only, and with the client setting "use refresh tokens for client credentials grant" (long the default)
 * a service account's session is none.
 */
function showsPerson(claims: Claims): boolean {
  return (
    typeof claims['auth_time'] === 'number' ||
    NAME_CLAIMS.some((name) => typeof claims[name] === 'string' && claims[name] !== '')
  )
}

/** @throws TtsError `invalid_token`, check `user`, for the token of a client alone unless such are allowed. */
export function checkUser(sources: readonly Claims[], settings: ProviderSettings): void {
  if (settings.allow_client_tokens || speakerOf(sources) !== 'client') return
  throw refusal(
    'user',
    'the token speaks for a client and for no user',
    'Log in as a user (not client_credentials), or set allow_client_tokens.',
  )
}

/**
 * Once every source was asked.
 * @throws TtsError `invalid_token`, check `user`, unless the token speaks for a person or client tokens are allowed.
 */
export function requirePerson(sources: readonly Claims[], settings: ProviderSettings): void {
  checkUser(sources, settings)
  if (settings.allow_client_tokens || speakerOf(sources) === 'person') return
  throw refusal(
    'user',
    'the token does not tell whether it speaks for a user or for a client (no preferred_username, no auth_time)',
    'Give the client the scope profile at Keycloak, set introspect: always here, which adds the user name, or set allow_client_tokens.',
  )
}

/** @throws TtsError `insufficient_scope` when a required scope is missing. */
export function checkScopes(claims: Claims, settings: ProviderSettings): void {
  const scopes = scopesOf(claims)
  const missing = settings.required_scopes.filter((scope) => !scopes.includes(scope))
  if (missing.length === 0) return
  const untold = (claims['scope'] ?? claims['scp']) === undefined
  throw new TtsError(
    'insufficient_scope',
    untold
      ? 'the token does not tell its scopes'
      : `the token lacks a required scope: ${missing.join(' ')}`,
    {
      check: 'scope',
      scope: settings.required_scopes.join(' '),
      remedy: untold
        ? 'Switch on IAM_ACCESS_TOKEN_INCLUDE_SCOPE or use the wlcg profile at INDIGO IAM, or set introspect: always here.'
        : 'Let the client request the scopes in required_scopes, and allow them for it at the provider.',
    },
  )
}
