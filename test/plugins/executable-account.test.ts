import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'
import { findAccount } from '../../plugins/executable/account.ts'

vi.mock('node:child_process', async (original) => {
  const actual = await original<typeof import('node:child_process')>()
  // What execFile rejects with after its `timeout`.
  const late = Object.assign(new Error('Command failed'), { killed: true, signal: 'SIGTERM' })
  const execFile = Object.assign(() => undefined, {
    [promisify.custom]: async () => Promise.reject(late),
  })
  return { ...actual, execFile }
})

test.for(['somebody-in-ldap', 1234])(
  'a directory that is slow does not make %s unknown, nor take its groups',
  async (user) => {
    await expect(findAccount(user)).rejects.toMatchObject({
      message: `the user ${user} cannot be looked up: no answer within 10 seconds`,
    })
  },
)
