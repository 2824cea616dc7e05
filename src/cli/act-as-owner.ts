/**
 * Operator commands that root runs act as the owner of the data directory. Otherwise they would leave files of root
 * there, which the service could not read at its next start.
 */
import { TtsError } from '../base/errors.ts'
import { type DirectoryOwner, otherOwnerOf } from '../files/data-directory.ts'
import { checkTrustedGroup } from '../files/trusted-group.ts'

/**
 * For how long root's rights are given up. A program that is started after `until_written` can take them back, because
 * its real user is still root: only commands without plugins may use it.
 */
export type Renunciation = 'for_good' | 'until_written'

/**
 * Gives up root's rights in favour of the owner of the data directory, if that is another user.
 *
 * @throws {TtsError} `configuration`, check `trusted_group` (the owner is not a member)
 */
export function actAsOwnerOf(dataDirectory: string, renunciation: Renunciation): void {
  const owner = otherOwnerOf(dataDirectory)
  if (owner === undefined) return
  // The user comes last, because only root may set groups.
  useGroupsOf(owner)
  if (renunciation === 'until_written') {
    process.setegid?.(owner.gid)
    process.seteuid?.(owner.uid)
  } else {
    // As root, these set the real, the effective and the saved id.
    process.setgid?.(owner.gid)
    process.setuid?.(owner.uid)
  }
  checkTrustedGroup()
}

/** Takes root's rights back after `until_written`, to write outside the data directory. */
export function actAsCaller(): void {
  if (process.getuid?.() !== 0 || process.geteuid?.() === 0) return
  process.seteuid?.(0)
  process.setegid?.(process.getgid?.() ?? 0)
}

/**
 * Refuses to run the service as root on the data of another user.
 *
 * @throws {TtsError} `configuration`, check `root`, with the command to run instead
 */
export function refuseRootOnOthersData(dataDirectory: string): void {
  const owner = otherOwnerOf(dataDirectory)
  if (owner === undefined) return
  throw new TtsError(
    'configuration',
    `root must not run the service on the data of another user: ${dataDirectory} belongs to user id ${owner.uid}`,
    {
      check: 'root',
      remedy: `Run it as that user: sudo -u '#${owner.uid}' tts serve …. If the service must run as root, for plugins with \`user\`, give the directory to root: chown -R root '${dataDirectory}'.`,
    },
  )
}

/** The groups of the user; of a user without an entry in passwd, the group of the directory. */
function useGroupsOf({ uid, gid }: DirectoryOwner): void {
  // The types of Node lack it.
  const system: object = process
  const initgroups: unknown = Reflect.get(system, 'initgroups')
  try {
    if (typeof initgroups === 'function') Reflect.apply(initgroups, process, [uid, gid])
  } catch {
    process.setgroups?.([gid])
  }
}
