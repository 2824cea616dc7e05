/** Reads the credentials that the page of a user covers. */
import type { CredentialFilter, CredentialView } from '../../domain/records.ts'
import type { Store } from '../../domain/store.ts'

/** The largest page of the store. */
export const MAX_READ = 1000

export interface NewestCredentials {
  /** Newest first. Those that the user removed from the list are among them: a revocation ends them too. */
  readonly views: readonly CredentialView[]
  /** Whether the user may have more in the list than these. */
  readonly mayHaveMore: boolean
}

/**
 * Reads the newest credentials of a user's list. Removed ones, of which a client may leave thousands behind, take the
 * place of none.
 */
export async function newestCredentials(
  store: Pick<Store, 'listCredentials'>,
  filter: Pick<CredentialFilter, 'identityId' | 'activeAt'>,
): Promise<NewestCredentials> {
  const all = await store.listCredentials({ ...filter, limit: MAX_READ })
  if (all.length < MAX_READ) return { views: all, mayHaveMore: false }
  const listed = await store.listCredentials({ ...filter, listed: true, limit: MAX_READ })
  const removed = all.filter(({ forgottenAt }) => forgottenAt !== undefined)
  const views = [...listed, ...removed].toSorted(
    (left, right) => right.issuedAt.getTime() - left.issuedAt.getTime(),
  )
  return { views, mayHaveMore: listed.length === MAX_READ }
}
