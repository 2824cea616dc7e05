import { expect, test } from 'vitest'
import {
  createCredentialCounts,
  withinCredentialLimit,
} from '../../../src/domain/issuing/credential-limit.ts'
import type { Identity } from '../../../src/domain/records.ts'
import type { Service } from '../../../src/domain/issuing/service.ts'

/** Records that only know how many credentials there are, and how often they were asked and locked. */
function limitWorld(credentialLimit: number, live: number) {
  const asked = { counts: 0, locks: 0 }
  let credentials = live
  const store = {
    countServiceCredentials: async () => {
      asked.counts += 1
      return credentials
    },
    exclusively: async <Answer>(_name: string, work: () => Promise<Answer>) => {
      asked.locks += 1
      return work()
    },
  }
  const credentialCounts = createCredentialCounts({ store, now: () => new Date() })
  const grant = {
    identity: { id: 'i-1' } as Identity,
    service: { id: 'proxy', credentialLimit } as Service,
  }
  const issue = async (): Promise<void> =>
    withinCredentialLimit({ store, credentialCounts }, grant, async () => {
      credentials += 1
    })
  return { asked, issue, issued: () => credentials - live }
}

test('far from the limit many requests are counted once and take no lock', async () => {
  const { asked, issue, issued } = limitWorld(10_000, 0)
  for (let index = 0; index < 500; index += 1) await issue()
  expect(issued()).toBe(500)
  expect(asked).toEqual({ counts: 1, locks: 0 })
})

test('without a limit nothing is asked', async () => {
  const { asked, issue } = limitWorld(Infinity, 1e6)
  await issue()
  expect(asked).toEqual({ counts: 0, locks: 0 })
})

test.for([
  { name: 'none', limit: 0, live: 0, left: 0 },
  { name: 'a small one', limit: 3, live: 1, left: 2 },
  { name: 'a large one', limit: 10_000, live: 8990, left: 1010 },
  { name: 'one that is used up', limit: 10_000, live: 10_000, left: 0 },
  { name: 'one that was lowered', limit: 2000, live: 10_000, left: 0 },
])('a limit is kept exactly: $name', async ({ limit, live, left }) => {
  const { issue, issued } = limitWorld(limit, live)
  for (let index = 0; index < left; index += 1) await issue()
  await expect(issue()).rejects.toMatchObject({ code: 'limit_reached', check: 'credential_limit' })
  expect(issued()).toBe(left)
})
