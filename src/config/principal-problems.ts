/** Finds SSH services where two providers could give the same account name to two people. */
import type { ServiceSettings } from './service-schema.ts'

type Service = Pick<ServiceSettings, 'plugin' | 'enabled' | 'settings' | 'authz'>

/**
 * Returns a problem for each service of the plugin `ssh-certificate` that takes account names from more than one
 * provider. Providers choose names independently, so `alice` of one provider would log in as `alice` of another.
 *
 * @param providers ids of all providers, including those of relying services (`rsp-…`)
 */
export function principalProblems(
  services: Readonly<Record<string, Service>>,
  providers: readonly string[],
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  return Object.entries(services).flatMap(([id, service]) => {
    const trusted = trustedProviders(service, providers)
    if (trusted.length < 2) return []
    const message = `must be set, because users of ${trusted.join(', ')} may use this service, and two users with the same name would get certificates for the same account; set it to the issuer whose account names are trusted, or set principal_template, or allow only one provider`
    return [{ path: [id, 'settings', 'principal_issuer'], message }]
  })
}

/**
 * Returns the providers whose account names are trusted: all that the allow rules name, unless a setting restricts
 * them.
 */
function trustedProviders(service: Service, providers: readonly string[]): readonly string[] {
  const { plugin, enabled, settings, authz } = service
  const isSettled =
    settings?.principal_issuer !== undefined || settings?.principal_template !== undefined
  if (plugin !== 'ssh-certificate' || !enabled || isSettled) return []
  const allowed = new Set(authz.allow.map(({ provider }) => provider))
  return allowed.has('any') ? providers : providers.filter((id) => allowed.has(id))
}
