/** Numbers of users and groups by name: from the system's files, else by `getent`, which knows LDAP and the like. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { TtsError } from '../../base/errors.ts'

const GETENT_TIMEOUT_MS = 5000
const MAX_OUTPUT_BYTES = 64 * 1024
const run = promisify(execFile)

/** @throws {TtsError} `configuration` for a name that nobody has, or when there is no answer in time */
export async function userId(account: string | number): Promise<number> {
  return idOf(account, { database: 'passwd', word: 'user' })
}

/** @throws {TtsError} `configuration` for a name that no group has, or when there is no answer in time */
export async function groupId(account: string | number): Promise<number> {
  return idOf(account, { database: 'group', word: 'group' })
}

interface Kind {
  readonly database: 'passwd' | 'group'
  readonly word: string
}

async function idOf(account: string | number, { database, word }: Kind): Promise<number> {
  if (typeof account === 'number') return account
  if (/^\d+$/.test(account)) return Number(account)
  const known = await readFile(`/etc/${database}`, 'utf8').catch(() => '')
  const id = findId(known, account) ?? findId(await getent(database, account), account)
  if (id !== undefined) return id
  throw new TtsError('configuration', `there is no ${word} ${account} on this machine`, {
    check: 'account',
    remedy: `Name an existing ${word}, or give its number.`,
  })
}

/** Both files have the number in their third field. */
function findId(text: string, name: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}:`))
  const field = line?.split(':')[2]
  return field !== undefined && /^\d+$/.test(field) ? Number(field) : undefined
}

async function getent(database: string, name: string): Promise<string> {
  return run('getent', [database, name], {
    // Of our environment nothing: secrets may stand in it.
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeout: GETENT_TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  }).then(
    ({ stdout }) => stdout,
    (error: { readonly killed?: boolean }) => {
      // A directory that is slow today knows the name all the same.
      if (error.killed === true) throw noAnswer(database, name)
      return ''
    },
  )
}

function noAnswer(database: string, name: string): TtsError {
  return new TtsError(
    'configuration',
    `getent ${database} ${name} gave no answer within ${GETENT_TIMEOUT_MS / 1000} seconds`,
    {
      check: 'account',
      remedy:
        'Check the directory service of this machine (LDAP, sssd) and start again, or give the number.',
    },
  )
}
