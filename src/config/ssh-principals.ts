/** Account names of SSH certificates come from claims, and each provider gives those as it likes. */
import { relyingProviderId } from './relying-schema.ts'
import type { RulesSettings } from './rules-schema.ts'

interface SshService {
  readonly plugin: string
  readonly authz: RulesSettings
  readonly settings?:
    | {
        readonly principal_issuer?: string | undefined
        readonly principal_template?: string | undefined
      }
    | undefined
}

/**
 * Services at which users of several providers could get SSH certificates for the same account: the `alice` of one would be let in
 * as the `alice` of the other.
 */
export function principalProblems(configuration: {
  readonly services: Readonly<Record<string, SshService>>
  readonly providers: Readonly<Record<string, unknown>>
  readonly relying_services: Readonly<Record<string, unknown>>
}): readonly { readonly path: readonly string[]; readonly message: string }[] {
  const known = [
    ...Object.keys(configuration.providers),
    ...Object.keys(configuration.relying_services).map(relyingProviderId),
  ]
  return Object.entries(configuration.services).flatMap(([id, service]) => {
    const { plugin, settings } = service
    const isNamed = settings?.principal_issuer ?? settings?.principal_template
    if (plugin !== 'ssh-certificate' || isNamed !== undefined) return []
    const providers = providersLetIn(service.authz, known)
    if (providers.length < 2) return []
    const message = `must be set: users of several providers (${providers.join(', ')}) may use this service, and the same account name of two providers would be one account. Name the issuer whose names are believed, or set principal_template, or let in the users of one provider`
    return [{ path: [id, 'settings', 'principal_issuer'], message }]
  })
}

/** The providers whose users some allow rule may let in. */
function providersLetIn({ allow }: RulesSettings, known: readonly string[]): readonly string[] {
  const named = allow.map(({ provider }) => provider)
  return named.includes('any') ? known : known.filter((id) => named.includes(id))
}
