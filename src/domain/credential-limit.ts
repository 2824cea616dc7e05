/** How many credentials of a service one identity may have at once. */
import { TtsError } from '../errors.ts'
import type { Identity, Store } from './records.ts'
import type { Service } from './service.ts'

/** Longest wait for another request of the same identity for the same service. */
const LIMIT_WAIT_MS = 30_000

/**
 * Does the work when there is a place left. Two requests at once must not both find the last one free: they are looked at one
 * after the other, over all replicas.
 *
 * @throws {TtsError} `limit_reached`, check `credential_limit`
 */
export async function withinCredentialLimit<Answer>(
  { store, now }: { readonly store: Store; readonly now: () => Date },
  { identity, service }: { readonly identity: Identity; readonly service: Service },
  work: () => Promise<Answer>,
): Promise<Answer> {
  const { credentialLimit } = service
  if (credentialLimit === Infinity) return work()
  const inTurn = async (): Promise<Answer> => {
    const counts = await store.countCredentials(identity.id, now())
    if ((counts.get(service.id) ?? 0) >= credentialLimit) {
      throw new TtsError('limit_reached', 'the credential limit has been reached', {
        check: 'credential_limit',
        remedy: `services.${service.id}.credential_limit`,
      })
    }
    return work()
  }
  return store.exclusively(`limit ${service.id} ${identity.id}`, inTurn, LIMIT_WAIT_MS)
}
