import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { ask } from '../api/support.ts'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

const ca = { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' }
const limits = {
  key_pool_size: 0,
  credentials_per_second_per_identity: 1e6,
  burst_per_identity: 1e6,
}
const service = useTestService({ configuration: { ca, limits } })

const tokenOf = (sub: string): string => service().token('alice', { sub })

async function issue(token: string): Promise<string> {
  const response = await ask(service(), '/v1/proxies?key_type=ec-p256', { token })
  expect(response.status).toBe(200)
  return response.headers.get('tts-credential-id') ?? ''
}

const my = async (words: readonly string[], token: string, url = service().url): Promise<TtsRun> =>
  runTts(['my', 'credentials', ...words, '--url', url], { environment: { BEARER_TOKEN: token } })

test('lists the credentials of the token’s owner alone, newest first', async () => {
  const token = tokenOf('list')
  const ids = [await issue(token), await issue(token)]
  await issue(tokenOf('somebody-else'))
  const { code, out, notes } = await my(['list'], token)
  expect({ code, notes }).toEqual({ code: 0, notes: '' })
  const lines = out.trimEnd().split('\n')
  expect(lines.map((line) => line.split(' ')[0])).toEqual(ids.toReversed())
  expect(lines[0]).toMatch(
    /^\S+ {2}2\S+Z {2}proxy {5}(4 days|3 days 23 hours) left +\/C=EU\/.*list@/,
  )
  const json = await my(['list', '--json', '--limit', '1'], token)
  expect(JSON.parse(json.out)).toMatchObject([{ id: ids[1], service: 'proxy' }])
  expect(json.notes).toBe('')
  const next = await my(['list', '--after', ids[1] ?? ''], token)
  expect(next.out).toMatch(new RegExp(`^${ids[0]} `))
  const first = await my(['list', '--limit', '1'], token)
  const [, cursor = ''] = /^There are more: --after (\d+\.\S+)\n$/.exec(first.notes) ?? []
  expect(cursor.endsWith(`.${ids[1]}`)).toBe(true)
  const second = await my(['list', '--limit', '1', '--after', cursor], token)
  expect(second.out).toMatch(new RegExp(`^${ids[0]} `))
  expect(second.notes).toBe('')
})

test('somebody without credentials', async () => {
  const run = await my(['list'], tokenOf('nothing'))
  expect(run).toMatchObject({ code: 0, out: '', notes: 'You have no credentials.\n' })
  expect((await my(['list', '--json'], tokenOf('nothing'))).out).toBe('[]\n')
})

test('revokes one, once, with its reason', async () => {
  const token = tokenOf('revoke')
  const id = await issue(token)
  const { code, notes } = await my(['revoke', id, '--reason', 'keyCompromise'], token)
  expect(code).toBe(0)
  expect(notes).toMatch(/^Revoked: 1 credential\(s\) with the same certificate\. Sites refuse/)
  expect((await my(['revoke', id], token)).notes).toBe('The credential was already revoked.\n')
  expect((await my(['list'], token)).out).toMatch(/ revoked /)
  expect((await my(['list', '--active'], token)).out).toBe('')
  const view = await service().running.service.store.findCredential(id)
  expect(view?.revocationReason).toBe('keyCompromise')
  const json = await my(['revoke', id, '--json'], token)
  expect(JSON.parse(json.out)).toMatchObject({ id, newly_revoked: false })
})

test('a credential of somebody else does not exist', async () => {
  const id = await issue(tokenOf('owner'))
  for (const wrong of [id, 'a/../b', '00000000-0000-0000-0000-000000000000']) {
    const { code, notes } = await my(['revoke', wrong], tokenOf('thief'))
    expect(code).toBe(5)
    expect(notes).toContain('no credential has this id')
  }
  expect((await service().running.service.store.findCredential(id))?.revokedAt).toBeUndefined()
})

test('without a token, and with a refused one', async () => {
  const none = await runTts(['my', 'credentials', 'list', '--url', service().url], {
    temporaryDirectory: '/nonexistent',
  })
  expect(none.code).toBe(3)
  expect((await my(['list'], 'a.b.c')).code).toBe(3)
})

test('--verbose shows the request, and never the token', async () => {
  const token = tokenOf('verbose')
  const { notes } = await my(['list', '--verbose'], token)
  expect(notes).toContain(`> GET ${service().url}/v1/credentials?limit=50\n< 200 after `)
  for (const part of token.split('.').slice(1)) expect(notes).not.toContain(part)
})

test.for(['{}', '{"credentials":[{"id":"x"}]}', '<html>', '[]'])(
  'an answer that is not ours: %s',
  async (body) => {
    const server = createServer((_request, response) => void response.end(body))
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    onTestFinished(() => void server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { code, notes } = await my(['list'], tokenOf('alice'), url)
    expect(code).toBe(1)
    expect(notes).toContain('the answer is not from a Token Translation Service: HTTP status 200')
  },
)

test('the texts of a service do not steer the terminal', async () => {
  const entry = { id: '\u001b[31m', service: 'p\u0007', subject: '\u202e', issued_at: '2026' }
  const credentials = [{ ...entry, not_after: null, revoked_at: null }]
  const server = createServer(
    (_request, response) => void response.end(JSON.stringify({ credentials })),
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { out } = await my(['list'], tokenOf('alice'), url)
  expect(out).toMatch(/^\?\[31m {2}2026Z {2}p\? +until revoked +\?\n$/)
})
