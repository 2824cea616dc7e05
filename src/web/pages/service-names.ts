/** The names of services on the pages. Ids such as `x509` are for programs. */
import type { Service } from '../../domain/issuing/service.ts'
import type { Web } from '../view.ts'

/** What the built-in plugins make. */
const products: Readonly<Record<string, string>> = {
  'x509-proxy': 'Proxy',
  'x509-certificate': 'Certificate',
  'ssh-certificate': 'SSH certificate',
  info: 'Your login',
}

/**
 * Returns the name of a service for users: the configured one, otherwise what its plugin makes. If several services
 * have the same name, the id follows in brackets. Services that are no longer configured have only their id.
 */
export function serviceName(web: Pick<Web, 'issuing'>, id: string): string {
  const { services } = web.issuing
  const service = services.get(id)
  if (service === undefined) return id
  const name = ownName(service)
  const isShared = [...services.values()].some(
    (other) => other !== service && isListed(other) && ownName(other) === name,
  )
  return isShared ? `${name} (${id})` : name
}

function ownName({ name, plugin, id }: Service): string {
  return name ?? products[plugin.id] ?? id
}

/** The built-in services exist even when the configuration does not name them; then nobody can see them. */
function isListed({ authz }: Service): boolean {
  return !(authz.hide && authz.allow.length === 0)
}
