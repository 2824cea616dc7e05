/** What WaTTS listed: providers, services, credentials. */
import { authorise } from '../../domain/issuing/authorise.ts'
import type { CredentialView } from '../../domain/records.ts'
import type { Store } from '../../domain/store.ts'
import type { Service } from '../../domain/issuing/service.ts'
import type { Provider } from '../../tokens/providers.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'

/** `GET oidcp`: version 1 tells only those that are ready. */
export function listProviders(providers: readonly Provider[], version: 1 | 2): object {
  const shown = providers
    .filter(({ settings }) => settings.login.enabled)
    .map((provider, index) => {
      const { id, ready, issuer } = provider.status()
      const desc = provider.settings.description ?? id
      return { id, desc, priority: index + 1, ready, issuer }
    })
  const list =
    version === 2
      ? shown
      : shown.filter(({ ready }) => ready).map(({ id, issuer }) => ({ id, issuer }))
  return { openid_provider_list: list }
}

interface Listing {
  readonly store: Store
  readonly services: ReadonlyMap<string, Service>
  readonly now: () => Date
}

/** `GET service`: what there is, what the caller may use, and how much of it is left. */
export async function listServices(
  { store, services, now }: Listing,
  token: VerifiedToken,
  version: 1 | 2,
): Promise<object> {
  if (isRelying(token)) return { service_list: [] }
  const shown = [...services.values()]
    .map((service) => ({ service, ...authorise(service.authz, token) }))
    .filter(({ service, allowed }) => allowed || !service.authz.hide)
    .sort((one, other) => byPriority(one.service, other.service))
  if (version === 1) {
    const inner = { type: 'none', host: 'localhost', port: '1234' }
    return { service_list: shown.map(({ service }) => ({ id: service.id, ...inner })) }
  }
  const identity = await store.findIdentity(token)
  const counts = identity && (await store.countCredentials(identity.id, now()))
  const list = shown.map(({ service, allowed }) =>
    presentService(service, { allowed, count: counts?.get(service.id) ?? 0 }),
  )
  return { service_list: list }
}

/** Users whom a relying service sent have one request, and nothing to look at. */
function isRelying({ providerId }: VerifiedToken): boolean {
  return providerId.startsWith('rsp-')
}

function byPriority(one: Service, other: Service): number {
  const difference = (one.priority ?? Infinity) - (other.priority ?? Infinity)
  if (difference !== 0 && !Number.isNaN(difference)) return difference
  return one.id < other.id ? -1 : 1
}

function presentService(
  { id, description, enabled, plugin, credentialLimit, authz, passesAccessToken }: Service,
  { allowed, count }: { readonly allowed: boolean; readonly count: number },
): object {
  const problem =
    plugin.problem && `the plugin of this service cannot be used: ${plugin.problem.reason}`
  return {
    id,
    description,
    enabled,
    cred_count: count,
    cred_limit: credentialLimit === Infinity ? -1 : credentialLimit,
    limit_reached: count >= credentialLimit,
    params: plugin.parameterSets,
    authorized: allowed,
    authz_tooltip: (allowed ? problem : (authz.tooltip ?? problem)) ?? '',
    pass_access_token: passesAccessToken,
  }
}

const MAX_LISTED = 1000

/** `GET credential`: what the caller has that lives. */
export async function sendCredentials(
  { store, now }: Pick<Listing, 'store' | 'now'>,
  token: VerifiedToken,
  version: 1 | 2,
): Promise<object> {
  const identity = isRelying(token) ? undefined : await store.findIdentity(token)
  const views =
    identity === undefined
      ? []
      : await store.listCredentials({
          identityId: identity.id,
          activeAt: now(),
          listed: true,
          limit: MAX_LISTED,
        })
  const presented = views.map(presentCredential)
  return {
    credential_list:
      version === 2
        ? presented
        : presented.map((credential) => ({ id: { ...credential, cred_state: 'hidden' } })),
  }
}

function presentCredential({ id, issuedAt, origin, serviceId }: CredentialView): object {
  return {
    cred_id: id,
    ctime: issuedAt.toUTCString(),
    interface: interfaceNames[origin.interface] ?? 'REST interface',
    service_id: serviceId,
  }
}

/** WaTTS's names of the interfaces; all others are REST interfaces too. */
const interfaceNames: Readonly<Record<string, string>> = {
  web: 'Web App',
  rsp: 'RSP interface',
}
