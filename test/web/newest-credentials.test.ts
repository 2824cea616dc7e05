/** "Issued to you" covers the newest of the list, however many were removed from it. */
import { expect, test } from 'vitest'
import type { CredentialFilter, CredentialView } from '../../src/domain/records.ts'
import { MAX_READ, newestCredentials } from '../../src/web/pages/newest-credentials.ts'

/** A store that has these credentials, newest first, and counts what it is asked. */
function storeOf(credentials: readonly CredentialView[]) {
  const asked: CredentialFilter[] = []
  const listCredentials = async (filter: CredentialFilter): Promise<readonly CredentialView[]> => {
    asked.push(filter)
    return credentials
      .filter(({ forgottenAt }) => filter.listed !== true || forgottenAt === undefined)
      .slice(0, filter.limit)
  }
  return { store: { listCredentials }, asked }
}

/** @param removed whether the user removed the credential of this age from the list */
const credentials = (count: number, removed: (age: number) => boolean): CredentialView[] =>
  Array.from({ length: count }, (_, age) => {
    const forgottenAt = removed(age) ? new Date(0) : undefined
    return { id: `${age}`, issuedAt: new Date(1e12 - age), forgottenAt } as CredentialView
  })

test('few credentials are read at once', async () => {
  const { store, asked } = storeOf(credentials(20, (age) => age % 2 === 0))
  const { views, mayHaveMore } = await newestCredentials(store, { identityId: 'i-1' })
  expect([views.length, mayHaveMore]).toEqual([20, false])
  expect(asked).toEqual([{ identityId: 'i-1', limit: MAX_READ }])
})

test('removed credentials take the place of none', async () => {
  const { store } = storeOf(credentials(MAX_READ + 500, (age) => age < MAX_READ))
  const { views, mayHaveMore } = await newestCredentials(store, { identityId: 'i-1' })
  expect(views.filter(({ forgottenAt }) => forgottenAt === undefined)).toHaveLength(500)
  expect(views.map(({ id }) => id)).toEqual(Array.from({ length: 1500 }, (_, age) => `${age}`))
  expect(mayHaveMore).toBe(false)
})

test('more than the page covers', async () => {
  const { store } = storeOf(credentials(3 * MAX_READ, (age) => age % 2 === 0))
  const { views, mayHaveMore } = await newestCredentials(store, { identityId: 'i-1' })
  expect(views.filter(({ forgottenAt }) => forgottenAt === undefined)).toHaveLength(MAX_READ)
  expect(mayHaveMore).toBe(true)
})
