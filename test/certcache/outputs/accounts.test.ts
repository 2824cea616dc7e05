import { promisify } from 'node:util'
import { expect, test, vi } from 'vitest'
import { groupId, userId } from '../../../src/certcache/outputs/accounts.ts'

vi.mock('node:child_process', async (original) => {
  const actual = await original<typeof import('node:child_process')>()
  // What execFile rejects with after its `timeout`.
  const late = Object.assign(new Error('Command failed'), { killed: true, signal: 'SIGTERM' })
  const execFile = Object.assign(() => undefined, {
    [promisify.custom]: async () => Promise.reject(late),
  })
  return { ...actual, execFile }
})

test('a directory that is slow does not make a name unknown', async () => {
  await expect(userId('somebody-in-ldap')).rejects.toMatchObject({
    code: 'configuration',
    message: 'getent passwd somebody-in-ldap did not answer within 5 seconds',
  })
  await expect(groupId('somebody-in-ldap')).rejects.toMatchObject({
    message: 'getent group somebody-in-ldap did not answer within 5 seconds',
  })
})
