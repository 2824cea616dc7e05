/** Users of this machine, as whom programs are run. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { CommandError } from './command.ts'

/** A user of this machine. */
export interface Account {
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
}

const LOOKUP_TIMEOUT_MS = 10_000

/** Arguments of setpriv that run what follows as this user, in the groups of that user: Node's own `uid` option drops them all. */
export function setprivArguments({ uid, gid, groups }: Account): readonly string[] {
  const others = groups.length > 0 ? ['--groups', groups.join(',')] : ['--clear-groups']
  return ['--reuid', String(uid), '--regid', String(gid), ...others, '--inh-caps=-all', '--']
}

/**
 * `id` asks whatever the machine asks, LDAP included. A number need not have a name.
 *
 * @throws {CommandError} for a name that nobody has, for root, and when there is no answer in time
 */
export async function findAccount(user: string | number): Promise<Account> {
  const told = await promisify(execFile)('id', ['--', String(user)], {
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    timeout: LOOKUP_TIMEOUT_MS,
  }).catch((error: { readonly killed?: boolean }) => {
    // A directory that is slow today knows the user all the same, and a number without its groups would be another account.
    if (error.killed === true)
      throw new CommandError(
        `the user ${user} could not be looked up within ${LOOKUP_TIMEOUT_MS / 1000} seconds`,
        'check the directory service of this machine (LDAP, sssd), then start again',
      )
    return undefined
  })
  const account = told ? parseId(told.stdout) : accountOfNumber(user)
  if (account === undefined)
    throw new CommandError(
      `there is no user ${user} on this machine`,
      'make the user, or fix executable.user',
    )
  if (account.uid === 0)
    throw new CommandError(
      'executable.user must not be root',
      'name another user; or remove it and set allow_root: true',
    )
  return account
}

/** Reads `uid=1000(alice) gid=1000(alice) groups=1000(alice),27(sudo)`; names may have blanks. */
export function parseId(text: string): Account | undefined {
  const [, uid, gid, groups = ''] =
    /^uid=(\d+)(?:\([^)]*\))? gid=(\d+)(?:\([^)]*\))?(?: groups=(\d.*))?/.exec(text) ?? []
  if (uid === undefined || gid === undefined) return undefined
  const numbers = [...groups.matchAll(/(?:^|,)(\d+)(?=[(,]|$)/g)].map(([, each]) => Number(each))
  return { uid: Number(uid), gid: Number(gid), groups: numbers }
}

function accountOfNumber(user: string | number): Account | undefined {
  const number = Number(user)
  return Number.isInteger(number) ? { uid: number, gid: number, groups: [] } : undefined
}
