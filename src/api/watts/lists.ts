/** The lists of WaTTS: providers, services, credentials. */
import { authorise } from '../../domain/issuing/authorise.ts'
import type { CredentialView } from '../../domain/records.ts'
import type { Store } from '../../domain/store.ts'
import type { Service } from '../../domain/issuing/service.ts'
import type { Provider } from '../../tokens/providers.ts'
import type { VerifiedToken } from '../../tokens/verified-token.ts'

/** Answers `GET oidcp`; version 1 lists only providers that are ready. */
export function listProviders(providers: readonly Provider[], version: 1 | 2): object {
  const shown = providers
    .filter(({ settings }) => settings.login.enabled)
    .map((provider, index) => {
      const { id, ready, issuer: configured } = provider.status()
      const issuer = provider.publishedIssuer() ?? configured
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

/** Answers `GET service`: the services, which of them the caller may use, and how many credentials the caller has. */
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

/** A user sent by a relying service makes one request and sees no lists. */
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

/** Answers `GET credential`: the credentials of the caller that are neither expired nor revoked. */
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

/** WaTTS's names of the interfaces. Any other interface is a "REST interface". */
const interfaceNames: Readonly<Record<string, string>> = {
  web: 'Web App',
  rsp: 'RSP interface',
}
