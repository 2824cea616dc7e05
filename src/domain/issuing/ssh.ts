/** The KRL of revoked SSH certificates. It is made again only when another certificate was revoked. */
import type { SshAuthority } from '../../../ca/ssh/authority.ts'
import { createKrl, krlVersionAt } from '../../../ca/ssh/krl.ts'
import type { Log } from '../../base/log.ts'
import type { Store } from '../store.ts'

/** Comment of the SSH CA's public key in the files of hosts. */
export const SSH_AUTHORITY_COMMENT = 'tts-ssh-ca'

/** A revocation by another process appears in the KRL after at most this time; one by this process immediately. */
const REMEMBERED_MS = 1000
/** Age at which the KRL is made again even without a new revocation, to drop expired certificates. */
const LASTS_MS = 3600 * 1000

export interface KrlDependencies {
  readonly sshAuthority: Pick<SshAuthority, 'publicKey'>
  readonly store: Pick<Store, 'revokedSshSerials' | 'countRevokedSsh' | 'revokedHere'>
  readonly now: () => Date
  readonly log: Log
}

interface MadeKrl {
  readonly krl: Buffer
  /** Number of SSH certificates ever revoked when it was made. */
  readonly revoked: number
  readonly atMs: number
}

/**
 * Returns a function that returns the KRL in binary, the same object until a new one is made. The database is asked
 * at most once a second whether there was a revocation. While a new KRL cannot be made, the old one is served;
 * without an old one the promise is rejected with `TtsError` `store_unavailable`.
 */
export function createKrlSource(dependencies: KrlDependencies): () => Promise<Buffer> {
  const { store, log } = dependencies
  let made: MadeKrl | undefined
  let looked:
    | { readonly atMs: number; readonly revokedHere: number; readonly krl: Promise<Buffer> }
    | undefined

  async function look(): Promise<Buffer> {
    try {
      // Count before listing: a revocation in between is in this list, and the higher count then only causes one more
      // KRL.
      const revoked = await store.countRevokedSsh()
      const atMs = performance.now()
      if (made !== undefined && made.revoked === revoked && atMs - made.atMs < LASTS_MS)
        return made.krl
      const krl = await currentKrl(dependencies)
      // A run that started later may have finished first.
      if (made === undefined || revoked >= made.revoked) made = { krl, revoked, atMs }
      return made.krl
    } catch (error) {
      if (made === undefined) throw error
      log.error(
        { event: 'krl.failed', err: error },
        'could not make a new KRL; serving the old one',
      )
      return made.krl
    }
  }

  return () => {
    const revokedHere = store.revokedHere()
    const isFresh =
      looked?.revokedHere === revokedHere && performance.now() - looked.atMs < REMEMBERED_MS
    if (looked !== undefined && isFresh) return looked.krl
    const request = { atMs: performance.now(), revokedHere, krl: look() }
    looked = request
    request.krl.catch(() => {
      if (looked === request) looked = undefined
    })
    return request.krl
  }
}

async function currentKrl({
  sshAuthority,
  store,
  now,
}: Omit<KrlDependencies, 'log'>): Promise<Buffer> {
  const generatedAt = now()
  return createKrl({
    authority: sshAuthority.publicKey,
    version: krlVersionAt(generatedAt),
    generatedAt,
    comment: SSH_AUTHORITY_COMMENT,
    serials: await store.revokedSshSerials(generatedAt),
    keyIds: [],
  })
}
