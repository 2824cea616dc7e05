/** Who is refused by which ban, and in which groups a replica records that somebody was seen. */
import { expect, test } from 'vitest'
import { createBanList } from '../../../src/domain/bans/ban-list.ts'
import type { Ban } from '../../../src/domain/bans/records.ts'

const refused = { code: 'access_denied', check: 'banned' }

function listOf(...groups: readonly string[]) {
  const bans = groups.map((group): Ban => {
    const target = { kind: 'group', issuer: undefined, group } as const
    const about = { reason: 'why', createdAt: new Date(0), createdBy: 'cli', liftedAt: undefined }
    return { id: group, target, ...about }
  })
  const recorded: string[] = []
  let at = new Date('2026-11-27T12:00:00Z')
  const list = createBanList(
    {
      inForce: async () => ({ bans, identityIds: new Set() }),
      rememberGroups: async (_id, seen) => void recorded.push(seen.join(' ')),
    },
    () => at,
  )
  const nextDay = (): void => {
    at = new Date(at.getTime() + 86_400_000)
  }
  return { list, recorded, nextDay }
}

const user = (...groups: readonly string[]) => ({
  issuer: 'https://iam.example',
  sub: 'alice',
  claims: { groups },
})

test('a banned group is found among however many', async () => {
  const many = Array.from({ length: 5000 }, (_, index) => `g${index}`)
  const { list } = listOf('zzz')
  await expect(list.requireNotBanned(user(...many))).resolves.toBeUndefined()
  await expect(list.requireNotBanned(user(...many, 'zzz'))).rejects.toMatchObject(refused)
})

test('groups are recorded when they are new, and again each day', async () => {
  const { list, recorded, nextDay } = listOf()
  await list.rememberGroups(user('b', '/a'), 'i-1')
  await list.rememberGroups(user('a', 'b'), 'i-1')
  expect(recorded).toEqual(['a b'])
  await list.rememberGroups(user('a'), 'i-1')
  await list.rememberGroups(user('a', 'b'), 'i-2')
  expect(recorded).toEqual(['a b', 'a', 'a b'])
  nextDay()
  await list.rememberGroups(user('a'), 'i-1')
  expect(recorded).toEqual(['a b', 'a', 'a b', 'a'])
  // A token without groups says nothing of them.
  await list.rememberGroups(user(), 'i-1')
  expect(recorded).toHaveLength(4)
})
