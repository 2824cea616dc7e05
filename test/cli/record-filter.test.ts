/** Filters and pages of `tts credential list` and `tts audit`, and revocation in bulk. */
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { wideLimits } from '../api/support.ts'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

const service = useTestService({
  configuration: {
    ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' },
    limits: wideLimits,
  },
})

const tts = async (words: readonly string[]): Promise<TtsRun> =>
  runTts(['--config', join(service().directory, 'tts.yaml'), ...words])

async function issue(sub: string): Promise<void> {
  const headers = { authorization: `Bearer ${service().token('alice', { sub })}` }
  const url = `${service().url}/v1/proxies?key_type=ec-p256`
  expect((await fetch(url, { method: 'POST', headers })).status).toBe(200)
}

describe('filters, pages and revocation in bulk', () => {
  const subs = ['filter-a', 'filter-b', 'filter-c'] as const
  beforeAll(async () => {
    for (const sub of subs) for (let count = 0; count < 2; count += 1) await issue(sub)
  })
  const listed = async (...words: string[]): Promise<string[]> => {
    const { out } = await tts(['--json', 'credential', 'list', '--active', ...words])
    return (JSON.parse(out) as { subject: string }[]).map(({ subject }) => subject)
  }

  test('credentials by who, where from, when and what', async () => {
    const own = await listed('--sub', 'filter-a')
    expect(own).toHaveLength(2)
    expect(await listed('--subject', own[0] ?? '')).toEqual(own)
    const { issuer } = service().provider
    expect(await listed('--sub', 'filter-a', '--issuer', issuer)).toEqual(own)
    expect(await listed('--sub', 'filter-a', '--issuer', `${issuer}/other`)).toEqual([])
    expect(await listed('--sub', 'filter-a', '--address', '127.0.0.1')).toEqual(own)
    expect(await listed('--sub', 'filter-a', '--address', '192.0.2.1')).toEqual([])
    expect(await listed('--sub', 'filter-a', '--service', 'x509')).toEqual([])
    expect(await listed('--sub', 'filter-a', '--client', 'nobody')).toEqual([])
    expect(await listed('--sub', 'filter-a', '--since', '1h')).toEqual(own)
    expect(await listed('--sub', 'filter-a', '--until', '1h')).toEqual([])
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString()
    expect(await listed('--sub', 'filter-a', '--until', tomorrow.slice(0, 10))).toEqual(own)
    expect(await listed('--sub', 'filter-a', '--since', tomorrow)).toEqual([])
  })

  test.for(['yesterday', '2026-13-01', '2026-11-27 1', '', '-3d', '3w'])(
    'the time "%s" is refused with examples',
    async (text) => {
      const { code, notes } = await tts(['audit', `--since=${text}`])
      expect(code).toBe(2)
      expect(notes).toContain(`--since: found "${text}"; must be a time such as 2026-11-27`)
    },
  )

  test('the audit trail in pages, by who and what', async () => {
    const page = async (...words: string[]) => {
      const all = ['audit', '--event', 'credential.issued', '--limit', '2', ...words]
      const { notes } = await tts(all)
      const { out } = await tts([...all, '--json'])
      const records = JSON.parse(out) as { number: number; sub: string; service_id: string }[]
      return { records, next: /--after (\d+)/.exec(notes)?.[1] }
    }
    const first = await page()
    expect(first.records.map(({ sub }) => sub)).toEqual(['filter-c', 'filter-c'])
    const second = await page('--after', first.next ?? '')
    expect(second.records.map(({ sub }) => sub)).toEqual(['filter-b', 'filter-b'])
    expect((await page('--sub', 'filter-a')).records).toHaveLength(2)
    const [subject = ''] = await listed('--sub', 'filter-a')
    expect((await page('--subject', subject)).records.map(({ sub }) => sub)).toEqual([
      'filter-a',
      'filter-a',
    ])
    expect((await page('--service', 'x509')).records).toEqual([])
    expect((await page('--client', 'nobody')).records).toEqual([])
    expect((await tts(['audit', '--after', '999999999'])).notes).toContain('after names no line')
  })

  test('revocation of all that are selected, counted first', async () => {
    expect((await tts(['credential', 'revoke'])).notes).toContain('name a credential, or select')
    const words = ['credential', 'revoke', '--sub', 'filter-b', '--reason', 'keyCompromise']
    expect((await tts(words)).notes).toBe(
      '2 valid credential(s) of 1 user(s) are selected. Nothing was revoked: add --yes to revoke them.\n',
    )
    expect(await listed('--sub', 'filter-b')).toHaveLength(2)
    const { code, notes } = await tts([...words, '--yes'])
    expect(code).toBe(0)
    expect(notes).toMatch(/^Revoked 2 credential\(s\); CRL number \d+ has them\./)
    expect(await listed('--sub', 'filter-b')).toEqual([])
    expect(await listed('--sub', 'filter-c')).toHaveLength(2)
  })
})
