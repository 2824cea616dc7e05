/** What a ban does in which order, and what it reports when a step fails. */
import { expect, test } from 'vitest'
import {
  type BanDependencies,
  banUsers,
  isReason,
  MAX_REASON,
} from '../../../src/domain/bans/ban.ts'
import type { CredentialView, Identity } from '../../../src/domain/records.ts'
import type { Delegation } from '../../../src/domain/delegations/records.ts'

/** A user with a credential without EEC, two under one EEC, and a delegation. */
function world(broken: Partial<Record<'revoke' | 'publish' | 'end', number>> = {}) {
  const steps: string[] = []
  const active = new Map([
    ['a', undefined],
    ['b', '01'],
    ['c', '01'],
  ])
  let hasDelegation = true
  const failing = { revoke: 0, publish: 0, end: 0, ...broken }
  const step = (kind: keyof typeof failing, name: string): void => {
    steps.push(name)
    failing[kind] -= 1
    if (failing[kind] >= 0) throw new Error('down')
  }
  const dependencies: BanDependencies = {
    now: () => new Date(),
    wait: async () => void steps.push('wait'),
    publish: async () => step('publish', 'publish'),
    endDelegation: async () => {
      step('end', 'end')
      hasDelegation = false
    },
    revokeCredential: async ({ id, endEntitySerial }) => {
      step('revoke', `revoke ${id}`)
      for (const [other, serial] of active)
        if (other === id || (serial !== undefined && serial === endEntitySerial))
          active.delete(other)
    },
    store: {
      bans: { add: async () => undefined, sweep: async () => [{ id: 'i' } as Identity] },
      listCredentials: async () =>
        [...active].map(([id, endEntitySerial]) => ({ id, endEntitySerial }) as CredentialView),
      delegations: { list: async () => (hasDelegation ? [{ id: 'd' } as Delegation] : []) },
    } as unknown as BanDependencies['store'],
  }
  const ban = async () =>
    banUsers(dependencies, {
      target: { kind: 'identity', issuer: 'https://iam.example.org', sub: 'mallory' },
      reason: 'stolen laptop',
      createdBy: 'cli',
      origin: { requestId: 'cli', address: 'local', interface: 'cli' },
    })
  return { steps, ban }
}

test('the CRL does not wait for the providers of the delegations', async () => {
  const { steps, ban } = world()
  expect(await ban()).toMatchObject({ credentials: 3, delegations: 1, failures: [] })
  expect(steps).toEqual(['revoke a', 'revoke b', 'publish', 'end', 'wait', 'publish'])
})

test('a failure does not keep the rest from being ended, and is tried again', async () => {
  const once = world({ revoke: 1, publish: 1, end: 1 })
  expect(await once.ban()).toMatchObject({ credentials: 3, delegations: 1, failures: [] })
  const { steps, ban } = world({ revoke: 99, publish: 99, end: 99 })
  expect(await ban()).toMatchObject({
    credentials: 0,
    delegations: 0,
    failures: [
      'credential a: down',
      'credential b: down',
      'credential c: down',
      'the CRL: down',
      'delegation d: down',
    ],
  })
  expect(steps).toHaveLength(11)
})

test.each([
  ['stolen laptop', true],
  ['x'.repeat(MAX_REASON), true],
  ['', false],
  ['  ', false],
  ['x'.repeat(MAX_REASON + 1), false],
  ['two\nlines', false],
  ['\u001b[2J', false],
])('%j as a reason: %s', (text, expected) => {
  expect(isReason(text)).toBe(expected)
})
