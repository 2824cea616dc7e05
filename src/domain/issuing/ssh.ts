/** The list of revoked SSH certificates: made once, and again when one more was revoked. */
import type { SshAuthority } from '../../../ca/ssh/authority.ts'
import { createKrl, krlVersionAt } from '../../../ca/ssh/krl.ts'
import type { Log } from '../../base/log.ts'
import type { Store } from '../store.ts'

/** Comment of the SSH CA's line in the files of hosts. */
export const SSH_AUTHORITY_COMMENT = 'tts-ssh-ca'

/** A revocation by another process is on the list that is served at most so much later; one by this process at once. */
const REMEMBERED_MS = 1000
/** Age at which the list is made anew though nothing was revoked: certificates that have ended leave it then. */
const LASTS_MS = 3600 * 1000

export interface KrlDependencies {
  readonly sshAuthority: Pick<SshAuthority, 'publicKey'>
  readonly store: Pick<Store, 'revokedSshSerials' | 'countRevokedSsh' | 'revokedHere'>
  readonly now: () => Date
  readonly log: Log
}

interface MadeKrl {
  readonly krl: Buffer
  /** How many SSH certificates had ever been revoked. */
  readonly revoked: number
  readonly atMs: number
}

/**
 * Answers a function that gives the KRL, in binary; the same object until there is another one. However many ask, the database is
 * asked once a second whether something was revoked, and the list is made only then. While no new one can be made, the old one is
 * given.
 *
 * Its promise fails with `TtsError` `store_unavailable` when there is no old one.
 */
export function createKrlSource(dependencies: KrlDependencies): () => Promise<Buffer> {
  const { store, log } = dependencies
  let made: MadeKrl | undefined
  let looked:
    | { readonly atMs: number; readonly revokedHere: number; readonly krl: Promise<Buffer> }
    | undefined

  async function look(): Promise<Buffer> {
    try {
      // Counted before listed: what is revoked in between is on this list, and asks for another one all the same.
      const revoked = await store.countRevokedSsh()
      const atMs = performance.now()
      if (made !== undefined && made.revoked === revoked && atMs - made.atMs < LASTS_MS)
        return made.krl
      const krl = await currentKrl(dependencies)
      // One that was begun later may have been quicker.
      if (made === undefined || revoked >= made.revoked) made = { krl, revoked, atMs }
      return made.krl
    } catch (error) {
      if (made === undefined) throw error
      log.error(
        { event: 'krl.failed', err: error },
        'no new KRL could be made; the old one is served',
      )
      return made.krl
    }
  }

  return () => {
    const revokedHere = store.revokedHere()
    const isFresh =
      looked?.revokedHere === revokedHere && performance.now() - looked.atMs < REMEMBERED_MS
    if (looked !== undefined && isFresh) return looked.krl
    const asked = { atMs: performance.now(), revokedHere, krl: look() }
    looked = asked
    asked.krl.catch(() => {
      if (looked === asked) looked = undefined
    })
    return asked.krl
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
