/** The list of revoked SSH certificates, made anew for everybody who asks: it is short, since what has ended is not on it. */
import type { SshAuthority } from '../../ca/ssh/authority.ts'
import { createKrl, krlVersionAt } from '../../ca/ssh/krl.ts'
import type { Store } from './records.ts'

/** Comment of the SSH CA's line in the files of hosts. */
export const SSH_AUTHORITY_COMMENT = 'tts-ssh-ca'

/** The KRL as of now, in binary. */
export async function currentKrl(dependencies: {
  readonly sshAuthority: Pick<SshAuthority, 'publicKey'>
  readonly store: Pick<Store, 'revokedSshSerials'>
  readonly now: () => Date
}): Promise<Buffer> {
  const { sshAuthority, store, now } = dependencies
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
