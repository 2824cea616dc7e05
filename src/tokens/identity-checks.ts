import type { ProviderSettings } from '../config/provider-schema.ts'
import { TtsError } from '../base/errors.ts'
import { adviceOn } from './advice.ts'
import { type Claims, audiencesOf, clientIdsOf, scopesOf } from './claim-values.ts'
import { refusal } from './refusals.ts'

/**
 * The claims of a token. In the merged claims the first source hides different values of a second one, so whether a
 * token is of a user or of a client is decided by the sources: the JWT, its introspection, UserInfo.
 */
export interface KnownClaims {
  readonly claims: Claims
  readonly sources: readonly Claims[]
  /** Whether UserInfo is among the sources, so that it need not be asked again. */
  readonly hasUserInfo?: boolean
}

/** Whose token it is; `unclear`: perhaps of a client that the provider represents as a user. */
export type Speaker = 'person' | 'client' | 'unclear'

/**
 * Returns whose token it is. It is a client's if any source shows a client. For providers that create users for
 * clients, as Keycloak does, it is a person's only if some source shows a person.
 */
export function speakerOf(sources: readonly Claims[]): Speaker {
  if (hasClientAsSubject(sources) || sources.some(isOfClient)) return 'client'
  return sources.some(isFromKeycloak) && !sources.some(showsPerson) ? 'unclear' : 'person'
}

/** IAM, Hydra, Okta and Cognito put the client's id into `sub`; Spring's server names it only in `aud`. */
function hasClientAsSubject(sources: readonly Claims[]): boolean {
  const clients = new Set<unknown>(
    sources.flatMap((claims) => [...clientIdsOf(claims), ...audiencesOf(claims)]),
  )
  return sources.some(({ sub }) => sub !== undefined && clients.has(sub))
}

const SERVICE_ACCOUNT = 'service-account-'
const NAME_CLAIMS = ['preferred_username', 'username']

/**
 * Recognises client credentials by the grant (`gty` of Auth0, `grant_type` of ForgeRock, `idtyp` of Entra), or by
 * Keycloak's user of a client: its name, or the notes that only ClientCredentialsGrantType leaves in a session.
 */
function isOfClient(claims: Claims): boolean {
  const { gty, grant_type: grant, idtyp } = claims
  if (gty === 'client-credentials' || grant === 'client_credentials' || idtyp === 'app') return true
  if (namesServiceAccount(claims)) return true
  const notes = ['clientHost', 'clientAddress', 'clientId']
  const hasNotes = notes.some((name) => claims[name] !== undefined)
  return isFromKeycloak(claims) && (hasNotes || isByClientCredentials(claims))
}

/** Whether a claim has the name of Keycloak's user of a client. */
export const namesServiceAccount = (claims: Claims): boolean =>
  [...NAME_CLAIMS, 'sub'].some((name) => isServiceAccount(claims[name]))

/** Since Keycloak 26.2, `jti` begins with codes for session, token and grant (DefaultTokenContextEncoderProvider). */
function isByClientCredentials({ jti }: Claims): boolean {
  return typeof jti === 'string' && /^(on|of|tr|nt|ft|un)(rt|lt)cc:/.test(jti)
}

const isServiceAccount = (value: unknown): boolean =>
  typeof value === 'string' && value.toLowerCase().startsWith(SERVICE_ACCOUNT)

/** Recognises Keycloak's access tokens, and its introspection answers, which repeat the token. */
const isFromKeycloak = ({ typ }: Claims): boolean =>
  typeof typ === 'string' && typ.toLowerCase() === 'bearer'

/**
 * Recognises a person by a user name that is not a service account's, or by the time of a login, which
 * AuthenticationManager.redirectAfterSuccessfulFlow sets and client credentials do not pass. `sid` and
 * `session_state` prove nothing: OAuth2GrantTypeBase leaves them out only for transient sessions, and with the client
 * setting "use refresh tokens for client credentials grant" (long the default) the session of a service account is
 * not transient.
 */
function showsPerson(claims: Claims): boolean {
  return (
    typeof claims['auth_time'] === 'number' ||
    NAME_CLAIMS.some((name) => typeof claims[name] === 'string' && claims[name] !== '')
  )
}

/** @throws {TtsError} `invalid_token`, check `user` (a client's token, and these are not allowed) */
export function checkUser(sources: readonly Claims[], settings: ProviderSettings): void {
  if (settings.allow_client_tokens || speakerOf(sources) !== 'client') return
  throw refusal(
    'user',
    'the token is of a client, not of a user',
    adviceOn('client_token', settings.profile),
  )
}

/**
 * The final check, after every source was asked.
 *
 * @throws {TtsError} `invalid_token`, check `user` (not certainly a person's token, and client tokens are not allowed)
 */
export function requirePerson(sources: readonly Claims[], settings: ProviderSettings): void {
  checkUser(sources, settings)
  if (settings.allow_client_tokens || speakerOf(sources) === 'person') return
  throw refusal(
    'user',
    'the token does not say whether it is of a user or of a client (no preferred_username, no auth_time)',
    adviceOn('unclear_subject', settings.profile),
  )
}

/** @throws {TtsError} `insufficient_scope`, check `scope` (a required scope is missing) @see RFC 6750 section 3.1 */
export function checkScopes(claims: Claims, settings: ProviderSettings): void {
  const scopes = scopesOf(claims)
  const missing = settings.required_scopes.filter((scope) => !scopes.includes(scope))
  if (missing.length === 0) return
  const hasNoScopes = (claims['scope'] ?? claims['scp']) === undefined
  throw new TtsError(
    'insufficient_scope',
    hasNoScopes
      ? 'the token does not name its scopes'
      : `the token lacks a required scope: ${missing.join(' ')}`,
    {
      check: 'scope',
      scope: settings.required_scopes.join(' '),
      remedy: adviceOn(hasNoScopes ? 'no_scopes' : 'missing_scope', settings.profile),
    },
  )
}
