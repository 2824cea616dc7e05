/**
 * A group whose members may use the private files of this process, because the operator says so. Kubernetes gives all
 * files of a volume with fsGroup to that group, with the group's permission bits, at each start of a pod.
 */
import { TtsError } from '../base/errors.ts'

let trusted: number | undefined

/**
 * Trusts a group from now on; undefined: none.
 *
 * @param check `later`: this process is about to become another user, and then calls `checkTrustedGroup`
 * @returns how to go back to the group before
 * @throws {TtsError} `configuration`, check `trusted_group` (this process is not a member)
 */
export function trustGroup(gid: number | undefined, check: 'now' | 'later' = 'now'): () => void {
  if (check === 'now') refuseForeign(gid)
  const before = trusted
  trusted = gid
  return () => {
    trusted = before
  }
}

/** @throws {TtsError} `configuration`, check `trusted_group` (this process is not a member of the trusted group) */
export function checkTrustedGroup(): void {
  refuseForeign(trusted)
}

function refuseForeign(gid: number | undefined): void {
  if (gid === undefined || ownGroups().includes(gid)) return
  throw new TtsError(
    'configuration',
    `trusted_group: found ${gid}; must be a group of this process, which has ${ownGroups().join(', ')}`,
    {
      check: 'trusted_group',
      remedy: 'In Kubernetes, set it to the fsGroup of the pod. Otherwise leave it out.',
    },
  )
}

/** Returns the permission bits without those of the group, if it is trusted. */
export function modeForOthers({
  mode,
  gid,
}: {
  readonly mode: number
  readonly gid: number
}): number {
  return gid === trusted ? mode & ~0o070 : mode
}

/** How to accept the group of a file. */
export function groupRemedy(gid: number): string {
  return ownGroups().includes(gid)
    ? ` If all members of group ${gid} may use it (on a Kubernetes volume with fsGroup, for example), set trusted_group: ${gid}.`
    : ''
}

function ownGroups(): readonly number[] {
  const own = process.getegid?.()
  return [...new Set([...(own === undefined ? [] : [own]), ...(process.getgroups?.() ?? [])])]
}
