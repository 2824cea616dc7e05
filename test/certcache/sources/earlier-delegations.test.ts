import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, test } from 'vitest'
import { delegationLabel } from '../../../src/certcache/sources/earlier-delegations.ts'
import { placeOfState } from '../../../src/certcache/state/open-state.ts'
import { delegate, delegating, logIn } from '../../api/delegation-support.ts'
import { useTestService } from '../../support/service.ts'
import { settingsIn, startEngine, temporaryDirectory } from '../engine-support.ts'

describe('the label', () => {
  test('names cluster, host and state', () => {
    const name = { cluster: 'default', statePlace: '/var/lib/certcache' }
    expect(delegationLabel(name, 'node1')).toBe('certcache default on node1 in /var/lib/certcache')
    const location = { directory: '/unused', key_file: '/unused', cluster: 'default' }
    const url = 'postgresql://user:secret@db.example.org/pool?application_name=x'
    const statePlace = placeOfState({ ...location, url })
    expect(delegationLabel({ ...name, statePlace }, 'node1')).toBe(
      'certcache default on node1 in db.example.org:5432/pool',
    )
    expect(placeOfState(location)).toBe('/unused')
  })

  test.for([`/${'x'.repeat(200)}`, '/tmp/a\u0007b', '/tmp/\u202e'])(
    'a path that the service would refuse is replaced by its digest: %s',
    (statePlace) => {
      const long = delegationLabel({ cluster: 'c', statePlace }, 'h'.repeat(64))
      expect(long).toMatch(/^certcache c on h{64} in [0-9a-f]{16}$/)
      const longest = delegationLabel({ cluster: 'c'.repeat(64), statePlace }, 'h'.repeat(64))
      expect(longest).toHaveLength(100)
      expect(longest).toMatch(/ in [0-9a-f]{16}$/)
    },
  )

  test('two directories have two labels', () => {
    const label = (end: string): string =>
      delegationLabel({ cluster: 'c', statePlace: `/${'x'.repeat(200)}${end}` }, 'h')
    expect(label('a')).not.toBe(label('b'))
  })
})

test('two hosts with long names have two labels', () => {
  const label = (host: string): string =>
    delegationLabel({ cluster: 'c'.repeat(50), statePlace: '/var/lib/certcache' }, host)
  const host = 'certcache-production-01.grid.example.org'
  expect(label(host)).not.toBe(label(host.replace('01', '02')))
  expect(label(host)).toHaveLength(100)
})

describe('a new state', () => {
  const service = useTestService(delegating())
  const soon = (): AbortSignal => AbortSignal.timeout(10_000)

  let before = new Set<string>()
  beforeEach(async () => {
    before = new Set()
    before = new Set(await active())
  })

  /** The active delegations that this test made. */
  async function active(): Promise<string[]> {
    const all = await service().running.service.store.delegations.list({ limit: 1000 })
    const ids = all.filter(({ state }) => state === 'active').map(({ id }) => id)
    return ids.filter((id) => !before.has(id))
  }

  /** Starts with an empty state directory of this name, and returns the delegation. */
  async function startAfresh(directory: string, source: Record<string, unknown> = {}) {
    await rm(join(directory, 'state'), { recursive: true, force: true })
    const settings = await settingsIn(directory, {
      service: { url: service().url },
      source: { kind: 'delegation', token: await logIn(service()), ...source },
    })
    const { engine, logged } = await startEngine(settings, { background: false })
    await engine.obtain(undefined, soon())
    await engine.close()
    return { id: engine.status().source.delegationId ?? '', logged: logged.join('') }
  }

  test('in the same directory ends the delegation of the earlier one', async () => {
    const directory = await temporaryDirectory()
    const ids: string[] = []
    for (let round = 0; round < 3; round += 1) {
      const { id, logged } = await startAfresh(directory)
      ids.push(id)
      expect(await active()).toEqual([id])
      if (round > 0) expect(logged).toContain('"event":"delegation.replaced"')
    }
    expect(new Set(ids).size).toBe(3)
  })

  test('in another directory leaves it alone', async () => {
    const [one, two] = [await temporaryDirectory(), await temporaryDirectory()]
    const first = await startAfresh(one)
    const second = await startAfresh(two)
    expect((await active()).sort()).toEqual([first.id, second.id].sort())
  })

  test('leaves it alone with replace_delegation: false', async () => {
    const directory = await temporaryDirectory()
    const first = await startAfresh(directory)
    const second = await startAfresh(directory, { replace_delegation: false })
    expect((await active()).sort()).toEqual([first.id, second.id].sort())
  })

  test('leaves those with another label alone', async () => {
    const directory = await temporaryDirectory()
    await startAfresh(directory)
    const { id: other } = await delegate(service(), { label: 'a laptop' })
    const next = await startAfresh(directory)
    expect((await active()).sort()).toEqual([other, next.id].sort())
  })
})
