/** How many credentials of a service one identity may have at once. */
import { LRUCache } from 'lru-cache'
import { TtsError } from '../../base/errors.ts'
import type { Identity } from '../records.ts'
import type { Store } from '../store.ts'
import type { Service } from './service.ts'

/** Longest wait for another request of the same identity for the same service. */
const LIMIT_WAIT_MS = 30_000
/** How long a count is remembered. */
const REMEMBERED_MS = 5000
const MAX_REMEMBERED = 20_000
/**
 * As long as so many places are free, a request is neither counted nor made to wait for others: more than all replicas issue for
 * one identity while a count is remembered. Limits that are not larger than this are kept exactly all the time.
 */
const LEAST_FREE = 500

/** What is remembered of an identity's credentials of a service. */
export interface CredentialCounts {
  /** As it was counted less than five seconds ago, and what was begun in this process since then. */
  get(key: CountKey): Promise<number>
  /** One more was begun. */
  add(key: CountKey): void
  /** As it is now. */
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
  const counts = new LRUCache<string, { count: Promise<number>; added: number }>({
    max: MAX_REMEMBERED,
    ttl: REMEMBERED_MS,
  })
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
 * Does the work when there is a place left. Two requests at once must not both find the last one free: near the limit they are
 * looked at one after the other, over all replicas.
 *
 * @throws {TtsError} `limit_reached`, check `credential_limit`
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
