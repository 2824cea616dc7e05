/** Limits how many valid credentials of a service one identity may have. */
import { TtsError } from '../../base/errors.ts'
import { createRecentValues } from '../../base/recent-values.ts'
import type { Identity } from '../records.ts'
import type { Store } from '../store.ts'
import type { Service } from './service.ts'

/** Longest wait for another request of the same identity for the same service. */
const LIMIT_WAIT_MS = 30_000
/** How long a count is cached. */
const REMEMBERED_MS = 5000
const MAX_REMEMBERED = 20_000
/**
 * With more free places than this, a request relies on the cached count and takes no lock. The number is larger than
 * what all replicas can issue for one identity while a count is cached. Limits up to this size are always enforced
 * exactly.
 */
const LEAST_FREE = 500

/** Cached numbers of valid credentials. */
export interface CredentialCounts {
  /** Returns a count that is at most five seconds old, plus the requests that this process has started since. */
  get(key: CountKey): Promise<number>
  /** Counts a request that was started. */
  add(key: CountKey): void
  /** Counts in the database. */
  exact(key: CountKey): Promise<number>
}

export interface CountKey {
  readonly identityId: string
  readonly serviceId: string
}

export function createCredentialCounts({
  store,
  now,
}: {
  readonly store: Pick<Store, 'countServiceCredentials'>
  readonly now: () => Date
}): CredentialCounts {
  const counts = createRecentValues<{ count: Promise<number>; added: number }>(
    MAX_REMEMBERED,
    REMEMBERED_MS,
  )
  const nameOf = ({ identityId, serviceId }: CountKey): string => `${serviceId} ${identityId}`
  const exact = async (key: CountKey): Promise<number> => store.countServiceCredentials(key, now())
  return {
    exact,
    async get(key) {
      const name = nameOf(key)
      const known = counts.get(name) ?? { count: exact(key), added: 0 }
      if (!counts.has(name)) counts.set(name, known)
      try {
        return (await known.count) + known.added
      } catch (error) {
        if (counts.peek(name) === known) counts.delete(name)
        throw error
      }
    },
    add(key) {
      const known = counts.get(nameOf(key))
      if (known !== undefined) known.added += 1
    },
  }
}

/**
 * Runs `work` if the identity is below the service's credential limit. Near the limit a lock over all replicas
 * serialises the requests, so that two of them cannot both take the last place.
 *
 * @throws {TtsError} `limit_reached`, check `credential_limit`; `overloaded`, check `busy`; what `work` throws
 */
export async function withinCredentialLimit<Answer>(
  {
    store,
    credentialCounts: counts,
  }: { readonly store: Pick<Store, 'exclusively'>; readonly credentialCounts: CredentialCounts },
  { identity, service }: { readonly identity: Identity; readonly service: Service },
  work: () => Promise<Answer>,
): Promise<Answer> {
  const { credentialLimit } = service
  if (credentialLimit === Infinity) return work()
  const key = { identityId: identity.id, serviceId: service.id }
  const leastFree = Math.max(LEAST_FREE, credentialLimit / 10)
  if (credentialLimit > leastFree) {
    const free = credentialLimit - (await counts.get(key))
    counts.add(key)
    if (free > leastFree) return work()
  }
  const inTurn = async (): Promise<Answer> => {
    if ((await counts.exact(key)) >= credentialLimit) {
      throw new TtsError('limit_reached', 'the credential limit has been reached', {
        check: 'credential_limit',
        remedy: `Raise services.${service.id}.credential_limit if identities may have more credentials.`,
      })
    }
    return work()
  }
  return store.exclusively(`limit ${service.id} ${identity.id}`, inTurn, LIMIT_WAIT_MS)
}
