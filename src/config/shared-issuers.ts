/**
 * Checks of issuers and aliases over all providers. Two issuers must not share an alias, otherwise two people could
 * share a subject name. Several ids may have one issuer, for several logins at it; they name the same people.
 */

/** One provider of the configuration. */
export interface ConfiguredProvider {
  readonly id: string
  /** Without a trailing slash. */
  readonly issuer: string
  /** Text after the @ in subject names. */
  readonly alias: string
  readonly settings: Readonly<Record<string, unknown>>
}

interface Problem {
  readonly path: readonly string[]
  readonly message: string
}

/** What may differ between ids of one issuer: how people log in, not what is trusted. */
const OWN_KEYS: readonly string[] = [
  'issuer',
  'alias',
  'description',
  'audiences',
  'client_id',
  'client_secret',
  'client_secret_file',
  'login',
]

/** Returns the problems of providers that depend on other providers. */
export function sharedIssuerProblems(providers: readonly ConfiguredProvider[]): readonly Problem[] {
  return providers.flatMap((provider, index) => {
    const earlier = providers.slice(0, index)
    const first = earlier.find(({ issuer }) => issuer === provider.issuer)
    if (first !== undefined) return differences(provider, first)
    const alias = provider.alias.toLowerCase()
    const other = earlier.find((one) => one.alias.toLowerCase() === alias)
    if (other === undefined) return []
    const message = `must be unique, but the provider ${other.id} has the same`
    return [{ path: [provider.id, 'alias'], message }]
  })
}

function differences(
  { id, alias, settings }: ConfiguredProvider,
  first: ConfiguredProvider,
): readonly Problem[] {
  const names = Object.keys({ ...first.settings, ...settings }).filter(
    (name) =>
      !OWN_KEYS.includes(name) &&
      JSON.stringify(settings[name]) !== JSON.stringify(first.settings[name]),
  )
  const problems = names.map((name) => ({
    path: [id, name],
    message: `must be the same as for the provider ${first.id}, which has the same issuer; only description, audiences, the client and login may differ`,
  }))
  if (alias === first.alias) return problems
  const message = `must be ${first.alias}, as for the provider ${first.id}, which has the same issuer: both name the same people`
  return [{ path: [id, 'alias'], message }, ...problems]
}
