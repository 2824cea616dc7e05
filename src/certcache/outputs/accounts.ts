/** Looks up the numeric ids of users and groups: in the system's files, then with `getent`, which also knows LDAP. */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { TtsError } from '../../base/errors.ts'

const GETENT_TIMEOUT_MS = 5000
const MAX_OUTPUT_BYTES = 64 * 1024
const run = promisify(execFile)

/** @throws {TtsError} `configuration` when there is no such user, or no answer in time */
export async function userId(account: string | number): Promise<number> {
  return lookUpId(account, { database: 'passwd', word: 'user' })
}

/** @throws {TtsError} `configuration` when there is no such group, or no answer in time */
export async function groupId(account: string | number): Promise<number> {
  return lookUpId(account, { database: 'group', word: 'group' })
}

interface AccountDatabase {
  readonly database: 'passwd' | 'group'
  readonly word: string
}

async function lookUpId(
  account: string | number,
  { database, word }: AccountDatabase,
): Promise<number> {
  if (typeof account === 'number') return account
  if (/^\d+$/.test(account)) return Number(account)
  const content = await readFile(`/etc/${database}`, 'utf8').catch(() => '')
  const id = findId(content, account) ?? findId(await getent(database, account), account)
  if (id !== undefined) return id
  throw new TtsError('configuration', `${word} ${account} does not exist on this machine`, {
    check: 'account',
    remedy: `Name an existing ${word}, or give its numeric id.`,
  })
}

/** The numeric id is the third field in both files. */
function findId(text: string, name: string): number | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}:`))
  const field = line?.split(':')[2]
  return field !== undefined && /^\d+$/.test(field) ? Number(field) : undefined
}

async function getent(database: string, name: string): Promise<string> {
  return run('getent', [database, name], {
    // Our own environment is not passed on: it may hold secrets.
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeout: GETENT_TIMEOUT_MS,
    maxBuffer: MAX_OUTPUT_BYTES,
  }).then(
    ({ stdout }) => stdout,
    (error: { readonly killed?: boolean }) => {
      // A slow directory service says nothing about whether the name exists.
      if (error.killed === true) throw timeoutError(database, name)
      return ''
    },
  )
}

function timeoutError(database: string, name: string): TtsError {
  return new TtsError(
    'configuration',
    `getent ${database} ${name} did not answer within ${GETENT_TIMEOUT_MS / 1000} seconds`,
    {
      check: 'account',
      remedy:
        'Check the directory service of this machine (LDAP, sssd) and start again, or give the numeric id.',
    },
  )
}
