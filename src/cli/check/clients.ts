/**
 * The checks of our clients at a provider: the endpoints that each use needs, and the secret. A secret is tested with
 * a token that does not exist, so nothing changes at the provider: a wrong secret is refused before the token is.
 */
import { randomUUID } from 'node:crypto'
import * as oidc from 'openid-client'
import { unlessAborted } from '../../base/async.ts'
import { TtsError } from '../../base/errors.ts'
import { requestHabits } from '../../config/provider-profile.ts'
import { perform } from '../../grants/grant-client.ts'
import { remedyOf } from '../../grants/refusal-advice.ts'
import { delegationProviders } from '../../service/compose-delegations.ts'
import { adviceOn } from '../../tokens/advice.ts'
import { probeIntrospection } from '../../tokens/introspection.ts'
import type { Provider } from '../../tokens/providers.ts'
import { unavailable } from '../../tokens/refusals.ts'
import { type Check, failure } from './check.ts'

export interface ClientContext {
  /** Ends the wait for the provider. */
  readonly signal: AbortSignal
  readonly now: () => Date
  /** Whether people can log in on the web pages. */
  readonly webEnabled: boolean
  /** URL of this service without a slash at its end. */
  readonly publicUrl: string
}

interface Tested extends ClientContext {
  readonly provider: Provider
  readonly metadata: oidc.ServerMetadata
}

/** Checks each configured use of a provider that has been discovered. */
export async function clientChecks(provider: Provider, context: ClientContext): Promise<Check[]> {
  const { settings } = provider
  const metadata = (await provider.configuration()).serverMetadata()
  const tested = { ...context, provider, metadata }
  const offersLogin =
    context.webEnabled && settings.login.enabled && settings.client_id !== undefined
  const checks = await Promise.all([
    ['never', 'userinfo'].includes(settings.introspect) ? undefined : introspectionCheck(tested),
    settings.delegation === undefined ? undefined : delegationCheck(tested),
    offersLogin ? loginCheck(tested) : undefined,
  ])
  return [...checks, ...userInfoChecks(tested), ...exchangeChecks(tested)].filter(
    (check) => check !== undefined,
  )
}

/** No provider has issued this token. It says in the provider's log what it is for. */
const unknownToken = (): string => `tts-check-${randomUUID()}`

async function introspectionCheck({ provider, metadata, signal }: Tested): Promise<Check> {
  const { id } = provider
  const check = `provider ${id} introspection`
  if (metadata.introspection_endpoint === undefined) {
    return {
      check,
      state: 'failed',
      detail: 'introspect is set, but the discovery document names no introspection endpoint',
      remedy: adviceOn('no_introspection_endpoint', provider.settings.profile),
    }
  }
  try {
    const answer = await unlessAborted(probeIntrospection(unknownToken(), provider), signal, () =>
      unavailable(id, late()),
    )
    if (typeof answer === 'object') return refusedClient(check, id, answer.status)
    if (answer === 'inactive')
      return { check, state: 'ok', detail: 'the provider accepts our client' }
    return {
      check,
      state: 'failed',
      detail: 'the provider says that a token is active which does not exist',
      remedy: `Set providers.${id}.introspect to never: with these answers anybody could make a token. Check endpoints.introspection.`,
    }
  } catch (error) {
    return untested(check, error)
  }
}

function refusedClient(check: string, id: string, status: number): Check {
  return {
    check,
    state: 'failed',
    detail: `the provider refuses our client (HTTP status ${status}): a wrong secret, or the client may not introspect`,
    remedy: `Compare providers.${id}.client_id and client_secret_file with the client at the provider, and allow it to introspect.`,
  }
}

function userInfoChecks({ provider: { id, settings }, metadata }: Tested): Check[] {
  const isUsed = settings.userinfo !== 'never' || settings.introspect === 'userinfo'
  if (!isUsed || metadata.userinfo_endpoint !== undefined) return []
  return [
    {
      check: `provider ${id} userinfo`,
      state: 'failed',
      detail: 'UserInfo is used, but the discovery document names no UserInfo endpoint',
      remedy: `Set providers.${id}.endpoints.userinfo, or set userinfo (or introspect: userinfo) to never.`,
    },
  ]
}

