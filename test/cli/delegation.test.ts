import { join } from 'node:path'
import { expect, test } from 'vitest'
import { delegate, delegating, renew } from '../api/delegation-support.ts'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

const service = useTestService(delegating())
const tts = (words: readonly string[]): Promise<TtsRun> =>
  runTts(['--config', join(service().directory, 'tts.yaml'), ...words])

test('nothing is on record at first', async () => {
  expect(await tts(['delegation', 'list'])).toMatchObject({
    code: 0,
    out: '',
    notes: 'There are no delegations.\n',
  })
})

test('list and show tell whose it is, until when, and what happened', async () => {
  const made = await delegate(service(), { label: 'cluster 7' })
  expect((await renew(service(), made)).status).toBe(200)
  const list = await tts(['delegation', 'list'])
  expect(list).toMatchObject({ code: 0, notes: '' })
  expect(list.out).toMatch(
    new RegExp(
      `^${made.id}  \\S+Z  renews: (30 days|29 days 23 hours) left +${made.identity}  "cluster 7"\n$`,
    ),
  )
  const show = await tts(['delegation', 'show', made.id])
  expect(show.code).toBe(0)
  expect(show.out).toContain(`subject             : ${made.identity}`)
  expect(show.out).toMatch(/what to do +: It renews by itself until .* Every renewal extends this/)
  expect(show.out).toMatch(/^ {2}\S+Z {2}used {6}127\.0\.0\.1 \(delegation\) {2}credential /m)
  expect(show.out).toMatch(/^ {2}\S+Z {2}made /m)
  expect(show.out).not.toContain(made.renewal_secret)

  const json = JSON.parse((await tts(['--json', 'delegation', 'show', made.id])).out) as {
    events: { event: string }[]
  }
  expect(json).toMatchObject({ id: made.id, state: 'active', label: 'cluster 7' })
  expect(json.events.map(({ event }) => event)).toEqual(['used', 'rotated', 'made'])
  const all = JSON.parse((await tts(['--json', 'delegation', 'list'])).out) as { id: string }[]
  expect(all.map(({ id }) => id)).toEqual([made.id])
})

test('list --ends-within has only those that end by then', async () => {
  const made = await delegate(service())
  const within = (text: string) => tts(['delegation', 'list', '--ends-within', text])
  expect(await within('29d')).toMatchObject({ code: 0, out: '' })
  expect((await within('31d')).out).toContain(made.id)
  expect(await within('soon')).toMatchObject({
    code: 2,
    notes: expect.stringContaining('"soon" must be a duration, for example 3600, 45m, 12h30m, 4d'),
  })
})

test('revoke ends it for the running service, and tells the provider', async () => {
  const made = await delegate(service())
  const { faults } = service().provider
  faults.resetCounts()
  const run = await tts(['delegation', 'revoke', made.id])
  expect(run.code, run.notes).toBe(0)
  expect(run.notes).toContain('The provider was notified')
  expect(faults.count('/revoke')).toBe(1)
  expect((await renew(service(), made)).status).toBe(410)
  const again = await tts(['--json', 'delegation', 'revoke', made.id])
  expect(JSON.parse(again.out)).toEqual({ id: made.id, newly_revoked: false, provider_told: false })
  const revoked = await tts(['delegation', 'list', '--state', 'revoked'])
  expect(revoked.out).toContain(made.id)
  expect((await tts(['delegation', 'list', '--state', 'active'])).out).not.toContain(made.id)
  const { out } = await tts(['delegation', 'show', made.id])
  expect(out).toContain('revoked by the operator')
  expect(out).toMatch(/revoked {3}local \(cli\)/)
})

test('with the provider down it is revoked all the same', async () => {
  const made = await delegate(service())
  const { provider } = service()
  provider.faults.set('*', { kind: 'status', status: 503 })
  try {
    const run = await tts(['delegation', 'revoke', made.id])
    expect(run.code, run.notes).toBe(0)
    expect(run.notes).toContain('could not be notified')
  } finally {
    provider.faults.clear()
  }
  expect((await renew(service(), made)).status).toBe(410)
})

test.for([
  [['show', 'nothing'], 5],
  [['revoke', 'nothing'], 5],
  [['list', '--state', 'dead'], 2],
  [['list', '--limit', '0'], 2],
  [['show'], 2],
] as const)('tts delegation %j: exit code %i', async ([words, code]) => {
  expect((await tts(['delegation', ...words])).code).toBe(code)
})
