/** The operator's commands on credentials that stand on no EEC: of programs, and SSH certificates. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { readKrl } from '../../ca/ssh/krl.ts'
import {
  cms,
  executable,
  misbehaving,
  obtain,
  program,
  wattsService,
  wire,
} from '../api/watts/support.ts'
import { bearer } from '../api/support.ts'
import { useTestService } from '../support/service.ts'
import { lineOf, sshBlob } from '../support/ssh-keys.ts'
import { runTts } from '../support/terminal.ts'

const directory = mkdtempSync(join(tmpdir(), 'tts-cli-plugins-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))
const journal = join(directory, 'journal')

const service = useTestService(
  wattsService({
    guest: executable(program('account.py'), { conf_params: { journal } }),
    stubborn: executable(program('account.py'), { conf_params: { stubborn: true } }),
    ssh: { plugin: 'ssh-certificate', authz: { allow: cms } },
    broken: executable(misbehaving('parameter-errs.sh')),
  }),
)
const tts = (...words: string[]) =>
  runTts(['--config', join(service().directory, 'tts.yaml'), ...words])

async function sshCertificate(): Promise<{ id: string; serial: bigint }> {
  const headers = {
    ...bearer(service().token('alice', { preferred_username: 'alice' })),
    'content-type': 'application/json',
  }
  const body = JSON.stringify({
    service_id: 'ssh',
    params: { public_key: lineOf(sshBlob('ed25519')) },
  })
  const redirect = await wire(`${service().url}/api/v2/iam/credential`, {
    method: 'POST',
    headers,
    body,
  })
  const picked = await wire(redirect.header('location') ?? '', { headers })
  const { id } = picked.json()['credential'] as { id: string }
  const { out } = await tts('--json', 'credential', 'show', id)
  return { id, serial: BigInt((JSON.parse(out) as { ssh_serial: string }).ssh_serial) }
}

describe('of a program', () => {
  test('list and show: no end, and the state', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    expect((await tts('credential', 'list')).out).toMatch(
      new RegExp(`^${id} .* guest +until revoked `, 'm'),
    )
    const { out } = await tts('credential', 'show', id)
    expect(out).toMatch(/^valid until +: \(until revoked\)$/m)
    expect(out).toMatch(/^plugin state +: "[0-9a-f]{16}"$/m)
    expect(out).not.toContain('EEC')
  })

  test('revoke: its program takes it back, told whose it is', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    const run = await tts('credential', 'revoke', id)
    expect(run).toMatchObject({ code: 0, notes: 'Revoked.\n' })
    const [, person] = JSON.parse(
      readFileSync(journal, 'utf8').trim().split('\n').at(-1) ?? '',
    ) as [string, object]
    expect(person).toMatchObject({
      iss: service().provider.issuer,
      sub: service().provider.user('alice').sub,
    })
    expect(await tts('--json', 'credential', 'revoke', id)).toMatchObject({
      code: 0,
      out: `${JSON.stringify({ id, end_entity_serial: null, newly_revoked: false, affected: [id], crl_number: null }, null, 2)}\n`,
    })
  })

  test('revoke: one that refuses, and the record stays', async () => {
    const { id } = await obtain(service(), { service: 'stubborn' })
    const run = await tts('credential', 'revoke', id)
    expect([run.code, run.notes]).toEqual([
      3,
      expect.stringContaining('tts: the account is in use') as string,
    ])
    expect((await tts('credential', 'show', id)).out).toMatch(/^revoked +: no$/m)
  })

  test('revoke: one whose service is gone', async () => {
    const { id } = await obtain(service(), { service: 'guest' })
    const path = join(directory, 'later.yaml')
    const later = (watts: object) =>
      writeFileSync(
        path,
        stringify({
          data_dir: join(service().directory, 'data'),
          ca: { key_kind: 'ec-p256' },
          watts,
        }),
      )
    later({})
    const run = await runTts(['--config', path, 'credential', 'revoke', id])
    expect(run.code).toBe(1)
    expect(run.notes).toContain('what to do: Set watts.allow_dropping_credentials')
    later({ allow_dropping_credentials: true })
    expect((await runTts(['--config', path, 'credential', 'revoke', id])).code).toBe(0)
  })
})

test('an SSH certificate: shown by its serial number, revoked, and on the list of tts ssh-ca krl', async () => {
  const { id, serial } = await sshCertificate()
  expect((await tts('credential', 'show', id)).out).toMatch(
    new RegExp(`^SSH certificate +: serial ${serial}$`, 'm'),
  )
  expect(readKrl((await tts('ssh-ca', 'krl')).bytes).serials).not.toContain(serial)
  expect((await tts('credential', 'revoke', id)).code).toBe(0)
  expect(readKrl((await tts('ssh-ca', 'krl')).bytes).serials).toContain(serial)
  const served = await fetch(`${service().url}/ca/ssh/krl`)
  expect(readKrl(Buffer.from(await served.arrayBuffer())).serials).toContain(serial)
  const { out } = await tts('ssh-ca', 'show')
  expect(out).toContain((await (await fetch(`${service().url}/ca/ssh/ca.pub`)).text()).trim())
})

test('tts check says which plugin cannot be used, and why', async () => {
  const { code, out } = await tts('check', '--wait', '1')
  expect(code).toBe(1)
  expect(out).toMatch(/^FAILED {3}service broken: .+\n {9}-> \S/m)
  expect(out).toMatch(/^ok {7}service guest: executable, 1 allow and 0 forbid rule/m)
})