/**
 * Tests the secret with a refresh: unlike a token exchange, it has no policies and scopes that some providers look at
 * first.
 */
async function delegationCheck({ provider, metadata, signal, now }: Tested): Promise<Check> {
  const { id } = provider
  const check = `provider ${id} delegation`
  if (metadata.token_endpoint === undefined) {
    return {
      check,
      state: 'failed',
      detail: 'the section delegation is set, but the discovery document names no token endpoint',
      remedy: `Set providers.${id}.endpoints.token, or remove the section delegation.`,
    }
  }
  const client = delegationProviders([provider], { now }).get(id)?.client
  const refreshToken = unknownToken()
  const refresh = async () => client?.refresh({ refreshToken, audience: undefined, signal })
  return testSecret(check, refresh, `providers.${id}.delegation`)
}

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'

/** Only a warning: few providers list all their grants. */
function exchangeChecks({ provider: { id, settings }, metadata }: Tested): Check[] {
  const { grant_types_supported: grants, token_endpoint: endpoint } = metadata
  if (settings.delegation === undefined || endpoint === undefined) return []
  if (grants === undefined || grants.includes(TOKEN_EXCHANGE)) return []
  return [
    {
      check: `provider ${id} token exchange`,
      state: 'warning',
      detail:
        'the discovery document does not name token exchange (grant_types_supported), which delegations need',
      remedy:
        settings.profile === 'generic'
          ? 'Switch token exchange on at the provider, and for the client of delegations.'
          : remedyOf('grant_not_enabled', settings.profile),
    },
  ]
}

/** Tests the client with an authorization code, the grant that the login uses. */
async function loginCheck(tested: Tested): Promise<Check> {
  const { provider, metadata, signal, now, publicUrl } = tested
  const { id, settings } = provider
  const check = `provider ${id} login`
  const missing = (['authorization_endpoint', 'token_endpoint'] as const).find(
    (name) => metadata[name] === undefined,
  )
  if (missing !== undefined) {
    return {
      check,
      state: 'warning',
      detail: `the web page offers a login, but the discovery document names no ${missing}`,
      remedy: `Set providers.${id}.endpoints.${missing.replace('_endpoint', '')}, or login.enabled to false.`,
    }
  }
  const client = {
    configuration: async () => provider.configuration(),
    providerId: id,
    habits: requestHabits(settings),
    timeoutMs: settings.timeout_seconds * 1000,
    now,
  }
  const parameters = {
    code: unknownToken(),
    redirect_uri: `${publicUrl}${settings.login.redirect_path}`,
    code_verifier: oidc.randomPKCECodeVerifier(),
  }
  const exchange = async () =>
    perform(client, { kind: 'code', signal }, async (configuration) =>
      oidc.genericGrantRequest(configuration, 'authorization_code', parameters),
    )
  return testSecret(check, exchange, `providers.${id}`)
}

/**
 * Runs a grant that must be refused, and tells from the refusal whether the client was accepted.
 *
 * @param section section of the configuration with the client
 */
async function testSecret(
  check: string,
  grant: () => Promise<unknown>,
  section: string,
): Promise<Check> {
  try {
    await grant()
  } catch (error) {
    if (!(error instanceof TtsError) || error.code !== 'grant_refused')
      return untested(check, error)
    switch (error.check) {
      case 'client_refused':
        return {
          ...failure(check, error),
          detail: 'the provider refuses our client: an unknown client, or a wrong secret',
          remedy: `Compare client_id and client_secret_file in ${section} with the client at the provider.`,
        }
      case 'grant_not_enabled':
        return { ...failure(check, error), state: 'warning' }
      default:
        return { check, state: 'ok', detail: 'the provider accepts our client' }
    }
  }
  return {
    check,
    state: 'failed',
    detail: 'the provider gives tokens for a refresh token or code that does not exist',
    remedy: 'Do not trust this provider: report the fault to its administrator.',
  }
}

const late = (): Error => new DOMException('the deadline has passed', 'TimeoutError')

function untested(check: string, error: unknown): Check {
  if (!(error instanceof TtsError)) throw error
  const { remedy } = error
  return {
    check,
    state: 'warning',
    detail: 'our client could not be tested: the provider gave no usable answer in time',
    ...(remedy !== undefined && { remedy }),
  }
}
