/**
 * Replaces `~` at the start of conf_params. A program that did so itself would get the directory of its run, which is
 * its HOME and is removed afterwards: what it stores there would be lost.
 */
import { execFile } from 'node:child_process'
import { homedir } from 'node:os'
import { promisify } from 'node:util'
import { CommandError } from './command.ts'
import type { ConfParams } from './parameters.ts'
import type { ExecutableSettings } from './settings.ts'

const LOOKUP_TIMEOUT_MS = 10_000

/**
 * Returns the values with the home directory of the user who runs the program in place of `~` and `~/…`. Other values
 * stay as they are, and all of them if the program runs on another machine, where HOME is a home.
 *
 * @throws {CommandError} the user has no home directory
 */
export async function expandHome(
  values: ConfParams['values'],
  { connection, user }: Pick<ExecutableSettings, 'connection' | 'user'>,
): Promise<ConfParams['values']> {
  const name = Object.keys(values).find((key) => beginsWithHome(values[key]))
  if (name === undefined || connection.type === 'ssh') return values
  const home = user === undefined ? ownHome() : await homeOf(user)
  if (home === undefined || !home.startsWith('/'))
    throw new CommandError(
      `conf_params.${name} begins with ~, but the user who runs the program has no home directory`,
      'Write the absolute path.',
    )
  const expand = (value: boolean | string): boolean | string =>
    beginsWithHome(value) ? `${home.replace(/\/$/, '')}${value.slice(1)}` : value
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, expand(value)]))
}

function beginsWithHome(value: unknown): value is string {
  return typeof value === 'string' && /^~(?:\/|$)/.test(value)
}

/** A service in a container may run as a number that no user has; then only the environment names a home. */
function ownHome(): string | undefined {
  try {
    return homedir()
  } catch {
    return undefined
  }
}

async function homeOf(user: string | number): Promise<string | undefined> {
  const output = await promisify(execFile)('getent', ['passwd', String(user)], {
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    timeout: LOOKUP_TIMEOUT_MS,
  }).catch(() => undefined)
  const home = output?.stdout.trimEnd().split(':')[5]
  return home === '' ? undefined : home
}
