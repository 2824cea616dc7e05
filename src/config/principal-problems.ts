/** SSH services whose account names two providers could give to two people. */
import type { ServiceSettings } from './service-schema.ts'

type Service = Pick<ServiceSettings, 'plugin' | 'enabled' | 'settings' | 'authz'>

/**
 * The services of the plugin `ssh-certificate` that take account names from more than one provider: each gives names as it
 * likes, so that the `alice` of one would log in as the `alice` of another.
 *
 * @param providers ids of all providers, those of relying services (`rsp-…`) among them
 */
export function principalProblems(
  services: Readonly<Record<string, Service>>,
  providers: readonly string[],
): readonly { readonly path: readonly string[]; readonly message: string }[] {
  return Object.entries(services).flatMap(([id, service]) => {
    const believed = believedProviders(service, providers)
    if (believed.length < 2) return []
    const message = `needs the issuer whose account names are believed, because users of ${believed.join(', ')} may use this service, and two of them with the same name would get certificates for one account; or principal_template, or allow rules for one provider alone`
    return [{ path: [id, 'settings', 'principal_issuer'], message }]
  })
}

/** Those whose word on account names counts: what the allow rules let in, where no setting says otherwise. */
function believedProviders(service: Service, providers: readonly string[]): readonly string[] {
  const { plugin, enabled, settings, authz } = service
  const isSettled =
    settings?.principal_issuer !== undefined || settings?.principal_template !== undefined
  if (plugin !== 'ssh-certificate' || !enabled || isSettled) return []
  const allowed = new Set(authz.allow.map(({ provider }) => provider))
  return allowed.has('any') ? providers : providers.filter((id) => allowed.has(id))
}
