/** Checks the settings of a provider that depend on each other. */

interface ClientKeys {
  readonly client_id?: string | undefined
  readonly client_secret?: string | undefined
  readonly client_secret_file?: string | undefined
}

/** Returns whether a client can authenticate: token exchange and refresh are not for public clients. */
const isConfidential = (client: ClientKeys): boolean =>
  client.client_id !== undefined && hasSecret(client)

const hasSecret = (client: ClientKeys | undefined): boolean =>
  (client?.client_secret ?? client?.client_secret_file) !== undefined

/** The settings of a provider that depend on each other. */
interface RelatedSettings extends ClientKeys {
  readonly audiences: readonly string[]
  readonly accept_any_wlcg_audience: boolean
  readonly accept_missing_audience: boolean
  readonly introspect: string
  readonly required_scopes: readonly string[]
  readonly maximum_token_lifetime_seconds?: number | undefined
  readonly client_authentication?: string | undefined
  readonly delegation?: ClientKeys | undefined
  readonly jwks_refresh_seconds: number
  readonly jwks_maximum_age_seconds: number
}

/** A setting that does not fit the others. */
interface Problem {
  readonly key: string
  /** Completes the name of the key. */
  readonly message: string
}

/** Returns the problems between the settings of one provider. */
export function findProblems(settings: RelatedSettings): readonly Problem[] {
  return [
    ...audienceProblems(settings),
    ...introspectionProblems(settings),
    ...delegationProblems(settings),
    ...(settings.jwks_maximum_age_seconds < settings.jwks_refresh_seconds
      ? [{ key: 'jwks_maximum_age_seconds', message: 'must be at least jwks_refresh_seconds' }]
      : []),
  ]
}

function audienceProblems(settings: RelatedSettings): Problem[] {
  const { accept_any_wlcg_audience: any, accept_missing_audience: missing } = settings
  if (settings.audiences.length > 0 || any || missing) return []
  const message =
    'needs at least one audience (or accept_any_wlcg_audience or accept_missing_audience)'
  return [{ key: 'audiences', message }]
}

function introspectionProblems(settings: RelatedSettings): Problem[] {
  const { introspect, client_id: clientId, client_authentication: authentication } = settings
  if (introspect === 'never') return []
  if (introspect === 'userinfo') return userInfoProblems(settings)
  const needsNoSecret = authentication === 'none' && clientId !== undefined
  if (isConfidential(settings) || needsNoSecret) return []
  const message =
    'needs client_id and client_secret_file, to authenticate at the provider (or client_authentication: none)'
  return [{ key: 'introspect', message }]
}

/** What UserInfo does not show cannot be required. */
function userInfoProblems(settings: RelatedSettings): Problem[] {
  const { accept_missing_audience: accepts, required_scopes: scopes } = settings
  const lifetime = settings.maximum_token_lifetime_seconds
  const cannot = 'must not be set with introspect: userinfo, because UserInfo does not show'
  const audience =
    'needs accept_missing_audience: true for userinfo, because UserInfo does not show the audience of a token'
  return [
    ...(accepts ? [] : [{ key: 'introspect', message: audience }]),
    ...(scopes.length === 0 ? [] : [{ key: 'required_scopes', message: `${cannot} scopes` }]),
    ...(lifetime === undefined
      ? []
      : [{ key: 'maximum_token_lifetime_seconds', message: `${cannot} the lifetime` }]),
  ]
}

function delegationProblems(settings: RelatedSettings): Problem[] {
  const { delegation } = settings
  const client = delegation?.client_id === undefined ? settings : delegation
  const secret =
    'needs client_id and client_secret_file, here or in the section of the provider, to authenticate there'
  return [
    ...(delegation === undefined || isConfidential(client)
      ? []
      : [{ key: 'delegation', message: secret }]),
    ...(delegation?.client_id === undefined && hasSecret(delegation)
      ? [
          {
            key: 'delegation',
            message: 'needs client_id in addition to the client_secret of this section',
          },
        ]
      : []),
  ]
}
