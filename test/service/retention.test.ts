import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type IdentityProvider,
  startIdentityProvider,
} from '../../demo/identity-provider/server.ts'
import { serveIn, testConfiguration, tokensOf, waitUntilReady } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'
import { archivedIds } from '../domain/retention/retention-support.ts'

const DAY_MS = 86_400_000
let provider: IdentityProvider
let directory = ''
beforeAll(async () => {
  provider = await startIdentityProvider()
  directory = await mkdtemp(join(tmpdir(), 'tts-retention-'))
})
afterAll(async () => {
  await provider.close()
  await rm(directory, { recursive: true, force: true })
})

const configurationWith = (store: Record<string, unknown>): Record<string, unknown> => ({
  ...testConfiguration(provider),
  ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
  store,
})
const later = (days: number) => (): Date => new Date(Date.now() + days * DAY_MS)
const archive = (): string => join(directory, 'data', 'archive')

interface Issued {
  readonly id: string
  readonly end_entity_serial: string
}

/** @param days from now, in which the token is valid */
async function issue(url: string, sub: string, days = 0): Promise<Issued> {
  const iat = Math.floor(later(days)().getTime() / 1000)
  const claims = { sub, iat, nbf: iat, exp: iat + 3600 }
  const answer = await fetch(`${url}/v1/proxies?key_type=ec-p256`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${tokensOf(provider)('alice', claims)}`,
      accept: 'application/json',
    },
  })
  expect(answer.status).toBe(200)
  return (await answer.json()) as Issued
}

const metricsOf = async (url: string): Promise<string> => (await fetch(`${url}/metrics`)).text()

/** Waits until it holds. */
async function until(holds: () => Promise<boolean>): Promise<void> {
  while (!(await holds())) await sleep(25)
}

const tts = async (...words: readonly string[]): Promise<TtsRun> =>
  runTts(['--config', join(directory, 'tts.yaml'), ...words])

const SUBS = ['anna', 'bert', 'carl']

/** Lets a service issue proxies, so many days from now, and ends it. */
async function newRecords(
  directory: string,
  { subs = SUBS, days = 0 } = {},
): Promise<readonly Issued[]> {
  const { running } = await serveIn(directory, configurationWith({}), later(days))
  await waitUntilReady(running.url)
  const made = []
  for (const sub of subs) made.push(await issue(running.url, sub, days))
  await running.stop()
  return made
}

describe('nothing moves', () => {
  let own = ''
  beforeAll(async () => {
    own = await mkdtemp(join(tmpdir(), 'tts-retention-'))
    await newRecords(own)
  })
  afterAll(async () => rm(own, { recursive: true, force: true }))

  const countOf = async (): Promise<unknown[]> =>
    JSON.parse(
      (await runTts(['--config', join(own, 'tts.yaml'), '--json', 'credential', 'list'])).out,
    ) as unknown[]

  test('without the setting', async () => {
    const { running } = await serveIn(own, configurationWith({}), later(400))
    expect(await metricsOf(running.url)).toContain('tts_record_archive_failures_total 0')
    await running.stop()
    expect(await countOf()).toHaveLength(3)
  })

  test('while nothing was issued lately: the clock may be wrong', async () => {
    const settings = { record_retention_days: 30 }
    const { running, logged } = await serveIn(own, configurationWith(settings), later(60))
    await until(async () => logged.some((text) => text.includes('"records.archive-waits"')))
    expect(await metricsOf(running.url)).toContain('tts_record_archive_failures_total 0')
    await running.stop()
    expect(await countOf()).toHaveLength(3)
  })

  test('to an archive that cannot be written, which is logged and counted', async () => {
    const occupied = join(own, 'occupied')
    await writeFile(occupied, 'a file, not a directory')
    await newRecords(own, { subs: ['dora'], days: 60 })
    const settings = { record_retention_days: 30, archive_dir: occupied }
    const { running, logged } = await serveIn(own, configurationWith(settings), later(60))
    await until(async () =>
      (await metricsOf(running.url)).includes('tts_record_archive_failures_total 1'),
    )
    const [line] = logged.filter((text) => text.includes('records.archive-failed'))
    expect(JSON.parse(line ?? '{}')).toMatchObject({ level: 'error' })
    expect((await fetch(`${running.url}/healthz`)).status).toBe(200)
    await running.stop()
    expect(await countOf()).toHaveLength(4)
  })
})

describe('a service with a retention of thirty days', () => {
  let made: readonly Issued[] = []
  let metrics = ''
  beforeAll(async () => {
    made = await newRecords(directory)
    await newRecords(directory, { subs: ['dora'], days: 60 })
    const settings = { record_retention_days: 30 }
    const { running, logged } = await serveIn(directory, configurationWith(settings), later(60))
    await until(async () => logged.some((text) => text.includes('"records.archived"')))
    metrics = await metricsOf(running.url)
    await running.stop()
  })

  test('what ended moves at the start, and is counted', async () => {
    expect(metrics).toContain('tts_records_archived_total{record="credential"} 3')
    expect(metrics).toContain('tts_records_archived_total{record="end_entity"} 3')
    expect(metrics).toContain('tts_record_archive_failures_total 0')
    expect((await archivedIds(archive())).toSorted()).toEqual(made.map(({ id }) => id).toSorted())
    expect((await tts('credential', 'list')).out.trim().split('\n')).toHaveLength(1)
  })

  test('an EEC of the archive leads to its person', async () => {
    const [, bert] = made
    const serial = bert!.end_entity_serial.toUpperCase()
    const { code, out } = await tts('--json', 'credential', 'archived', '--serial', serial)
    expect(code).toBe(0)
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>)
    expect(lines).toMatchObject([
      { record: 'credential', id: bert!.id, sub: 'bert', address: '127.0.0.1' },
      { record: 'end_entity', id: bert!.end_entity_serial, sub: 'bert' },
    ])
  })

  test.for([
    { words: ['--sub', 'carl'], subs: ['carl', 'carl'] },
    { words: ['--service', 'proxy'], subs: ['anna', 'bert', 'carl'] },
    { words: ['--since', '1d', '--service', 'proxy'], subs: ['anna', 'bert', 'carl'] },
    { words: ['--until', '2020-01-01'], subs: [] },
    { words: ['--client', 'nobody'], subs: [] },
    { words: ['--limit', '1', '--sub', 'anna'], subs: ['anna'] },
    { words: ['00000000-0000-4000-8000-000000000000'], subs: [] },
  ])('credential archived $words finds $subs', async ({ words, subs }) => {
    const { code, out, notes } = await tts('--json', 'credential', 'archived', ...words)
    expect(code, notes).toBe(0)
    const lines = out.split('\n').filter((line) => line !== '')
    const found = lines.map((line) => (JSON.parse(line) as { readonly sub: string }).sub)
    expect(found.toSorted()).toEqual(subs)
    if (subs.length === 0) expect(notes).toContain('The archive has no such record.')
  })

  test('a record that is there twice is printed once, and a cut line is only counted', async () => {
    const [anna] = made
    const { out: line } = await tts('--json', 'credential', 'archived', anna!.id)
    const again = join(archive(), '2999-01-000000000000.jsonl')
    await writeFile(again, `${line}{"record":"cred`)
    const { out, notes } = await tts('credential', 'archived', anna!.id)
    await rm(again)
    expect(out.trim().split('\n')).toHaveLength(1)
    expect(out).toContain(`${anna!.id}  `)
    expect(notes).toContain('1 line(s) of the archive cannot be read.')
  })
})
