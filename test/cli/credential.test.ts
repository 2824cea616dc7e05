import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readCrl } from '../../ca/crl.ts'
import { parseProxyFile } from '../../ca/proxy-file.ts'
import { loadConfiguration } from '../../src/config/load.ts'
import { createLog } from '../../src/base/log.ts'
import { serve } from '../../src/service/serve.ts'
import { useTestService } from '../support/service.ts'
import { runTts, type TtsRun } from '../support/terminal.ts'

const service = useTestService({
  configuration: { ca: { key_kind: 'ec-p256', end_entity_key_kind: 'ec-p256' } },
})
let directory = ''
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tts-credential-'))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const tts = (words: readonly string[], now?: Date): Promise<TtsRun> =>
  runTts(
    ['--config', join(service().directory, 'tts.yaml'), ...words],
    now ? { now: () => now } : {},
  )
async function json<T>(words: readonly string[]): Promise<T> {
  const { code, out, notes } = await tts(['--json', ...words])
  expect({ code, notes }).toEqual({ code: 0, notes: '' })
  return JSON.parse(out) as T
}

interface Issued {
  readonly id: string
  readonly end_entity_serial: string
  readonly pem: string
}

/** A proxy from the running service. */
async function issue(sub: string, url = service().url): Promise<Issued> {
  const answer = await fetch(`${url}/v1/proxies?key_type=ec-p256`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${service().token('alice', { sub })}`,
      accept: 'application/json',
    },
  })
  expect(answer.status).toBe(200)
  return (await answer.json()) as Issued
}

async function servedCrl(): Promise<readonly string[]> {
  const answer = await fetch(`${service().url}/ca/crl.der`)
  return [...readCrl(Buffer.from(await answer.arrayBuffer())).revoked.keys()]
}

describe('list and show', () => {
  test('nothing is on record at first', async () => {
    expect(await tts(['credential', 'list'])).toMatchObject({
      code: 0,
      out: '',
      notes: 'There are no credentials.\n',
    })
    expect(await tts(['credential', 'list', '--json'])).toMatchObject({ code: 0, out: '[]\n' })
  })

  test('the newest first, for people and for scripts; limit and after', async () => {
    const issued = [await issue('lister'), await issue('lister'), await issue('lister')]
    const ids = issued.map(({ id }) => id).reverse()
    const { out } = await tts(['credential', 'list'])
    expect(
      out
        .trimEnd()
        .split('\n')
        .map((line) => line.split(' ')[0]),
    ).toEqual(ids)
    expect(out).toMatch(/ proxy {5}(4 days|3 days 23 hours) left .*\/CN=lister@indigo-iam-test$/m)
    const listed = await json<readonly { id: string }[]>(['credential', 'list', '--limit', '2'])
    expect(listed.map(({ id }) => id)).toEqual(ids.slice(0, 2))
    const rest = ['credential', 'list', '--after', ids[1] ?? '', '--service', 'proxy', '--active']
    expect((await json<readonly { id: string }[]>(rest)).map(({ id }) => id)).toEqual([ids[2]])
    expect(await json(['credential', 'list', '--service', 'x509'])).toEqual([])
  })

  test('what has ended is not active', async () => {
    const { id } = await issue('ended')
    const later = new Date(Date.now() + 5 * 86_400_000)
    expect((await tts(['credential', 'list', '--active'], later)).out).toBe('')
    expect((await tts(['credential', 'list'], later)).out).toContain(`${id}  `)
    expect((await tts(['credential', 'list'], later)).out).toContain('expired 1 day ago')
  })

  test('shows everything about one', async () => {
    const { id, end_entity_serial: serial } = await issue('shown')
    const { out } = await tts(['credential', 'show', id])
    expect(out).toContain(`id                  : ${id}\n`)
    expect(out).toContain('sub                 : "shown"\n')
    expect(out).toMatch(/^requested from {6}: 127\.0\.0\.1 \(native, request \S+\)$/m)
    expect(out).toContain(`EEC                 : ${serial}\n`)
    expect(out).toMatch(/^revoked {13}: no$/m)
    expect(out).not.toContain('PRIVATE KEY')
    expect(await json(['credential', 'show', id])).toMatchObject({
      id,
      end_entity_serial: serial,
      revoked_at: null,
      interface: 'native',
    })
  })

  test.for([
    { words: ['show', 'nothing'], code: 5, says: 'the credential nothing does not exist' },
    { words: ['revoke', 'nothing'], code: 5, says: 'no credential has this id' },
    { words: ['show'], code: 2, says: "missing required argument 'id'" },
    { words: ['list', '--limit', '0'], code: 2, says: '"0" must be a number from 1 to 1000' },
    { words: ['list', '--limit', '1001'], code: 2, says: 'must be a number from 1 to 1000' },
    { words: ['list', '--after', 'nothing'], code: 2, says: 'after names no credential' },
    { words: ['revoke', 'x', '--reason', 'boredom'], code: 2, says: 'Allowed choices are' },
  ])('$words ends with $code', async ({ words, code, says }) => {
    const run = await tts(['credential', ...words])
    expect(run).toMatchObject({ code, out: '' })
    expect(run.notes).toContain(says)
    expect(run.notes).not.toContain('unexpected')
  })
})

describe('revoke, while the service runs', () => {
  test('the service serves the CRL with it, and signs with a new EEC from then on', async () => {
    const [first, same] = [await issue('revoked'), await issue('revoked')]
    expect(same.end_entity_serial).toBe(first.end_entity_serial)
    const words = ['credential', 'revoke', first.id, '--reason', 'keyCompromise']
    const { code, notes } = await tts(words)
    expect(code).toBe(0)
    expect(notes).toContain(`EEC ${first.end_entity_serial} is on CRL number`)
    expect(notes).toContain('2 credential(s) are revoked with it')
    expect(await servedCrl()).toContain(first.end_entity_serial)

    const next = await issue('revoked')
    expect(next.end_entity_serial).not.toBe(first.end_entity_serial)
    const [, endEntity] = parseProxyFile(next.pem).certificates
    expect(endEntity?.serial).toBe(next.end_entity_serial)
    expect(await servedCrl()).not.toContain(next.end_entity_serial)

    const { out } = await tts(['credential', 'show', same.id])
    expect(out).toMatch(/^revoked {13}: \S+Z \(keyCompromise\)$/m)
    expect((await tts(['credential', 'list'])).out).toMatch(
      new RegExp(`^${first.id} .* revoked `, 'm'),
    )
  })

  test('again it says that it had been, and the answer for scripts has the facts', async () => {
    const { id, end_entity_serial: serial } = await issue('twice')
    const words = ['credential', 'revoke', id]
    const facts = { id, end_entity_serial: serial, newly_revoked: true, affected: [id] }
    expect(await json(words)).toMatchObject(facts)
    const again = await tts(words)
    expect(again.code).toBe(0)
    expect(again.notes).toContain('The credential was already revoked')
  })
})

describe('audit', () => {
  test('has what was issued, refused and revoked, and no token', async () => {
    const token = service().token('alice', { sub: 'guest', groups: ['guests'] })
    const headers = { authorization: `Bearer ${token}` }
    const refused = await fetch(`${service().url}/v1/proxies`, { method: 'POST', headers })
    expect(refused.status).toBe(403)
    const { id } = await issue('audited')
    await tts(['credential', 'revoke', id])
    const all = (await tts(['audit'])).out
    expect(all).toMatch(/ {2}credential\.issued {2}127\.0\.0\.1 {2}"audited" of http/)
    expect(all).toMatch(/ {2}\S*revoked {2}local {2}/)
    const only = (await tts(['audit', '--refused'])).out
    expect(only).toContain('"guest"')
    expect(only).toContain('access_denied, authorisation, no rule of this service allows')
    expect(only).not.toContain('credential.issued')
    expect(all + only).not.toContain(token)
    expect(await json<readonly unknown[]>(['audit', '--limit', '3'])).toHaveLength(3)
  })

  test('is empty for a new service', async () => {
    writeFileSync(join(directory, 'tts.yaml'), 'data_dir: new\nca: { key_kind: ec-p256 }\n')
    const config = ['--config', join(directory, 'tts.yaml')]
    expect((await runTts([...config, 'ca', 'init'])).code).toBe(0)
    expect(await runTts([...config, 'audit'])).toMatchObject({
      code: 0,
      notes: 'There are no audit records.\n',
    })
  })
})

describe('master-key rotate', () => {
  test('a service that starts again signs with the EEC that it holds', async () => {
    const first = await issue('rotated')
    const file = join(service().directory, 'data/master-keys')
    const idsOf = (): readonly string[] => readFileSync(file, 'utf8').match(/^\w+(?=:)/gm) ?? []
    const [before] = idsOf()
    const { code, notes } = await tts(['master-key', 'rotate'])
    expect(code).toBe(0)
    const ids = idsOf()
    expect(ids).toHaveLength(2)
    expect(ids[1]).toBe(before)
    expect(notes).toMatch(
      new RegExp(`^Master key ${ids[0]} is now in use; [1-9]\\d* key\\(s\\) were`),
    )
    expect(notes).not.toContain(readFileSync(file, 'utf8').split(/[:\n]/)[1])
    // Older lines may go now.
    writeFileSync(file, `${readFileSync(file, 'utf8').split('\n')[0]}\n`, { mode: 0o600 })
    await service().running.stop()
    const config = await loadConfiguration(join(service().directory, 'tts.yaml'), {})
    const again = await serve(config, createLog({ level: 'silent', name: 'tts' }))
    try {
      expect((await issue('rotated', again.url)).end_entity_serial).toBe(first.end_entity_serial)
    } finally {
      await again.stop()
    }
  })
})
