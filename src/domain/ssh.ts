/** The list of revoked SSH certificates; short, since what has ended is not on it. */
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { createKrl, krlVersionAt } from '../../ca/ssh/krl.ts'
import type { Store } from './records.ts'

/** Comment of the SSH CA's line in the files of hosts. */
export const SSH_AUTHORITY_COMMENT = 'tts-ssh-ca'

/** A revocation by another process is on the list that is served at most so much later; one by this process at once. */
const REMEMBERED_MS = 1000

export interface KrlDependencies {
  readonly sshAuthority: Pick<SshAuthority, 'publicKey'>
  readonly store: Pick<Store, 'revokedSshSerials' | 'revokedHere'>
  readonly now: () => Date
}

/**
 * Answers a function that gives the KRL, in binary. It is made once a second and after each revocation, however many ask, and the old one is given
 * while no new one can be made.
 */
export function createKrlSource(dependencies: KrlDependencies): () => Promise<Buffer> {
  let made:
    { readonly atMs: number; readonly revoked: number; readonly krl: Promise<Buffer> } | undefined
  return () => {
    const revoked = dependencies.store.revokedHere()
    const isFresh = made?.revoked === revoked && performance.now() - made.atMs < REMEMBERED_MS
    if (made !== undefined && isFresh) return made.krl
    const before = made?.krl
    const krl = currentKrl(dependencies).catch((error: unknown) => {
      if (before === undefined) throw error
      return before
    })
    const asked = { atMs: performance.now(), revoked, krl }
    made = asked
    krl.catch(() => {
      if (made === asked) made = undefined
    })
    return krl
  }
}

async function currentKrl({ sshAuthority, store, now }: KrlDependencies): Promise<Buffer> {
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
