/** Looks up the users of this machine as whom programs are run. */
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

/**
 * Returns arguments of setpriv that run a command as this user with all its groups; Node's `uid` option would drop
 * the groups.
 */
export function setprivArguments({ uid, gid, groups }: Account): readonly string[] {
  const others = groups.length > 0 ? ['--groups', groups.join(',')] : ['--clear-groups']
  return ['--reuid', String(uid), '--regid', String(gid), ...others, '--inh-caps=-all', '--']
}

/**
 * Looks up a user by name or number with `id`, which also asks LDAP where the machine does. A number without a name
 * is accepted.
 *
 * @throws {CommandError} no such user, the user is root, or no answer within 10 seconds
 */
export async function findAccount(user: string | number): Promise<Account> {
  const output = await promisify(execFile)('id', ['--', String(user)], {
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    timeout: LOOKUP_TIMEOUT_MS,
  }).catch((error: { readonly killed?: boolean }) => {
    // Not the same as an unknown user: without its groups a number would be a different account.
    if (error.killed === true)
      throw new CommandError(
        `the user ${user} cannot be looked up: no answer within ${LOOKUP_TIMEOUT_MS / 1000} seconds`,
        'Check the directory service of this machine (LDAP, sssd), then start again.',
      )
    return undefined
  })
  const account = output ? parseId(output.stdout) : accountOfNumber(user)
  if (account === undefined)
    throw new CommandError(
      `there is no user ${user} on this machine`,
      'Create the user, or correct executable.user.',
    )
  if (account.uid === 0)
    throw new CommandError(
      'executable.user must not be root',
      'Name another user, or remove it and set allow_root: true.',
    )
  return account
}

/** Reads `uid=1000(alice) gid=1000(alice) groups=1000(alice),27(sudo)`; names may contain spaces. */
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
